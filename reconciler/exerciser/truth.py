"""The ground truth: JSON lines, one for each interval, that say which addresses were read and written in it.

A line is `{"version": 1, "pid", "begin", "end", "mapped": [[START, END], ...], "ranges": [[START, END, KIND], ...]}`:
monotonic seconds, addresses as integers without the last, KIND `read` or `write`. `mapped` are the arrays at the end of
the interval: memory elsewhere is the interpreter's own, and no part of the truth. All touches of a line lie between its
times, and the next begins where it ends. The first line says what filling the arrays has written.
"""

import json
from collections.abc import Callable, Iterable, Sequence

from reconciler.exerciser.windows import Span, Stripes, pieces

VERSION = 1
Touch = tuple[str, int, int, Stripes | None]
"""Kind, first address, end, and which stripes of it."""


class Record:
    """What was touched since the last line."""

    def __init__(self, pid: int, begin: float, tell: Callable[[str], None]) -> None:
        self.pid, self.begin, self._tell = pid, begin, tell
        self._touched: set[Touch] = set()

    def add(self, kind: str, start: int, end: int, stripes: Stripes | None = None) -> None:
        self._touched.add((kind, start, end, stripes))

    def flush(self, now: float, mapped: Sequence[Span]) -> None:
        ranges = rows(self._touched)
        shown = {"version": VERSION, "pid": self.pid, "begin": self.begin, "end": now}
        self._tell(json.dumps({**shown, "mapped": [list(span) for span in mapped], "ranges": ranges}))
        self._touched, self.begin = set(), now


def rows(touched: Iterable[Touch]) -> list[list[int | str]]:
    """Sorted and disjoint for each kind."""
    spans: dict[str, set[Span]] = {}
    for kind, start, end, stripes in touched:
        spans.setdefault(kind, set()).update(pieces((start, end), stripes))
    found: list[list[int | str]] = []
    for kind, some in sorted(spans.items()):
        found += [[start, end, kind] for start, end in joined(some)]
    return found


def joined(spans: Iterable[Span]) -> list[Span]:
    """Without overlaps, and neighbours as one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = result[-1][0], max(result[-1][1], end)
        else:
            result.append((start, end))
    return result
