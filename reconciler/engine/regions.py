"""A process's regions as columns, 40 bytes each: cut from its mappings, given ages, kept while mappings change.

A region is a window of address space on a fixed grid (multiples of `pages_in_region` pages counted from address 0,
clipped to its mapping), so that a mapping that grows or shrinks at either end keeps the regions it had, and a huge page
of 2 MiB lies in one region. Only windows that hold pages are regions: what was never touched is not idle data.

Times are deciseconds since the engine started.
"""

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
    mappings: tuple[Addresses, Addresses, NDArray[np.uint8]],
    populated: tuple[Addresses, Addresses],
    window_pages: int,
    page_size: int,
) -> Regions:
    """Regions of all windows that hold pages, or did (`populated`: sorted disjoint ranges), clipped to mappings."""
    start, end, kind = mappings
    windows = _windows(*populated, window_pages * page_size)
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


def _windows(start: Addresses, end: Addresses, size: int) -> Addresses:
    """Addresses of the grid's windows that the ranges touch."""
    first, last = start // np.uint64(size), (end - np.uint64(1)) // np.uint64(size)
    _, step = pairs(first.astype(np.int64), (last - first + np.uint64(1)).astype(np.int64))
    return np.unique(step.astype(np.uint64)) * np.uint64(size)


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


def look(regions: Regions, counts: tuple[NDArray[np.uint32], NDArray[np.uint32]], now: int) -> Regions:
    """After one look of the tracker, which counted accesses and writes."""
    accesses, writes = counts
    accessed = (accesses > 0) | (writes > 0)
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
    """With what the kernel knows of times before we looked: regions unused for so long were not changed since."""
    result = regions.copy()
    known = np.flatnonzero(unused)
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


def holds_something(regions: Regions) -> Regions:
    """Without regions that have no page anywhere; those whose file pages we sent away stay."""
    kept: Regions = regions[(regions["present"] > 0) | (regions["swapped"] > 0) | (regions["out"] > 0)]
    return kept


def data_pages(regions: Regions) -> NDArray[np.int64]:
    """Pages of data in each region, wherever they are now."""
    elsewhere = np.maximum(regions["swapped"], regions["out"])
    result: NDArray[np.int64] = regions["present"].astype(np.int64) + elsewhere
    return result
