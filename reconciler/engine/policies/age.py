"""The age policy: memory that nobody was seen to use leaves, memory that is always in use comes near.

Idle time is what the tracker has proved, from the last access seen to the last *look*, not to now: if looks are rarer
than `swapout_ms`, memory is idle when a whole look-to-look interval saw nothing, never because nobody looked. And one
look is no proof: accessed marks get lost (TLBs keep translations, a mark is cleared between being read and used), so
the last two looks must both have seen nothing.

Active time is the same from the other side: every look of so long a time saw an access, two at least.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import accessed
from reconciler.engine.policies.policy import TO_SWAP, Kinds, Move, Seat, View
from reconciler.engine.regions import Regions, ends, idle_time
from reconciler.engineconfig import AgeConfig

LOOKS = 2
_RECENT = np.uint16((1 << LOOKS) - 1)
_MOST_TRIES = 6  # a region whose pages never leave is asked again every 64th time


def idle(regions: Regions, looked: int, after_ms: int) -> NDArray[np.bool_]:
    """Regions that are idle for long enough, wherever their pages are."""
    unused = (regions["history"] & _RECENT) == 0
    result: NDArray[np.bool_] = unused & (idle_time(regions, looked) * 100 >= after_ms)
    return result


def active(regions: Regions, looked: int, after_ms: int) -> NDArray[np.bool_]:
    """Regions in which every look for so long saw an access."""
    used = (regions["history"] & _RECENT) == _RECENT
    since = np.maximum(np.int64(looked) - regions["rested"].astype(np.int64), 0)
    result: NDArray[np.bool_] = used & (since * 100 >= after_ms)
    return result


def retried(regions: Regions, turn: int) -> NDArray[np.bool_]:
    """Regions that are asked in this turn: those that never leave less and less often."""
    due: NDArray[np.bool_] = (turn % (1 << np.minimum(regions["tries"], _MOST_TRIES).astype(np.int64))) == 0
    return due


class Age:
    note = ""
    resets = False

    def __init__(self, config: AgeConfig) -> None:
        self._config = config
        self.locates = False

    def observe(self, view: View) -> None:
        """All that it knows is in the regions."""

    def moves(self, view: View) -> Sequence[Move]:
        return [move for pid, seat in view.seats.items() for move in self._of_process(pid, seat, view)]

    def _of_process(self, pid: int, seat: Seat, view: View) -> list[Move]:
        config, regions = self._config, seat.regions
        found = []
        if config.active_ms and config.active_nodes and view.moving:
            wanted = active(regions, seat.looked, config.active_ms) & _movable(regions, view.moving, view.turn)
            found += _move(pid, regions, wanted, config.active_nodes, view.page_size, urgency=0)
        if config.swapout_ms and view.leaving:
            wanted = idle(regions, seat.looked, config.swapout_ms) & _movable(regions, view.leaving, view.turn)
            found += _move(pid, regions, wanted, TO_SWAP, view.page_size)
        if config.idle_ms and config.idle_nodes and view.moving:
            wanted = idle(regions, seat.looked, config.idle_ms) & _movable(regions, view.moving, view.turn)
            if config.swapout_ms:
                wanted &= ~idle(regions, seat.looked, config.swapout_ms)
            found += _move(pid, regions, wanted, config.idle_nodes, view.page_size)
        return found

    def dump(self, words: tuple[str, ...], view: View) -> str:
        """`accessed [LIMITS [PIDS]]`: the table of memory by time since last access."""
        return accessed.dump(words, view, self._limits())

    def _limits(self) -> dict[str, int]:
        return {
            "active": self._config.active_ms,
            "idle": self._config.idle_ms,
            "swapout": self._config.swapout_ms,
        }


def _movable(regions: Regions, kinds: Kinds, turn: int) -> NDArray[np.bool_]:
    result: NDArray[np.bool_] = (regions["present"] > 0) & np.isin(regions["kind"], sorted(kinds))
    return result & retried(regions, turn)


def _move(
    pid: int, regions: Regions, wanted: NDArray[np.bool_], to: tuple[int, ...], page_size: int, urgency: int = 1
) -> list[Move]:
    """At most one Move; longest idle first."""
    rows = regions[wanted]
    if not len(rows):
        return []
    size = rows["present"].astype(np.int64) * page_size
    start, end = rows["start"], ends(rows, page_size)
    return [Move(pid=pid, start=start, end=end, size=size, order=rows["changed"], to=to, urgency=urgency)]
