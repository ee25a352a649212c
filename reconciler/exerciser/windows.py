"""Which bytes of an array a round touches: windows that move and grow, stripes, portions; offsets from its start."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Span = tuple[int, int]
"""From the first byte up to, not including, the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stripes:
    """The first `hot` bytes of every `each`."""

    hot: int
    each: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """What one reader or writer does in its rounds."""

    size: int  # bytes
    size_delta: int = 0  # bytes more in each step
    offset: int = 0
    offset_delta: int = 0
    interval_s: float = 0.0  # from the beginning of a round to that of the next; 0 = flat out
    portions: int = 1
    hold_s: float = 0.0  # how long a step lasts; 0 = each round is one
    stripes: Stripes | None = None


def step(pattern: Pattern, rounds: int, elapsed_s: float) -> int:
    """How often the window has moved after so many rounds and so much time."""
    return int(elapsed_s / pattern.hold_s) if pattern.hold_s else rounds


def window(pattern: Pattern, moved: int, array: int) -> Span:
    """It goes round at the end of the array (whose size this is), and what reaches over the end is cut off."""
    start = (pattern.offset + pattern.offset_delta * moved) % array
    size = max(pattern.size + pattern.size_delta * moved, 0)
    return start, min(start + size, array)


def whole(span: Span, page: int) -> Span:
    """Grown to whole pages: one byte of each is touched, and nobody sees less than a page."""
    start, end = span
    return (start, end) if start == end else (start // page * page, -(-end // page) * page)


def pieces(span: Span, stripes: Stripes | None) -> Iterator[Span]:
    """The parts of a window that are touched."""
    start, end = span
    if stripes is None:
        yield from [span] if start < end else []
        return
    for low in range(start, end, stripes.each):
        yield low, min(low + stripes.hot, end)


def portions(span: Span, number: int, page: int) -> list[Span]:
    """A window in so many parts of nearly equal size that meet at page boundaries; some are empty if it is small."""
    start, end = span
    pages = -(-(end - start) // page)
    cuts = [min(start + pages * part // number * page, end) for part in range(number + 1)]
    return list(itertools.pairwise(cuts))


def interleaved(parts: Sequence[Span], order: Sequence[int], page: int) -> Iterator[Span]:
    """The first page of each part in that order, then the second of each, and so on."""
    longest = max((end - start for start, end in parts), default=0)
    for offset in range(0, longest, page):
        for start, end in (parts[index] for index in order):
            if start + offset < end:
                yield start + offset, min(start + offset + page, end)
