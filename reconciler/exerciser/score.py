"""How right a tracker is: precision and recall of the bytes that it calls hot, against the exerciser's truth.

A line of truth that lies partly in the time of a look may or may not be what the look saw. So there are two truths:
what was surely touched counts for recall, what was possibly touched for precision. A tracker cannot be more exact than
its regions: with `granule` both truths, and with them hot bytes, grow to whole regions.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.regions import Addresses, covered

Span = tuple[float, float]
"""Two times, monotonic seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Sorted, disjoint address ranges as columns; `end` is the first address behind."""

    start: Addresses
    end: Addresses

    @property
    def size(self) -> int:
        """Bytes."""
        return int((self.end - self.start).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One line of the truth; times are monotonic seconds."""

    pid: int
    begin: float
    end: float
    mapped: Ranges
    read: Ranges
    written: Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    sure: Ranges
    possible: Ranges
    mapped: Ranges  # nothing else counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Bytes. Nothing claimed is never wrong, and where nothing was hot nothing was missed."""

    claimed: int
    right: int  # claimed and possibly hot
    hot: int  # surely
    found: int  # surely hot and claimed

    @property
    def precision(self) -> float:
        return self.right / self.claimed if self.claimed else 1.0

    @property
    def recall(self) -> float:
        return self.found / self.hot if self.hot else 1.0

    def __add__(self, other: "Score") -> "Score":
        """Over several looks or processes: each byte counts the same."""
        return Score(
            claimed=self.claimed + other.claimed,
            right=self.right + other.right,
            hot=self.hot + other.hot,
            found=self.found + other.found,
        )


NOTHING = Score(claimed=0, right=0, hot=0, found=0)


def ranges(start: NDArray[np.generic], end: NDArray[np.generic]) -> Ranges:
    """Of any ranges, in any order, overlapping or not."""
    kept = np.asarray(end) > np.asarray(start)
    low, high = np.asarray(start, np.uint64)[kept], np.asarray(end, np.uint64)[kept]
    order = np.argsort(low, kind="stable")
    low, high = low[order], np.maximum.accumulate(high[order])
    first = np.append(np.ones(min(len(low), 1), np.bool_), low[1:] > high[:-1])
    last = np.append(first[1:], np.ones(min(len(low), 1), np.bool_))
    return Ranges(start=low[first], end=high[last])


def of(pairs: Iterable[Sequence[int]]) -> Ranges:
    table = np.array(list(pairs), np.uint64).reshape(-1, 2)
    return ranges(table[:, 0], table[:, 1])


NONE = of(())


def union(many: Iterable[Ranges]) -> Ranges:
    some = [*many, NONE]
    return ranges(np.concatenate([each.start for each in some]), np.concatenate([each.end for each in some]))


def common(one: Ranges, other: Ranges) -> Ranges:
    """What is in both."""
    cuts = np.unique(np.concatenate((one.start, one.end, other.start, other.end)))
    low, high = cuts[:-1], cuts[1:]
    inside = holds(one, low) & holds(other, low)
    return ranges(low[inside], high[inside])


def holds(some: Ranges, at: Addresses) -> NDArray[np.bool_]:
    """Whether each address is in one of the ranges."""
    result: NDArray[np.bool_] = covered(some.start, some.end, at + np.uint64(1)) > covered(some.start, some.end, at)
    return result


def grown(some: Ranges, granule: int) -> Ranges:
    """To whole granules, counted from address 0."""
    step = np.uint64(granule)
    return ranges(some.start // step * step, -(-some.end.astype(np.int64) // granule) * granule)


def read(lines: Iterable[str]) -> list[Interval]:
    """Of a truth file; a last line that is still being written is left out."""
    return [interval(json.loads(line)) for line in lines if line.endswith("}\n")]


def interval(row: dict[str, object]) -> Interval:
    touched: list[tuple[int, int, str]] = row["ranges"]  # type: ignore[assignment]  # as truth.Record wrote it
    return Interval(
        pid=int(str(row["pid"])),
        begin=float(str(row["begin"])),
        end=float(str(row["end"])),
        mapped=of(row["mapped"]),  # type: ignore[arg-type]  # the same
        read=of((start, end) for start, end, kind in touched if kind == "read"),
        written=of((start, end) for start, end, kind in touched if kind == "write"),
    )


def during(lines: Iterable[Interval], pid: int, surely: Span, possibly: Span, *, kinds: str = "rw") -> Truth:
    """What was touched in those times; `kinds` "w" for a tracker that sees writes only.

    `surely`: from the end of the last look to the beginning of this one; `possibly`: from the beginning of the last to
    the end of this.
    """
    mine = [each for each in lines if each.pid == pid and each.end > possibly[0] and each.begin < possibly[1]]
    whole = [each for each in mine if each.begin >= surely[0] and each.end <= surely[1]]
    return Truth(
        sure=union(touched(each, kinds) for each in whole),
        possible=union(touched(each, kinds) for each in mine),
        mapped=union(each.mapped for each in mine),
    )


def touched(line: Interval, kinds: str) -> Ranges:
    return union(some for some, kind in ((line.read, "r"), (line.written, "w")) if kind in kinds)


def score(claimed: Ranges, truth: Truth, granule: int = 1) -> Score:
    """Of one look. `granule`: bytes of a region, of a page, or 1."""
    said = common(claimed, truth.mapped)
    possible, sure = (common(grown(some, granule), truth.mapped) for some in (truth.possible, truth.sure))
    right, found = common(said, possible), common(said, sure)
    return Score(claimed=said.size, right=right.size, hot=sure.size, found=found.size)
