"""The age policy: memory that nobody was seen to use for `swapout_ms` leaves.

Idle time is what the tracker has proved, from the last access seen to the last *look*, not to now: if looks are rarer
than `swapout_ms`, memory is idle when a whole look-to-look interval saw nothing, never because nobody looked. And one
look is no proof: accessed marks get lost (TLBs keep translations, a mark is cleared between being read and used), so
the last two looks must both have seen nothing.
"""

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.regions import Regions

LOOKS = 2
_RECENT = np.uint16((1 << LOOKS) - 1)
_MOST_TRIES = 6  # a region whose pages never leave is asked again every 64th time


def idle_time(regions: Regions, looked: int) -> NDArray[np.int64]:
    """Deciseconds between the last access seen and the last look."""
    result: NDArray[np.int64] = np.maximum(np.int64(looked) - regions["changed"].astype(np.int64), 0)
    return result


def idle(regions: Regions, looked: int, swapout_ms: int) -> NDArray[np.bool_]:
    """Regions that are idle for long enough, wherever their pages are."""
    unused = (regions["history"] & _RECENT) == 0
    result: NDArray[np.bool_] = unused & (idle_time(regions, looked) * 100 >= swapout_ms)
    return result


def candidates(regions: Regions, looked: int, swapout_ms: int, kinds: frozenset[int], turn: int) -> NDArray[np.intp]:
    """Indexes of regions to page out, longest idle first; `turn` counts decisions, for those that never leave."""
    wanted = idle(regions, looked, swapout_ms) & (regions["present"] > 0)
    wanted &= np.isin(regions["kind"], sorted(kinds))
    wanted &= (turn % (1 << np.minimum(regions["tries"], _MOST_TRIES).astype(np.int64))) == 0
    index = np.flatnonzero(wanted)
    return index[np.argsort(regions["changed"][index], kind="stable")]
