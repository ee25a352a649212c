"""A process's regions as columns, 40 bytes each: cut from its mappings, given ages, kept while mappings change.

A region is a window of address space on a fixed grid (multiples of `pages_in_region` pages counted from address 0,
clipped to its mapping), so that a mapping that grows or shrinks at either end keeps the regions it had, and a huge page
of 2 MiB lies in one region. Only windows that hold pages are regions: what was never touched is not idle data.

Times are deciseconds since the engine started.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

REGION = np.dtype(
    [
        ("start", np.uint64),
        ("pages", np.uint32),  # of address space
        ("present", np.uint32),  # pages in memory
        ("swapped", np.uint32),  # pages in swap
        ("out", np.uint32),  # pages that we have paged out and that have not come back
        ("changed", np.uint32),  # when an access was seen last, deciseconds
        ("rested", np.uint32),  # when a look saw none last, deciseconds
        ("history", np.uint16),  # bit i = accessed i looks ago
        ("accesses", np.uint16),  # since somebody reset the counters; both stop at their largest value
        ("writes", np.uint16),
        ("kind", np.uint8),  # sysfs.maps.Kind
        ("tries", np.uint8),  # fruitless page-outs in a row
    ]
)
assert REGION.itemsize == 40

Regions = NDArray[np.void]
Addresses = NDArray[np.uint64]
Counts = NDArray[np.int64]

_MOST_COUNTED = np.uint32(0xFFFF)
ASSUMED_IN_USE = np.uint16(0xFFFF)  # history of a region that is new: accessed, as far as anybody knows


def none() -> Regions:
    return np.empty(0, REGION)


def ends(regions: Regions, page_size: int) -> Addresses:
    result: Addresses = regions["start"] + regions["pages"].astype(np.uint64) * np.uint64(page_size)
    return result


def spans(regions: Regions, page_size: int, cuts: Addresses | None = None) -> list[tuple[int, int]]:
    """Address ranges of regions that follow each other without a gap, taken together, but not across `cuts`."""
    if not len(regions):
        return []
    start, end = regions["start"], ends(regions, page_size)
    apart = start[1:] != end[:-1]
    edge = np.flatnonzero(apart if cuts is None else apart | np.isin(start[1:], cuts)) + 1
    firsts, lasts = np.append(0, edge), np.append(edge, len(regions)) - 1
    return list(zip(start[firsts].tolist(), end[lasts].tolist(), strict=True))


def covered(run_start: Addresses, run_end: Addresses, at: Addresses) -> NDArray[np.int64]:
    """How many bytes of the (sorted, disjoint) runs lie below each address."""
    if not len(run_start):
        return np.zeros(len(at), np.int64)
    before = np.concatenate(([0], np.cumsum((run_end - run_start).astype(np.int64))))
    index = np.searchsorted(run_start, at, side="right")
    last = np.maximum(index - 1, 0)
    beyond = at.astype(np.int64) - run_end[last].astype(np.int64)
    # The last run that begins below the address may reach over it; that part is taken off again.
    result: NDArray[np.int64] = before[index] + np.where(index > 0, np.minimum(beyond, 0), 0)
    return result


def count(run_start: Addresses, run_end: Addresses, regions: Regions, page_size: int) -> NDArray[np.int64]:
    """Pages of each region that the runs cover."""
    below = covered(run_start, run_end, ends(regions, page_size)) - covered(run_start, run_end, regions["start"])
    result: NDArray[np.int64] = below // page_size
    return result


def cut(
    mappings: tuple[Addresses, Addresses, NDArray[np.uint8]], windows: Addresses, window_pages: int, page_size: int
) -> Regions:
    """Regions of these windows (addresses in ascending order), clipped to mappings (sorted, disjoint)."""
    start, end, kind = mappings
    low, high = windows, windows + np.uint64(window_pages * page_size)
    first = np.searchsorted(end, low, side="right")
    number = np.searchsorted(start, high, side="left") - first
    window, mapping = pairs(first, np.maximum(number, 0))
    table = np.zeros(len(window), REGION)
    table["start"] = np.maximum(low[window], start[mapping])
    stop = np.minimum(high[window], end[mapping])
    table["pages"] = (stop - table["start"]) // np.uint64(page_size)
    table["kind"] = kind[mapping]
    return table


def most_windows(start: Addresses, end: Addresses, size: int) -> int:
    """At least as many as `windows` gives."""
    return int(((end - np.uint64(1)) // np.uint64(size) - start // np.uint64(size)).sum()) + len(start)


def windows(start: Addresses, end: Addresses, size: int, most: int) -> Iterator[Addresses]:
    """The grid's windows that the ranges (sorted, disjoint) touch, in ascending order, at most so many at a time."""
    first = start // np.uint64(size)
    number = ((end - np.uint64(1)) // np.uint64(size) - first).astype(np.int64) + 1
    upto = np.cumsum(number)
    after = -1  # ranges may share a window
    for at in range(0, int(upto[-1]) if len(upto) else 0, most):
        index = np.arange(at, min(at + most, int(upto[-1])))
        owner = np.searchsorted(upto, index, side="right")
        found = np.unique(first[owner].astype(np.int64) + index - (upto - number)[owner])
        found = found[found > after]
        if len(found):
            after = int(found[-1])
            yield found.astype(np.uint64) * np.uint64(size)


def union(start: Addresses, end: Addresses) -> tuple[Addresses, Addresses]:
    """The same addresses as sorted disjoint ranges."""
    if not len(start):
        return start, end
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    head = np.flatnonzero(np.append(True, start[1:] > reach[:-1]))
    return start[head], reach[np.append(head[1:], len(start)) - 1]


def pairs(first: NDArray[np.int64], number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """For each row i the numbers first[i] .. first[i] + number[i] - 1, as (row, number) columns."""
    row = np.repeat(np.arange(len(first)), number)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    return row, np.asarray(first)[row] + offset


def carry(old: Regions, new: Regions, now: int, page_size: int) -> Regions:
    """`new` with what was known of `old` where they overlap: the latest access counts. The rest changed `now`."""
    result = new.copy()
    result["changed"], result["rested"], result["history"] = now, now, ASSUMED_IN_USE
    if not len(old) or not len(new):
        return result
    first = np.searchsorted(ends(old, page_size), new["start"], side="right")
    last = np.searchsorted(old["start"], ends(new, page_size), side="left")
    known = np.flatnonzero(last > first)
    if not len(known):
        return result
    # reduceat over [first, last) pairs; every second slot is the stretch between two pairs and is thrown away.
    edges = np.column_stack((first[known], last[known])).ravel()
    result["changed"][known] = _reduce(np.maximum, old["changed"], edges)
    result["rested"][known] = _reduce(np.maximum, old["rested"], edges)
    result["history"][known] = _reduce(np.bitwise_or, old["history"], edges)
    result["accesses"][known] = _reduce(np.maximum, old["accesses"], edges)
    result["writes"][known] = _reduce(np.maximum, old["writes"], edges)
    result["tries"][known] = _reduce(np.minimum, old["tries"], edges)
    _carry_out(old, result, page_size)
    return result


def _carry_out(old: Regions, new: Regions, page_size: int) -> None:
    """What we paged out of a region that lies in one new one; of a region that was split nobody knows where it is."""
    inside = np.searchsorted(new["start"], old["start"], side="right") - 1
    whole = (inside >= 0) & (ends(old, page_size) <= ends(new, page_size)[np.maximum(inside, 0)])
    np.add.at(new["out"], inside[whole], old["out"][whole])
    present = np.zeros(len(new), np.int64)
    np.add.at(present, inside[whole], old["present"][whole])
    new["present"] = present


def _reduce(operation: np.ufunc, column: NDArray[np.generic], edges: NDArray[np.int64]) -> NDArray[np.generic]:
    padded = np.append(column, column[-1:])  # an edge may be the very end
    result: NDArray[np.generic] = operation.reduceat(padded, edges)[::2]
    return result


def look(
    regions: Regions, accessed: NDArray[np.bool_], counts: tuple[NDArray[np.uint32], NDArray[np.uint32]], now: int
) -> Regions:
    """After one look of the tracker, which counted accesses and writes."""
    accesses, writes = counts
    result = regions.copy()
    result["history"] = (result["history"] << np.uint16(1)) | accessed
    result["changed"][accessed] = now
    result["rested"][~accessed] = now
    result["tries"][accessed] = 0
    result["accesses"] = np.minimum(result["accesses"] + accesses, _MOST_COUNTED)
    result["writes"] = np.minimum(result["writes"] + writes, _MOST_COUNTED)
    return result


def idle_time(regions: Regions, looked: int) -> Counts:
    """Deciseconds between the last access seen and the last look."""
    result: Counts = np.maximum(np.int64(looked) - regions["changed"].astype(np.int64), 0)
    return result


def vouched(regions: Regions, unused: NDArray[np.uint32], now: int) -> Regions:
    """With what the kernel knows of times before we looked: regions unused for so long were not changed since.

    Only of regions that were never seen accessed and then unused again: there we know better.
    """
    result = regions.copy()
    empty = ~regions["history"]
    known = np.flatnonzero((unused > 0) & ((empty & (empty + np.uint16(1))) == 0))
    result["changed"][known] = np.minimum(result["changed"][known], np.maximum(now - unused[known].astype(np.int64), 0))
    return result


def reset(regions: Regions) -> Regions:
    """With counters that begin again at 0."""
    result = regions.copy()
    result["accesses"], result["writes"] = 0, 0
    return result


def populate(regions: Regions, counts: tuple[Counts, Counts], anon: int, now: int) -> tuple[Regions, int]:
    """With fresh counts of present and swapped pages; also how many pages came back that we had paged out.

    Of anonymous memory that is what left swap again, unless it was freed: so at most what is present counts. Of a file
    it is what has been mapped in addition since the last count. Who comes back was accessed, whatever a tracker saw.
    """
    present, swapped = counts
    result = regions.copy()
    is_anon = regions["kind"] == anon
    out = regions["out"].astype(np.int64)
    more = np.maximum(present - regions["present"].astype(np.int64), 0)
    back = np.where(is_anon, np.minimum(np.maximum(out - swapped, 0), present), np.minimum(out, more))
    result["present"], result["swapped"] = present, swapped
    result["out"] = np.where(is_anon, np.minimum(out, swapped), out - back)
    result["changed"][back > 0] = now
    result["history"][back > 0] |= np.uint16(1)
    return result, int(back.sum())


def entrusted(regions: Regions, anon: int) -> Regions:
    """Where the kernel itself pages out, nobody says which pages: all anonymous ones that are in swap count as sent."""
    result = regions.copy()
    is_anon = regions["kind"] == anon
    result["out"][is_anon] = regions["swapped"][is_anon]
    return result


def holds_something(regions: Regions) -> Regions:
    """Without regions that have no page anywhere; those whose file pages we sent away stay."""
    kept: Regions = regions[(regions["present"] > 0) | (regions["swapped"] > 0) | (regions["out"] > 0)]
    return kept


def data_pages(regions: Regions) -> NDArray[np.int64]:
    """Pages of data in each region, wherever they are now."""
    elsewhere = np.maximum(regions["swapped"], regions["out"])
    result: NDArray[np.int64] = regions["present"].astype(np.int64) + elsewhere
    return result


def merged(start: Addresses, end: Addresses) -> tuple[Addresses, Addresses]:
    """The same addresses as sorted ranges that neither overlap nor touch."""
    order = np.argsort(start, kind="stable")
    start, reach = start[order], np.maximum.accumulate(end[order])
    first = np.append(True, start[1:] > reach[:-1])[: len(start)]
    last = np.append(first[1:], True)[: len(start)]
    return start[first], reach[last]


def overlaps(
    one: tuple[Addresses, Addresses], other: tuple[Addresses, Addresses]
) -> tuple[Addresses, Addresses, NDArray[np.intp]]:
    """Ranges that lie in both (each sorted and disjoint), and for each the index of the range of `other`."""
    first = np.searchsorted(other[1], one[0], side="right")
    number = np.searchsorted(other[0], one[1], side="left") - first
    mine, its = pairs(first, np.maximum(number, 0))
    index = its.astype(np.intp)
    return np.maximum(one[0][mine], other[0][index]), np.minimum(one[1][mine], other[1][index]), index
