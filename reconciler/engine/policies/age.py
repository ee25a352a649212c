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
from reconciler.engine.policies import routes
from reconciler.engine.policies.policy import TO_SWAP, Mask, Move, Seat, View
from reconciler.engine.regions import Regions, idle_time
from reconciler.engineconfig import SWAP, AgeConfig

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
        idle_nodes = config.idle_nodes if config.idle_ms else ()
        active_nodes = config.active_nodes if config.active_ms else ()
        self.locates = any(node != SWAP for node in (*idle_nodes, *active_nodes))

    def observe(self, view: View) -> None:
        """All that it knows is in the regions."""

    def moves(self, view: View) -> Sequence[Move]:
        """Active memory first; what leaves for swap and what leaves for nodes share the bandwidth."""
        found = []
        for purpose in (self._promoted, self._swapped_out, self._demoted):
            of_purpose = [move for pid, seat in view.seats.items() for move in purpose(pid, seat, view)]
            found += routes.in_turn(of_purpose, view.page_size)
        return found

    def _promoted(self, pid: int, seat: Seat, view: View) -> list[Move]:
        """What is in swap comes back by itself when it is used."""
        nodes = tuple(node for node in self._config.active_nodes if node != SWAP)
        if not self._config.active_ms or not nodes:
            return []
        wanted = active(seat.regions, seat.looked, self._config.active_ms) & retried(seat.regions, view.turn)
        return routes.moves(pid, seat, view, wanted, nodes, urgency=0)

    def _swapped_out(self, pid: int, seat: Seat, view: View) -> list[Move]:
        wanted = self._leaves(seat, view) & retried(seat.regions, view.turn)
        return routes.moves(pid, seat, view, wanted, TO_SWAP)

    def _demoted(self, pid: int, seat: Seat, view: View) -> list[Move]:
        if not self._config.idle_ms or not self._config.idle_nodes:
            return []
        wanted = idle(seat.regions, seat.looked, self._config.idle_ms) & ~self._leaves(seat, view)
        wanted &= retried(seat.regions, view.turn)
        return routes.moves(pid, seat, view, wanted, self._config.idle_nodes)

    def _leaves(self, seat: Seat, view: View) -> Mask:
        """What is idle for long enough to leave memory, and may do so now; what may not can still be demoted."""
        if not self._config.swapout_ms:
            return np.zeros(len(seat.regions), np.bool_)
        long_idle = idle(seat.regions, seat.looked, self._config.swapout_ms)
        return long_idle & routes.of_kinds(seat.regions, view.leaving)

    def dump(self, words: tuple[str, ...], view: View) -> str:
        """`accessed [LIMITS [PIDS]]`: the table of memory by time since last access."""
        return accessed.dump(words, view, self._limits())

    def _limits(self) -> dict[str, int]:
        return {
            "active": self._config.active_ms,
            "idle": self._config.idle_ms,
            "swapout": self._config.swapout_ms,
        }
