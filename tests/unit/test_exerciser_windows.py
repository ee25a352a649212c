"""Which bytes are touched: deltas, stripes and portions as arithmetic."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.exerciser import truth, windows
from reconciler.exerciser.windows import Pattern, Span, Stripes

PAGE = 4096


@pytest.mark.parametrize(
    ("pattern", "array", "spans"),
    [
        pytest.param(Pattern(size=40), 100, [(0, 40), (0, 40)], id="it stays"),
        pytest.param(Pattern(size=400), 100, [(0, 100)], id="not more than there is"),
        pytest.param(Pattern(size=20, offset=90), 100, [(90, 100)], id="cut off at the end"),
        pytest.param(
            Pattern(size=20, offset_delta=30), 100, [(0, 20), (30, 50), (60, 80), (90, 100), (20, 40)], id="moves"
        ),
        pytest.param(
            Pattern(size=20, offset=10, offset_delta=-30), 100, [(10, 30), (80, 100), (50, 70)], id="moves back"
        ),
        pytest.param(Pattern(size=20, size_delta=50), 100, [(0, 20), (0, 70), (0, 100), (0, 100)], id="grows"),
        pytest.param(Pattern(size=20, size_delta=-15), 100, [(0, 20), (0, 5), (0, 0), (0, 0)], id="shrinks to nothing"),
        pytest.param(Pattern(size=20, offset=250), 100, [(50, 70)], id="an offset behind the end goes round"),
    ],
)
def test_windows_move(pattern: Pattern, array: int, spans: list[Span]) -> None:
    assert [windows.window(pattern, moved, array) for moved in range(len(spans))] == spans


@pytest.mark.parametrize(
    ("hold_s", "rounds", "elapsed_s", "step"), [(0, 7, 99.0, 7), (10, 7, 9.9, 0), (10, 7, 10.0, 1), (10, 0, 35.0, 3)]
)
def test_a_step_is_a_round_or_a_time(hold_s: float, rounds: int, elapsed_s: float, step: int) -> None:
    assert windows.step(Pattern(size=1, hold_s=hold_s), rounds, elapsed_s) == step


@pytest.mark.parametrize(
    ("span", "stripes", "found"),
    [
        ((5, 5), None, []),
        ((5, 9), None, [(5, 9)]),
        ((0, 100), Stripes(hot=10, each=40), [(0, 10), (40, 50), (80, 90)]),
        ((20, 65), Stripes(hot=10, each=40), [(20, 30), (60, 65)]),
        ((5, 5), Stripes(hot=10, each=40), []),
    ],
)
def test_stripes_count_from_the_window(span: Span, stripes: Stripes | None, found: list[Span]) -> None:
    assert list(windows.pieces(span, stripes)) == found


@pytest.mark.parametrize(
    ("span", "found"),
    [((0, 4096), (0, 4096)), ((100, 200), (0, 4096)), ((100, 4200), (0, 8192)), ((4096, 4096), (4096, 4096))],
)
def test_whole_pages(span: Span, found: Span) -> None:
    assert windows.whole(span, PAGE) == found


@pytest.mark.parametrize(
    ("span", "number", "parts"),
    [
        ((0, 4 * PAGE), 2, [(0, 2 * PAGE), (2 * PAGE, 4 * PAGE)]),
        ((0, 3 * PAGE), 2, [(0, PAGE), (PAGE, 3 * PAGE)]),
        ((PAGE, 2 * PAGE), 2, [(PAGE, PAGE), (PAGE, 2 * PAGE)]),
        ((0, 100), 1, [(0, 100)]),
    ],
)
def test_portions_meet_at_pages(span: Span, number: int, parts: list[Span]) -> None:
    assert windows.portions(span, number, PAGE) == parts


def test_portions_are_visited_page_by_page_in_their_order() -> None:
    parts = windows.portions((0, 5 * PAGE), 2, PAGE)
    visited = [start // PAGE for start, _ in windows.interleaved(parts, [1, 0], PAGE)]

    assert visited == [2, 0, 3, 1, 4]


@given(start=st.integers(0, 50_000), size=st.integers(0, 100_000), number=st.integers(1, 20), order=st.randoms())  # type: ignore[misc, unused-ignore]
def test_portions_leave_nothing_out(start: int, size: int, number: int, order: object) -> None:
    span = (start, start + size)
    parts = windows.portions(span, number, PAGE)
    visited = list(windows.interleaved(parts, list(range(number)), PAGE))

    assert sum(high - low for low, high in visited) == size
    assert truth.joined(visited) == ([span] if size else [])


@pytest.mark.parametrize(
    ("touched", "rows"),
    [
        (set(), []),
        ({("read", 0, 10, None), ("read", 5, 20, None), ("write", 5, 6, None)}, [[0, 20, "read"], [5, 6, "write"]]),
        ({("read", 0, 10, None), ("read", 10, 20, None)}, [[0, 20, "read"]]),
        ({("write", 0, 10, Stripes(hot=1, each=4))}, [[0, 1, "write"], [4, 5, "write"], [8, 9, "write"]]),
    ],
)
def test_an_intervals_rows_are_sorted_and_disjoint(touched: set[truth.Touch], rows: list[list[int | str]]) -> None:
    assert truth.rows(touched) == rows
