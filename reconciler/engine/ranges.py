"""Address ranges as two columns, starts and ends: sorted, half-open, without overlaps."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.regions import Addresses, pairs

Ranges = tuple[Addresses, Addresses]


def none() -> Ranges:
    return np.empty(0, np.uint64), np.empty(0, np.uint64)


def columns(spans: Sequence[tuple[int, int]]) -> Ranges:
    table = np.array(spans, np.uint64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def size(ranges: Ranges) -> int:
    """Bytes in all."""
    return int((ranges[1] - ranges[0]).sum())


def within(ranges: Ranges, mappings: Ranges) -> Ranges:
    """What lies in mappings; a range over several mappings becomes one in each, because kernels refuse whole ranges."""
    start, end = ranges
    low, high = mappings
    first = np.searchsorted(high, start, side="right")
    number = np.searchsorted(low, end, side="left") - first
    mine, mapping = pairs(first, np.maximum(number, 0))
    return np.maximum(start[mine], low[mapping]), np.minimum(end[mine], high[mapping])


def joined(ranges: Ranges, gap: int = 0) -> Ranges:
    """Ranges that follow each other, or lie at most `gap` bytes apart, become one. They may come in any order."""
    start, end = ranges
    order = np.argsort(start, kind="stable")
    start, end = start[order], np.maximum.accumulate(end[order])
    if not len(start):
        return none()
    apart = np.flatnonzero(start[1:] > end[:-1] + np.uint64(gap)) + 1
    return start[np.append(0, apart)], end[np.append(apart - 1, len(end) - 1)]


def after(ranges: Ranges, address: int) -> Ranges:
    """What lies at or above an address."""
    start, end = ranges
    rest = end > np.uint64(address)
    return np.maximum(start[rest], np.uint64(address)), end[rest]


def split(ranges: Ranges, length: int) -> Ranges:
    """Cut into pieces of at most so many bytes, each range from its own start."""
    start, end = ranges
    number = -(-(end - start).astype(np.int64) // length)
    piece, mine = pairs(np.zeros(len(start), np.int64), number)
    low = start[piece] + mine.astype(np.uint64) * np.uint64(length)
    return low, np.minimum(low + np.uint64(length), end[piece])


def at_least(ranges: Ranges, length: int) -> Ranges:
    """Without ranges of fewer bytes."""
    long = (ranges[1] - ranges[0]) >= np.uint64(length)
    return ranges[0][long], ranges[1][long]


def of_pages(addresses: Addresses, page_size: int) -> Ranges:
    """Sorted page addresses as ranges."""
    page = np.uint64(page_size)
    if not len(addresses):
        return none()
    edge = np.flatnonzero(addresses[1:] != addresses[:-1] + page) + 1
    return addresses[np.append(0, edge)], addresses[np.append(edge - 1, len(addresses) - 1)] + page


def runs(start: int, mask: NDArray[np.bool_], page_size: int) -> Ranges:
    """Ranges of the pages that are set, the first of which is at `start`."""
    padded = np.concatenate(([False], mask, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1]).astype(np.uint64) * np.uint64(page_size) + np.uint64(start)
    return edges[::2], edges[1::2]
