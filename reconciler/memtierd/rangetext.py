"""Address ranges as memtierd writes them: START (one page), START-END, START+SIZE[k|M|G|T][i][B]; numbers are hex.

A size is decimal, and its units are powers of 1024. Ranges are rounded outwards to whole pages, and what is selected of
a process is what overlaps its mappings (memtierd takes a mapping only if the range begins inside it).
"""

import re
from collections.abc import Iterable

from reconciler.engine import ranges
from reconciler.engine.ranges import Ranges

_RANGE = re.compile(
    r"(?:0x)?([0-9a-f]{1,16})(?:-(?:0x)?([0-9a-f]{1,16})|\+([0-9]{1,20})([kmgt]?)(i?)b?)?", re.IGNORECASE
)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}
_END = 1 << 64


def parse(texts: Iterable[str], page_size: int) -> Ranges:
    """The ranges, sorted and merged; ValueError says what is none."""
    return ranges.joined(ranges.columns([_one(text, page_size) for text in texts]))


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


def show(start: int, end: int) -> str:
    """One range as memtierd prints it."""
    return f"{start:x}-{end:x} ({end - start} B)"


def lines(mine: Ranges) -> list[str]:
    return [show(start, end) for start, end in zip(mine[0].tolist(), mine[1].tolist(), strict=True)]
