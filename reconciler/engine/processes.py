"""The processes of one workload: who they are, and what their memory looks like.

A process is pid, start time and layout of its memory: a pid that was given to somebody else, or one after exec, is
another process, whose memory nobody has looked at yet.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from reconciler.engine import regions
from reconciler.engine.regions import Addresses, Regions
from reconciler.model import Identity
from sysfs import kcmp, maps, pagemap, process
from sysfs.errors import Gone, KernelError, Rejected, Unsupported
from sysfs.maps import Kind, Maps
from sysfs.pagemap import IS_FILE, IS_PRESENT, IS_SWAPPED, IS_ZERO, Pagemap, Runs
from sysfs.tree import Tree

_HOST_READ_S = 10.0
_PIECE = 1 << 13  # windows that are surveyed at a time


@dataclass(slots=True)
class Figures:
    """Sums since the process was adopted."""

    scans: int = 0
    pages: int = 0  # looked at
    accessed: int = 0  # pages of regions that were seen accessed
    seconds: float = 0.0
    last_pages: int = 0
    last_accessed: int = 0
    last_seconds: float = 0.0
    longest: float = 0.0
    moves: int = 0
    advised: int = 0  # bytes
    left: int = 0  # bytes, verified

    def scanned(self, pages: int, accessed: int, seconds: float) -> None:
        self.scans += 1
        self.pages += pages
        self.accessed += accessed
        self.seconds += seconds
        self.last_pages, self.last_accessed, self.last_seconds = pages, accessed, seconds
        self.longest = max(self.longest, seconds)

    def moved(self, advised: int, left: int) -> None:
        self.moves += 1
        self.advised += advised
        self.left += left


@dataclass(slots=True, kw_only=True)
class Process:
    """Columns are replaced as a whole, or changed by the one loop that owns them; readers only sum up."""

    identity: Identity
    mapped: Maps
    regions: Regions = field(default_factory=regions.none)
    looked: int = 0  # deciseconds, of the last look
    idle: tuple[Addresses, Addresses] | None = None  # trackers.tracker.Seen.idle of the last look
    refreshed: float = float("-inf")
    figures: Figures = field(default_factory=Figures)
    skipped_bytes: int = 0  # address space too large to read on this kernel

    @property
    def pid(self) -> int:
        return self.identity[0]


def adopt(identity: Identity) -> Process:
    nothing = np.empty(0, np.uint64)
    mapped = Maps(start=nothing, end=nothing, offset=nothing, kind=np.empty(0, np.uint8))
    return Process(identity=identity, mapped=mapped)


def is_still(tree: Tree, known: Process) -> bool:
    """Whether the pid still is this process, with this memory."""
    try:
        return process.identity(tree, known.pid) == known.identity
    except Gone:
        return False


def sharing(tree: Tree, same: Callable[[int, int], bool] = kcmp.same_memory) -> Callable[[int, int], bool]:
    """Tells whether two processes have one memory: as the kernel says, or if it does not, by what they have mapped."""

    def share(one: int, other: int) -> bool:
        with suppress(KernelError):
            return same(one, other)
        with suppress(KernelError):
            return tree.read_bytes(f"/proc/{one}/maps") == tree.read_bytes(f"/proc/{other}/maps")
        return False  # one of them is gone

    return share


class Surveyor:
    """Looks what a process has mapped, and where its pages are."""

    def __init__(self, tree: Tree, kinds: frozenset[int], window_pages: int, page_size: int, *, scan: bool) -> None:
        self.tree, self.page_size = tree, page_size
        self._kinds, self._window, self._scan = sorted(kinds), window_pages, scan
        self._host, self._host_read = maps.NO_DEVICES, float("-inf")

    def refresh(self, known: Process, now: float, deciseconds: int) -> int:
        """New columns that keep what was known; returns pages that came back though we had paged them out.

        A piece at a time: what is needed in between, several times the columns themselves, stays small.
        """
        known.mapped = self._mapped(known, now)
        runs = self._runs(known)
        start, end = self._populated(known, runs)
        size, filled, back = self._window * self.page_size, 0, 0
        table = np.empty(regions.most_windows(start, end, size) + len(known.mapped), regions.REGION)
        for windows in regions.windows(start, end, size, _PIECE):
            piece, more = self._of_windows(known, runs, windows, deciseconds)
            table[filled : filled + len(piece)] = piece
            filled, back = filled + len(piece), back + more
        known.regions, known.refreshed = table[:filled], now
        return back

    def _of_windows(
        self, known: Process, runs: Runs, windows: regions.Addresses, deciseconds: int
    ) -> tuple[Regions, int]:
        low, high = windows[0], windows[-1] + np.uint64(self._window * self.page_size)
        mapped, runs = known.mapped, runs.between(low, high)
        new = regions.cut((mapped.start, mapped.end, mapped.kind), windows, self._window, self.page_size)
        first, last = np.searchsorted(known.regions["start"], [low, high])
        aged = regions.carry(known.regions[first:last], new, deciseconds, self.page_size)
        filled, back = regions.populate(aged, self._counts(runs, aged), int(Kind.ANON), deciseconds)
        return regions.holds_something(filled), back

    def _populated(self, known: Process, runs: Runs) -> tuple[regions.Addresses, regions.Addresses]:
        """Where there are pages, or have been."""
        sent = known.regions[known.regions["out"] > 0]
        start = np.concatenate((runs.start, sent["start"]))
        return regions.union(start, np.concatenate((runs.end, regions.ends(sent, self.page_size))))

    def _mapped(self, known: Process, now: float) -> Maps:
        if now - self._host_read >= _HOST_READ_S:
            self._host, self._host_read = maps.devices(self.tree, 1), now
        found = maps.read(self.tree, known.pid, self._host | maps.devices(self.tree, known.pid))
        mask = np.isin(found.kind, self._kinds)
        return Maps(start=found.start[mask], end=found.end[mask], offset=found.offset[mask], kind=found.kind[mask])

    def _counts(self, runs: Runs, mine: Regions) -> tuple[regions.Counts, regions.Counts]:
        """Present and swapped pages; a mapping's own kind of page only: no untouched file page of a data segment."""
        own, of_file = runs.having(IS_PRESENT, IS_FILE | IS_ZERO), runs.having(IS_PRESENT | IS_FILE)
        present = np.where(mine["kind"] == Kind.ANON, self._count(own, mine), self._count(of_file, mine))
        swapped = np.where(mine["kind"] == Kind.ANON, self._count(runs.having(IS_SWAPPED), mine), 0)
        return present, swapped

    def _count(self, runs: Runs, mine: Regions) -> regions.Counts:
        return regions.count(runs.start, runs.end, mine, self.page_size)

    def _runs(self, known: Process) -> Runs:
        return self.runs(known, lambda opened, start, end: opened.scan(start, end))

    def runs(self, known: Process, scan: Callable[[Pagemap, int, int], Runs]) -> Runs:
        """Runs of all mappings: by one scan over everything where the kernel can, else by reading each."""
        if not len(known.mapped):
            return pagemap.merge([])
        with Pagemap(self.tree, known.pid, self.page_size) as opened:
            if self._scan:
                try:
                    return scan(opened, int(known.mapped.start[0]), int(known.mapped.end[-1]))
                except (Unsupported, Rejected):  # no ioctl, or not this category: never ask again
                    self._scan = False
            return self._read(opened, known)

    def _read(self, opened: Pagemap, known: Process) -> Runs:
        sizes = known.mapped.end - known.mapped.start
        fits = sizes <= pagemap.SPAN_LIMIT
        known.skipped_bytes = int(sizes[~fits].sum())
        spans = zip(known.mapped.start[fits].tolist(), known.mapped.end[fits].tolist(), strict=True)
        return pagemap.merge([opened.read_runs(start, end) for start, end in spans])
