"""Precision and recall from ranges: interval arithmetic against tables, and against one byte at a time."""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.exerciser import score
from reconciler.exerciser.score import Ranges, Score, Truth

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=8)


def pairs(some: Ranges) -> list[tuple[int, int]]:
    return list(zip(some.start.tolist(), some.end.tolist(), strict=True))


def members(some: list[tuple[int, int]]) -> set[int]:
    return {at for start, end in some for at in range(start, end)}


@given(PAIRS)
def test_ranges_are_sorted_disjoint_and_complete(some: list[tuple[int, int]]) -> None:
    found = pairs(score.of(some))

    assert members(found) == members(some)
    assert all(start < end for start, end in found)
    assert all(end < start for (_, end), (start, _) in itertools.pairwise(found))


@given(PAIRS, PAIRS)
def test_what_is_common(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    assert members(pairs(score.common(score.of(one), score.of(other)))) == members(one) & members(other)
    assert members(pairs(score.union((score.of(one), score.of(other))))) == members(one) | members(other)


@pytest.mark.parametrize(
    ("some", "granule", "found"),
    [
        ([(5, 6)], 1, [(5, 6)]),
        ([(5, 6)], 10, [(0, 10)]),
        ([(0, 10)], 10, [(0, 10)]),
        ([(9, 11), (35, 36)], 10, [(0, 20), (30, 40)]),
        ([], 10, []),
    ],
)
def test_growing_to_regions(some: list[tuple[int, int]], granule: int, found: list[tuple[int, int]]) -> None:
    assert pairs(score.grown(score.of(some), granule)) == found


@pytest.mark.parametrize(
    ("claimed", "sure", "possible", "granule", "precision", "recall"),
    [
        pytest.param([(0, 40)], [(0, 40)], [(0, 40)], 1, 1.0, 1.0, id="right"),
        pytest.param([(0, 80)], [(0, 40)], [(0, 40)], 1, 0.5, 1.0, id="half of it is wrong"),
        pytest.param([(0, 10)], [(0, 40)], [(0, 40)], 1, 1.0, 0.25, id="three quarters are missed"),
        pytest.param([(0, 20)], [(0, 10)], [(0, 20)], 1, 1.0, 1.0, id="what may have been touched is not wrong"),
        pytest.param([(0, 10)], [(0, 10)], [(0, 20)], 1, 1.0, 1.0, id="and not missed"),
        pytest.param([], [(0, 10)], [(0, 10)], 1, 1.0, 0.0, id="nothing is claimed"),
        pytest.param([(0, 10)], [], [], 1, 0.0, 1.0, id="nothing was hot"),
        pytest.param([(0, 20)], [(3, 4)], [(3, 4)], 20, 1.0, 1.0, id="one byte makes its region hot"),
        pytest.param([(0, 20)], [(3, 4)], [(3, 4)], 1, 0.05, 1.0, id="by byte it does not"),
        pytest.param([(0, 500)], [(0, 100)], [(0, 100)], 1, 1.0, 1.0, id="other memory does not count"),
    ],
)
def test_scores(
    claimed: list[tuple[int, int]],
    sure: list[tuple[int, int]],
    possible: list[tuple[int, int]],
    granule: int,
    precision: float,
    recall: float,
) -> None:
    truth = Truth(sure=score.of(sure), possible=score.of(possible), mapped=score.of([(0, 100)]))
    found = score.score(score.of(claimed), truth, granule)

    assert (found.precision, found.recall) == (precision, recall)


def test_scores_add_up_by_byte() -> None:
    good, bad = Score(claimed=90, right=90, hot=90, found=90), Score(claimed=10, right=0, hot=10, found=0)

    assert (good + bad + score.NOTHING).precision == 0.9
    assert (good + bad).recall == 0.9


def line(pid: int, begin: float, end: float, *ranges: tuple[int, int, str]) -> str:
    row = {"version": 1, "pid": pid, "begin": begin, "end": end, "mapped": [[0, 100]], "ranges": ranges}
    return json.dumps(row) + "\n"


LINES = [
    line(1, 0, 1, (0, 100, "write")),
    line(1, 1, 2, (0, 10, "read")),
    line(1, 2, 3, (10, 20, "write")),
    line(1, 3, 4, (20, 30, "read")),
    line(2, 1, 4, (50, 60, "read")),
    line(1, 4, 5, (90, 99, "read"))[:-9],  # is still being written
]


@pytest.mark.parametrize(
    ("surely", "possibly", "kinds", "sure", "possible"),
    [
        ((1, 3), (1, 3), "rw", [(0, 20)], [(0, 20)]),
        ((1, 3), (1, 3), "w", [(10, 20)], [(10, 20)]),
        ((1, 3), (1, 3), "r", [(0, 10)], [(0, 10)]),
        ((1.5, 3.5), (1.5, 3.5), "rw", [(10, 20)], [(0, 30)]),
        ((1, 2), (0.5, 3.5), "rw", [(0, 10)], [(0, 100)]),
        ((2.1, 2.2), (2.1, 2.2), "rw", [], [(10, 20)]),
        ((7, 8), (7, 8), "rw", [], []),
    ],
)
def test_a_line_that_is_partly_in_the_time_is_possible(
    surely: score.Span,
    possibly: score.Span,
    kinds: str,
    sure: list[tuple[int, int]],
    possible: list[tuple[int, int]],
) -> None:
    found = score.during(score.read(LINES), 1, surely, possibly, kinds=kinds)

    assert (pairs(found.sure), pairs(found.possible)) == (sure, possible)
