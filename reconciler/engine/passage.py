"""Carrying out one move on one process: as much as the budget allows, and what came of it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.ranges import Ranges
from reconciler.engine.regions import Addresses, Regions
from reconciler.engine.site import BLOCK_PAGES, Batch, Site
from sysfs.maps import Kind

_MOST_PAGES = 1 << 21  # of address space that one turn looks at, whether anything can be moved there or not
_TRIES_MAX = np.uint8(255)


class Way(Protocol):
    """How pages move: out, back, or to a node."""

    def choose(self, batch: Batch) -> None:
        """Say which pages of it should move."""

    def perform(self, batches: list[Batch]) -> int:
        """Move what is wanted, and verify; returns bytes of bandwidth used."""


@dataclass(slots=True)
class Ledger:
    """Of one process: what moved, in sums and by region."""

    page_size: int
    mine: Regions = field(default_factory=regions.none)
    looked: int = 0  # pages that were in memory, or in swap for those that come back
    wanted: int = 0  # pages
    moved: int = 0
    shared: int = 0
    errors: Counter[int] = field(default_factory=Counter)  # pages by errno
    stayed: list[Addresses] = field(default_factory=list)  # pages that were wanted and did not move
    keeps_stayed: bool = False
    of_region: dict[str, regions.Counts] = field(default_factory=dict)

    def add(self, batches: list[Batch], site: Site) -> None:
        for batch in batches:
            self.looked += int((batch.present | batch.wanted).sum())
            self.wanted += int(batch.wanted.sum())
            self.moved += int(batch.moved.sum())
            self.shared += int(batch.shared.sum())
            failed = batch.wanted & ~batch.moved
            if failed.any():
                codes, pages = np.unique(-np.minimum(batch.status[failed], 0), return_counts=True)
                self.errors.update(dict(zip(codes.tolist(), pages.tolist(), strict=True)))
                if self.keeps_stayed:
                    self.stayed.append(site.addresses(batch, failed))
        if len(self.mine):
            for name in ("moved", "there"):
                found = [site.addresses(batch, getattr(batch, name)) for batch in batches]
                self._count(name, np.concatenate(found))

    def _count(self, name: str, addresses: Addresses) -> None:
        owner = np.searchsorted(self.mine["start"], addresses, side="right") - 1
        inside = (owner >= 0) & (addresses < regions.ends(self.mine, self.page_size)[owner])
        count = np.bincount(owner[inside], minlength=len(self.mine))
        self.of_region[name] = self.of_region.get(name, np.zeros(len(self.mine), np.int64)) + count

    # -- what the columns of the regions are told ---------------------------------------------------------------------

    def book_out(self, visited: Ranges) -> None:
        gone = self._of_region("moved")
        mine, is_anon = self.mine, self.mine["kind"] == Kind.ANON
        mine["present"] -= np.minimum(gone, mine["present"])
        mine["swapped"] += np.where(is_anon, gone, 0).astype(np.uint32)
        mine["out"] += gone
        self._tried(visited, gone > 0)

    def book_back(self, visited: Ranges) -> None:
        """Not `out` any more either: what we brought back ourselves is no sign of a wrong page-out."""
        came = self._of_region("moved")
        mine = self.mine
        mine["present"] += came
        mine["swapped"] -= np.minimum(came, mine["swapped"])
        mine["out"] -= np.minimum(came, mine["out"])
        self._tried(visited, came > 0)

    def book_nodes(self, visited: Ranges) -> None:
        """A region all of whose pages are there already was not tried in vain."""
        self._tried(visited, (self._of_region("moved") > 0) | (self._of_region("there") > 0))

    def book_failure(self, visited: Ranges) -> None:
        self._tried(visited, np.zeros(len(self.mine), np.bool_))

    def _of_region(self, name: str) -> NDArray[np.uint32]:
        return self.of_region.get(name, np.zeros(len(self.mine), np.int64)).astype(np.uint32)

    def _tried(self, visited: Ranges, fruitful: NDArray[np.bool_]) -> None:
        mine = self.mine
        if not len(mine):
            return
        start, end = visited
        below = regions.covered(start, end, regions.ends(mine, self.page_size)) - regions.covered(
            start, end, mine["start"]
        )
        again = np.minimum(mine["tries"], _TRIES_MAX - 1) + np.uint8(1)
        mine["tries"] = np.where(below > 0, np.where(fruitful, 0, again), mine["tries"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    spent: int  # bytes of bandwidth
    next: int | None = None  # the address to go on at; None = all was handled


def carry_out(
    site: Site, way: Way, wanted: Ranges, budget: float, ledger: Ledger, stopped: Callable[[], bool] = lambda: False
) -> Passed:
    """Handle the ranges in order until the budget (bytes) is spent; a block of pages even if it is: debts are kept."""
    spent, looked = 0, 0
    pages = max(int(budget) // site.page_size, BLOCK_PAGES)
    for batches in site.pieces(wanted, pages):
        if spent > budget or looked > _MOST_PAGES or (looked and stopped()):
            return Passed(spent=spent, next=batches[0].start)
        looked += sum(len(batch.entries) for batch in batches)
        for batch in batches:
            way.choose(batch)
        taken, further = cut(batches, max(pages - spent // site.page_size, 0), site.page_size)
        spent += way.perform(taken)
        ledger.add(taken, site)
        if further is not None:
            return Passed(spent=spent, next=further)
    return Passed(spent=spent)


def cut(batches: list[Batch], pages: int, page_size: int) -> tuple[list[Batch], int | None]:
    """As many batches as hold so many wanted pages, give or take a block, and the address of what is left over."""
    taken, some = list[Batch](), False
    for batch in batches:
        index = np.flatnonzero(batch.wanted)
        if len(index) > pages:
            size = _end(batch, index, pages, page_size, some=some)
            if size < len(batch.entries):
                return [*taken, batch.cut(size)], batch.start + size * page_size
        pages, some = max(pages - len(index), 0), some or len(index) > 0
        taken.append(batch)
    return taken, None


def _end(batch: Batch, index: NDArray[np.intp], pages: int, page_size: int, *, some: bool) -> int:
    """How many pages of the batch to take: a block that was begun is taken as a whole, and at least one is."""
    if pages == 0 and some:
        return int(index[0])
    first = batch.start // page_size
    last = int(index[max(pages - 1, 0)])
    block_end = ((first + last) // BLOCK_PAGES + 1) * BLOCK_PAGES - first
    return min(max(block_end, last + 1), len(batch.entries)) if index[pages] < block_end else int(index[pages])
