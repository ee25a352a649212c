"""A process's memory as the prompt shows it: its own address ranges, what is in them, and pages by their attributes.

Only anonymous memory is meant, as in memtierd: what is private and writable. A range counts whether its pages are in
memory, in swap or were never touched, so a process that was paged out completely still has all of them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from reconciler.engine import processes, ranges
from reconciler.engine.processes import Surveyor
from reconciler.engine.ranges import Ranges
from reconciler.engine.regions import Addresses
from reconciler.memtierd import rangetext
from reconciler.memtierd.commands.command import Wrong
from reconciler.memtierd.desk import Desk
from sysfs import maps, pagemap, process
from sysfs.maps import Kind, Maps
from sysfs.pagemap import Entries, Pagemap, Runs

_AT_ONCE = 1 << 16  # pages
NO_RANGES = "no address ranges from which to find pages"
_BITS = {"Present": pagemap.PRESENT, "Exclusive": pagemap.EXCLUSIVE, "Dirty": pagemap.SOFT_DIRTY}
_PLACES = {"InHeap": "heap", "InAnonymous": "anonymous"}
ATTRIBUTES = (*_BITS, "NotDirty", *_PLACES)
USUAL = ("Present", "Exclusive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which pages: bits of pagemap that must be set, and that must not be; parts of the address space."""

    having: np.uint64
    without: np.uint64
    places: tuple[str, ...] = ()


def wanted(attributes: tuple[str, ...]) -> Wanted:
    """Of the words of `pages -attrs`; any case."""
    known = {name.lower(): name for name in ATTRIBUTES}
    for attribute in attributes:
        if attribute.lower() not in known:
            raise Wrong(f"-attrs: {attribute!r} is no attribute; there are {', '.join(ATTRIBUTES)}")
    names = {known[attribute.lower()] for attribute in attributes}
    if {"Dirty", "NotDirty"} <= names:
        raise Wrong("-attrs: Dirty and NotDirty contradict each other")
    having = np.uint64(sum(int(_BITS[name]) for name in names & _BITS.keys()))
    without = _BITS["Dirty"] if "NotDirty" in names else np.uint64(0)
    return Wanted(
        having=having, without=without, places=tuple(sorted(_PLACES[name] for name in names & _PLACES.keys()))
    )


def own(desk: Desk, pid: int) -> Ranges:
    """The process's anonymous mappings."""
    if pid <= 0:
        raise Wrong(f"-pid: {pid} is no process id")
    mapped = maps.read(desk.host.tree, pid)
    mine = mapped.kind == Kind.ANON
    return mapped.start[mine], mapped.end[mine]


def selected(desk: Desk, mine: Ranges, texts: tuple[str, ...]) -> Ranges:
    """The parts that -ranges names; ValueError for what is no range."""
    return ranges.within(mine, rangetext.parse(texts, desk.page_size))


def runs(desk: Desk, pid: int, mine: Ranges) -> Runs:
    """Pages that hold something, clipped to the ranges."""
    nothing = np.zeros(len(mine[0]), np.uint64)
    known = processes.adopt(process.identity(desk.host.tree, pid))
    known.mapped = Maps(start=mine[0], end=mine[1], offset=nothing, kind=nothing.astype(np.uint8))
    scan = desk.host.features.works("pagemap-scan")
    surveyor = Surveyor(desk.host.tree, frozenset(), 1, desk.page_size, scan=scan)
    found = surveyor.runs(known, lambda opened, start, end: opened.scan(start, end))
    if known.skipped_bytes:
        raise Wrong(f"{known.skipped_bytes >> 30} GiB of address space are too large for this kernel: use -ranges")
    low, high = ranges.within((found.start, found.end), mine)
    row = np.searchsorted(found.start, low, side="right") - 1
    return Runs(start=low, end=high, categories=found.categories[row])


def swapped(desk: Desk, pid: int, mine: Ranges) -> Ranges:
    """What is in swap, in runs as long as they can be."""
    found = runs(desk, pid, mine).having(pagemap.IS_SWAPPED)
    return ranges.joined((found.start, found.end))


def present(desk: Desk, pid: int, mine: Ranges) -> int:
    """Bytes in memory."""
    found = runs(desk, pid, mine).having(pagemap.IS_PRESENT, pagemap.IS_FILE | pagemap.IS_ZERO)
    return ranges.size((found.start, found.end))


def pages(desk: Desk, pid: int, mine: Ranges, which: Wanted) -> Ranges:
    """The pages that are as wanted. What was never touched is looked at only if that could be meant."""
    if which.places:
        found = [pair for place in which.places for pair in maps.section(desk.host.tree, pid, place)]
        mine = ranges.within(mine, ranges.columns(sorted(found)))
    if which.having:
        held = runs(desk, pid, mine)
        mine = ranges.joined((held.start, held.end))
    elif ranges.size(mine) > pagemap.SPAN_LIMIT:
        raise Wrong("too much address space for these attributes: add Present, or use -ranges")
    return gathered(_matching(at, entries, which, desk.page_size) for at, entries in entries_of(desk, pid, mine))


def entries_of(desk: Desk, pid: int, mine: Ranges) -> Iterator[tuple[int, Entries]]:
    """Pieces of pagemap, as (first address, entries)."""
    with Pagemap(desk.host.tree, pid, desk.page_size) as opened:
        for start, end in zip(mine[0].tolist(), mine[1].tolist(), strict=True):
            yield from opened.chunks(start, end)


def _matching(at: int, entries: Entries, which: Wanted, page_size: int) -> Ranges:
    mask = ((entries & which.having) == which.having) & ((entries & which.without) == 0)
    return ranges.of_pages(np.uint64(at) + np.flatnonzero(mask).astype(np.uint64) * np.uint64(page_size), page_size)


def gathered(pieces: Iterable[Ranges]) -> Ranges:
    """Ranges in ascending order, as one value."""
    found = list(pieces)
    if not found:
        return ranges.columns([])
    start, end = (np.concatenate(column) for column in zip(*found, strict=True))
    return ranges.joined((start, end))


def expanded(mine: Ranges, page_size: int) -> Iterator[Addresses]:
    """Addresses of all pages, so many at a time."""
    start, end = ranges.split(mine, _AT_ONCE * page_size)
    for low, high in zip(start.tolist(), end.tolist(), strict=True):
        yield np.arange(low, high, page_size, dtype=np.uint64)
