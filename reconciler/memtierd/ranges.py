"""Address ranges as memtierd writes them: START (one page), START-END, START+SIZE[k|M|G|T][i][B]; numbers are hex.

A size is decimal, and its units are powers of 1024. Ranges are rounded outwards to whole pages, and what is selected of
a process is what overlaps its mappings (memtierd takes a mapping only if the range begins inside it).
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Addresses = NDArray[np.uint64]
Ranges = tuple[Addresses, Addresses]  # half-open, ascending and disjoint

_RANGE = re.compile(
    r"(?:0x)?([0-9a-f]{1,16})(?:-(?:0x)?([0-9a-f]{1,16})|\+([0-9]{1,20})([kmgt]?)(i?)b?)?", re.IGNORECASE
)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_END = 1 << 64


def parse(texts: Iterable[str], page_size: int) -> Ranges:
    """The ranges, sorted and merged; ValueError says what is none."""
    found = sorted(_one(text, page_size) for text in texts)
    merged: list[tuple[int, int]] = []
    for start, end in found:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return columns(merged)


def columns(pairs: Sequence[tuple[int, int]]) -> Ranges:
    table = np.array(pairs, np.uint64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def _one(text: str, page_size: int) -> tuple[int, int]:
    match = _RANGE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no address range: write START, START-END or START+SIZE, as in 7f0000000000+64M")
    start = int(match[1], 16)
    size = int(match[3]) << _UNITS[match[4].lower()] if match[3] else 1
    end = int(match[2], 16) if match[2] else start + size
    if end <= start:
        raise ValueError(f"the address range {text!r} is empty: its end must be above its start")
    low, high = start // page_size * page_size, -(-end // page_size) * page_size
    return low, min(high, _END - page_size)


def clip(mapped: Ranges, chosen: Ranges) -> Ranges:
    """The parts of mappings that the chosen ranges cover."""
    start, end = mapped
    first = np.searchsorted(chosen[1], start, side="right")
    number = np.maximum(np.searchsorted(chosen[0], end, side="left") - first, 0)
    row = np.repeat(np.arange(len(start)), number)
    other = np.repeat(first - np.cumsum(number) + number, number) + np.arange(len(row))
    return np.maximum(start[row], chosen[0][other]), np.minimum(end[row], chosen[1][other])


def split(mine: Ranges, length: int) -> Ranges:
    """Cut into pieces of at most so many bytes, each range from its own start."""
    start, end = mine
    number = -(-(end - start).astype(np.int64) // length)
    row = np.repeat(np.arange(len(start)), number)
    piece = np.arange(len(row)) - np.repeat(np.cumsum(number) - number, number)
    low = start[row] + piece.astype(np.uint64) * np.uint64(length)
    return low, np.minimum(low + np.uint64(length), end[row])


def at_least(mine: Ranges, length: int) -> Ranges:
    """Without ranges of fewer bytes."""
    long = (mine[1] - mine[0]) >= np.uint64(length)
    return mine[0][long], mine[1][long]


def size(mine: Ranges) -> int:
    """Bytes."""
    return int((mine[1] - mine[0]).sum())


def show(start: int, end: int) -> str:
    """One range as memtierd prints it."""
    return f"{start:x}-{end:x} ({end - start} B)"


def lines(mine: Ranges) -> list[str]:
    return [show(start, end) for start, end in zip(mine[0].tolist(), mine[1].tolist(), strict=True)]


def joined(mine: Ranges) -> Ranges:
    """Ranges that touch, as one."""
    start, end = mine
    if not len(start):
        return mine
    apart = np.flatnonzero(start[1:] != end[:-1])
    return start[np.append(0, apart + 1)], end[np.append(apart, len(end) - 1)]
