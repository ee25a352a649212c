"""The ratio policy: a share of the workload's data is kept in swap or on listed nodes, the least recently used of it.

The share is of all processes together, in memory and elsewhere; untouched address space does not count. Regions
go as wholes, so the share is right within half a region; the last one goes only if that comes nearer to the goal.

Memory comes back of its own accord when it is used, and the share falls: then more is sent, at once and exactly. The
share rises only when memory elsewhere is freed, or when the kernel swaps, too. Bringing back costs page-ins and fights
with whoever sent it, so the policy waits for `_SLACK` before it does, and then goes on until the goal.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.policies import routes
from reconciler.engine.policies.age import retried
from reconciler.engine.policies.policy import BACK, Mask, Move, Pages, Seat, View
from reconciler.engine.policies.routes import Part
from reconciler.engine.regions import Regions
from reconciler.engineconfig import SWAP, RatioConfig

_SLACK = 0.02  # of the data: less than half of the five points within which a share holds, more than a region mostly is


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """Pages of data."""

    total: int
    there: int
    goal: int


class Ratio:
    resets = False

    def __init__(self, config: RatioConfig) -> None:
        self._config = config
        self._nodes = tuple(node for node in config.targets if node != SWAP)
        self._swaps = SWAP in config.targets
        self._returning = False
        self.locates = bool(self._nodes)
        self.note = ""

    def observe(self, view: View) -> None:
        """Which way: more goes whenever too little is there, something comes back if it is clearly too much."""
        amounts = self._amounts(view)
        self._returning = amounts.there - amounts.goal > (0 if self._returning else _SLACK * amounts.total)
        self.note = self._unreachable(view)

    def moves(self, view: View) -> Sequence[Move]:
        amounts = self._amounts(view)
        if self._returning:
            found = self._returned(view, amounts.there - amounts.goal)
        else:
            found = self._sent(view, amounts.goal - amounts.there)
        return routes.in_turn(found, view.page_size)

    def dump(self, words: tuple[str, ...], view: View) -> str:
        del words
        amounts, mib = self._amounts(view), view.page_size / (1 << 20)
        share = 100 * amounts.there / max(amounts.total, 1)
        targets = ", ".join("swap" if node == SWAP else f"node {node}" for node in self._config.targets)
        there, total = amounts.there * mib, amounts.total * mib
        return f"{targets}: {there:.1f} MiB of {total:.1f} MiB, {share:.1f} %; wanted: {100 * self._config.ratio:.1f} %"

    # -- how much ----------------------------------------------------------------------------------------------------

    def _amounts(self, view: View) -> Amounts:
        total = sum(int(regions.data_pages(seat.regions).sum()) for seat in view.seats.values())
        there = sum(int((self._on_targets(seat, view) + self._elsewhere(seat)).sum()) for seat in view.seats.values())
        return Amounts(total=total, there=there, goal=round(min(self._config.ratio, 1.0) * total))

    def _on_targets(self, seat: Seat, view: View) -> Pages:
        return routes.pages_on(self._nodes, seat, view)

    def _elsewhere(self, seat: Seat) -> Pages:
        mine = seat.regions
        pages: Pages = (regions.data_pages(mine) - mine["present"]) * self._swaps
        return pages

    # -- there -------------------------------------------------------------------------------------------------------

    def _sent(self, view: View, need: int) -> list[Move]:
        """The least recently used: what a look saw longest ago; of the same age, what fewer looks saw."""
        if need <= 0:
            return []
        offers = {pid: self._offer(seat, view) for pid, seat in view.seats.items()}
        chosen = _chosen(view, offers, _least_recently_used, need)
        return [
            move
            for pid, seat in view.seats.items()
            for move in routes.moves(pid, seat, view, chosen[pid], self._config.targets)
        ]

    def _offer(self, seat: Seat, view: View) -> Pages:
        """Pages of each region that can be sent now."""
        offer = np.zeros(len(seat.regions), np.int64)
        everything = np.ones(len(seat.regions), np.bool_)
        for part in routes.parts(seat, view, everything, self._config.targets):
            offer[part.rows] = part.pages[part.rows]
        return offer * retried(seat.regions, view.turn)

    # -- and back ----------------------------------------------------------------------------------------------------

    def _returned(self, view: View, excess: int) -> list[Move]:
        """The most recently used."""
        if excess <= 0:
            return []
        offers = {pid: self._returnable(seat, view) for pid, seat in view.seats.items()}
        chosen = _chosen(view, offers, _most_recently_used, excess)
        return [
            replace(move, order=view.now - np.minimum(move.order, view.now))
            for pid, seat in view.seats.items()
            for part in self._back(seat, view)
            if len((move := routes.of_regions(pid, seat, view, part.only(chosen[pid]), urgency=0)).start)
        ]

    def _returnable(self, seat: Seat, view: View) -> Pages:
        pages = np.zeros(len(seat.regions), np.int64)
        for part in self._back(seat, view):
            pages += part.pages
        return pages

    def _back(self, seat: Seat, view: View) -> list[Part]:
        """What could come back now, from swap into memory, and from the target nodes to the others."""
        movable = routes.of_kinds(seat.regions, view.moving) & retried(seat.regions, view.turn)
        swapped = seat.regions["swapped"].astype(np.int64) * movable * self._swaps
        others = tuple(node.number for node in view.nodes if node.number not in self._nodes)
        homes = routes.reachable(others, seat, view)
        on_targets = self._on_targets(seat, view) * movable * bool(homes)
        ways = ((BACK, swapped), (homes, on_targets))
        return [Part(to=to, rows=pages > 0, pages=pages) for to, pages in ways if pages.any()]

    def _unreachable(self, view: View) -> str:
        """Processes from which nothing can go."""
        if self._swaps:
            return ""
        stay = [pid for pid, seat in view.seats.items() if not routes.reachable(self._nodes, seat, view)]
        nodes = ", ".join(str(node) for node in self._nodes)
        listed = ", ".join(str(pid) for pid in sorted(stay)[:5]) + (", ..." if len(stay) > 5 else "")
        return f"nodes {nodes} are no memory of processes {listed}: not there, or not in their cpuset" if stay else ""


def _least_recently_used(table: Regions) -> NDArray[np.intp]:
    counted = table["accesses"].astype(np.uint32) + table["writes"]
    return np.lexsort((counted, np.bitwise_count(table["history"]), table["changed"]))


def _most_recently_used(table: Regions) -> NDArray[np.intp]:
    return _least_recently_used(table)[::-1]


def _chosen(
    view: View, offers: Mapping[int, Pages], ranked: Callable[[Regions], NDArray[np.intp]], need: int
) -> dict[int, Mask]:
    """Of all processes together the first regions that make up `need` pages, as masks by process."""
    pages = np.concatenate([offers[pid] for pid in view.seats])
    order = ranked(np.concatenate([seat.regions for seat in view.seats.values()]))
    order = order[pages[order] > 0]
    chosen = np.zeros(len(pages), np.bool_)
    chosen[order[: nearest(np.cumsum(pages[order]), need)]] = True
    edges = np.cumsum([len(seat.regions) for seat in view.seats.values()])[:-1]
    return dict(zip(view.seats, np.split(chosen, edges), strict=True))


def nearest(sums: NDArray[np.int64], need: int) -> int:
    """How many of the first items come nearest to `need`, which are fewer if two numbers come as near."""
    number = int(np.searchsorted(sums, need, side="right"))
    short = need - (int(sums[number - 1]) if number else 0)
    return number + int(number < len(sums) and int(sums[number]) - need < short)
