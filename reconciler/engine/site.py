"""A process opened for moving its pages: where they are, which may be moved, and a look again afterwards.

It is the process that was meant, for its identity is compared after everything was opened. Pages are looked at in
pieces of address space, so that what is known of them at a time stays small.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import ranges
from reconciler.engine.ranges import Ranges
from reconciler.engine.regions import Addresses
from reconciler.model import Identity
from sysfs import advise, move_pages, pagemap, process
from sysfs.errors import Gone, Refused
from sysfs.maps import Kind, Maps
from sysfs.page_idle import PageIdle
from sysfs.pagemap import Pagemap
from sysfs.process_memory import ProcessMemory
from sysfs.tree import Tree

PIECE_PAGES = 1 << 16  # of address space, looked at together: 512 KiB of pagemap
BLOCK_PAGES = 512  # a huge page moves as a whole, so it is never divided between two turns

Mask = NDArray[np.bool_]
Statuses = NDArray[np.int32]
Target = Callable[[int], advise.Target]
Pages = Callable[[int], move_pages.MovePages]
Memory = Callable[[Tree, int, int], ProcessMemory]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """How the mover reaches the kernel."""

    tree: Tree
    page_size: int
    target: Target = advise.Target
    pages: Pages = move_pages.MovePages
    memory: Memory = ProcessMemory


@dataclass(slots=True)
class Batch:
    """Neighbouring pages of one mapping, what is wanted of them, and what became of them; columns of equal length."""

    start: int
    kind: int
    entries: NDArray[np.uint64]  # of pagemap, before
    wanted: Mask = field(init=False)
    moved: Mask = field(init=False)  # verified
    there: Mask = field(init=False)  # need not move: they are where they should be
    status: Statuses = field(init=False)  # of pages that were to go to a node: the node they are on, or -errno

    def __post_init__(self) -> None:
        size = len(self.entries)
        self.wanted, self.moved, self.there = (np.zeros(size, np.bool_) for _ in range(3))
        self.status = np.zeros(size, np.int32)

    @property
    def present(self) -> Mask:
        """Pages of the mapping's own kind: neither the zero page nor an untouched file page of a data segment."""
        is_file = (self.entries & pagemap.FILE) != 0
        result: Mask = ((self.entries & pagemap.PRESENT) != 0) & (is_file == (self.kind == Kind.FILE))
        return result

    @property
    def shared(self) -> Mask:
        """Of those, pages that other processes map, too; nobody moves them for one of their users."""
        result: Mask = self.present & ((self.entries & pagemap.EXCLUSIVE) == 0)
        return result

    def cut(self, pages: int) -> "Batch":
        """The first so many pages."""
        shorter = Batch(self.start, self.kind, self.entries[:pages])
        shorter.wanted, shorter.there = self.wanted[:pages], self.there[:pages]
        shorter.status = self.status[:pages]
        return shorter


class Site:
    """Open as long as the pages of one process are moved."""

    def __init__(self, doors: Doors, identity: Identity, mapped: Maps, marks: PageIdle | None = None) -> None:
        self.doors, self.pid, self.mapped, self.marks = doors, identity[0], mapped, marks
        self.page_size = doors.page_size
        with ExitStack() as opened:
            self.target = opened.enter_context(doors.target(self.pid))
            self._pagemap = opened.enter_context(Pagemap(doors.tree, self.pid, doors.page_size))
            _must_be(doors.tree, identity)  # asked after opening: from here on it is nobody else
            self._open = opened.pop_all()
        self.pages = doors.pages(self.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._open.close()

    def pieces(self, wanted: Ranges, first_pages: int) -> Iterator[list[Batch]]:
        """The mapped part of the ranges, so much at a time; one mapping a batch, whole blocks where it can be.

        The kernel refuses all of a range that begins in, say, a locked mapping. Pieces grow: where little is to be
        moved, much is looked at together.
        """
        block, most = BLOCK_PAGES * self.page_size, max(first_pages, BLOCK_PAGES)
        together, size = list[tuple[int, int]](), 0
        for start, end in zip(*(column.tolist() for column in self._spans(wanted)), strict=True):
            at = start
            while at < end:
                room = min(most, PIECE_PAGES) * self.page_size - size
                stop = min((at + room) // block * block, end)
                if stop <= at:
                    yield self._batches(together)
                    together, size, most = [], 0, most * 2
                    continue
                together.append((at, stop))
                size, at = size + stop - at, stop
        if together:
            yield self._batches(together)

    def _spans(self, wanted: Ranges) -> Ranges:
        return ranges.within(ranges.joined(wanted), (self.mapped.start, self.mapped.end))

    def _batches(self, spans: list[tuple[int, int]]) -> list[Batch]:
        return [Batch(start, self._kind(start), self._pagemap.entries(start, end)) for start, end in spans]

    def _kind(self, address: int) -> int:
        return int(self.mapped.kind[np.searchsorted(self.mapped.end, address, side="right")])

    def movable(self, batch: Batch) -> Mask:
        """Pages that only this process maps and that are in memory; of those, if it matters, the idle ones."""
        found: Mask = batch.present & ((batch.entries & pagemap.EXCLUSIVE) != 0)
        if self.marks is not None and found.any():
            frames = batch.entries[found] & pagemap.PFN
            if not frames.any():
                raise Refused(None, "hides page frame numbers: CAP_SYS_ADMIN is needed", self._pagemap.path)
            found[found] = self.marks.marked(frames)
        return found

    def again(self, batch: Batch) -> NDArray[np.uint64]:
        """The batch's pagemap entries now; what is beyond the end of the address space is 0."""
        size = len(batch.entries)
        after = self._pagemap.entries(batch.start, batch.start + size * self.page_size)
        return np.append(after, np.zeros(size - len(after), np.uint64))

    def addresses(self, batch: Batch, mask: Mask) -> Addresses:
        return np.uint64(batch.start) + np.flatnonzero(mask).astype(np.uint64) * np.uint64(self.page_size)

    def runs(self, batches: list[Batch]) -> Ranges:
        """Address ranges of what is wanted and has not moved yet."""
        found = [ranges.runs(batch.start, batch.wanted & ~batch.moved, self.page_size) for batch in batches]
        return np.concatenate([start for start, _ in found]), np.concatenate([end for _, end in found])


def _must_be(tree: Tree, identity: Identity) -> None:
    if process.identity(tree, identity[0]) != identity:
        raise Gone(None, "is another process now", f"process {identity[0]}")
