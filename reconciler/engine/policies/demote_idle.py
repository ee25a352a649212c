"""The demote-idle policy: single pages that nobody used for one whole interval go to slower nodes, or to swap.

The tracker idlepage marks pages idle, and marks again only what was accessed: a page whose mark stood in a look was not
used since the look before it. Those pages it lists (Seat.idle), a process's first look excepted, whose marks may be
younger than an interval. That list is what may move, and nothing else whose mark stands: what was accessed and marked
again a moment ago is not idle. The mover asks for the mark once more before it moves a page (Move.only_idle), and a
page that was used meanwhile stays.

Looks come once an interval of this policy; if they are rarer, pages have been idle for longer.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from reconciler.engine import regions
from reconciler.engine.policies import routes
from reconciler.engine.policies.age import retried
from reconciler.engine.policies.policy import Move, Seat, View
from reconciler.engine.policies.routes import Part
from reconciler.engine.regions import Addresses
from reconciler.engineconfig import SWAP, DemoteIdleConfig

Ranges = tuple[Addresses, Addresses]


class DemoteIdle:
    note = ""
    resets = False

    def __init__(self, config: DemoteIdleConfig) -> None:
        self._nodes = config.idle_nodes
        self.locates = any(node != SWAP for node in config.idle_nodes)

    def observe(self, view: View) -> None:
        """All that it knows is in the marks."""

    def moves(self, view: View) -> Sequence[Move]:
        found = [move for pid, seat in view.seats.items() for move in self._of_process(pid, seat, view)]
        return routes.in_turn(found, view.page_size)

    def _of_process(self, pid: int, seat: Seat, view: View) -> Iterator[Move]:
        idle = seat.idle if view.interest is None else _both(seat.idle, view.interest.get(pid))
        if idle is None or not len(idle[0]):
            return
        for part in routes.parts(seat, view, retried(seat.regions, view.turn), self._nodes):
            yield from _of_pages(pid, seat, view, part, idle)

    def dump(self, words: tuple[str, ...], view: View) -> str:
        """How much is of interest."""
        del words
        ranges = view.interest if view.interest is not None else _everything(view)
        number = sum(len(start) for start, _ in ranges.values())
        size = sum(int((end - start).sum()) for start, end in ranges.values())
        return f"pids: {len(ranges)}, ranges: {number}, pages: {size // view.page_size} ({size >> 20} MiB)"


def _of_pages(pid: int, seat: Seat, view: View, part: Part, idle: Ranges) -> Iterator[Move]:
    """The idle ranges that lie in the part's regions, cut at their borders."""
    rows = seat.regions[part.rows]
    start, end, row = regions.overlaps(idle, (rows["start"], regions.ends(rows, view.page_size)))
    if len(start):
        size, order = (end - start).astype(np.int64), rows["changed"][row]
        yield Move(pid=pid, start=start, end=end, size=size, order=order, to=part.to, only_idle=True)


def _both(one: Ranges | None, other: Ranges | None) -> Ranges | None:
    return None if one is None or other is None else regions.overlaps(one, other)[:2]


def _everything(view: View) -> dict[int, Ranges]:
    ends = {pid: regions.ends(seat.regions, view.page_size) for pid, seat in view.seats.items()}
    return {pid: regions.merged(seat.regions["start"], ends[pid]) for pid, seat in view.seats.items()}
