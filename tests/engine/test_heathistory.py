"""Pictures of time x address: cells, layouts that change, and bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.engine import heathistory
from reconciler.engine.heathistory import BINS, MOMENTS, MOST_EXTENTS, MOST_LAYOUTS, NOTHING, HeatHistory, Looked
from reconciler.engine.regions import REGION, Regions

PAGE = 4096
WINDOW = 512
SIZE = WINDOW * PAGE


def table(windows: list[int], hot: set[int], now: int) -> Regions:
    """Regions of 2 MiB at these windows, full of pages; those in `hot` were used just now."""
    made = np.zeros(len(windows), REGION)
    made["start"] = np.array(windows, np.uint64) * np.uint64(SIZE)
    made["pages"], made["present"] = WINDOW, WINDOW
    made["changed"] = [now if window in hot else 0 for window in windows]
    return made


def looked(windows: list[int], hot: set[int], now: int, pid: int = 7) -> Looked:
    return Looked(identity=(pid, 1, ()), regions=table(windows, hot, now), looked=now)


def heat(history: HeatHistory) -> list[list[int]]:
    found: list[list[int]] = history.document(0.0, 0.0)["heat"]
    return found


def test_what_was_used_is_hot_where_it_is() -> None:
    history = HeatHistory(PAGE)
    history.sample([looked(list(range(BINS)), {3, 4}, 100)], 10.0)

    assert heat(history) == [[255 if cell in {3, 4} else 1 for cell in range(BINS)]]


def test_used_is_what_was_used_since_the_moment_before() -> None:
    history = HeatHistory(PAGE)
    windows = list(range(BINS))
    history.sample([looked(windows, set(), 100)], 10.0)
    between = looked(windows, {5}, 200)
    between.regions["changed"][9] = 150  # by a look in between
    between.regions["changed"][8] = 99
    history.sample([between], 25.0)

    assert [cell for cell, value in enumerate(heat(history)[-1]) if value == 255] == [5, 9]


def test_half_of_a_cell() -> None:
    history = HeatHistory(PAGE)
    history.sample([looked(list(range(2 * BINS)), {0, 2, 3}, 100)], 10.0)

    assert heat(history)[0][:3] == [128, 255, 1]


def test_gaps_take_no_room_and_extents_say_where_they_were() -> None:
    history = HeatHistory(PAGE)
    low, high = list(range(32)), list(range(1 << 20, (1 << 20) + 32))
    history.sample([looked(low + high, {1 << 20}, 100)], 10.0)

    found = history.document(40.0, 1000.0)
    assert found["when"] == [970.0]
    assert found["size_bytes"] == 64 * SIZE
    assert found["heat"][0] == [255 if cell == 32 else 1 for cell in range(BINS)]
    assert found["extents"] == [
        {"pid": 7, "start": 0, "end": 32 * SIZE, "from_bytes": 0},
        {"pid": 7, "start": (1 << 20) * SIZE, "end": ((1 << 20) + 32) * SIZE, "from_bytes": 32 * SIZE},
    ]


def test_old_rows_are_fitted_when_memory_grows() -> None:
    history = HeatHistory(PAGE)
    history.sample([looked(list(range(64)), set(range(32)), 100)], 10.0)
    history.sample([looked(list(range(128)), set(range(32)), 200)], 25.0)

    first, second = heat(history)
    assert first == [255] * 16 + [1] * 16 + [NOTHING] * 32, "the second half was not there yet"
    assert second == [255] * 16 + [1] * 48


def test_memory_in_the_middle_moves_what_is_above() -> None:
    history = HeatHistory(PAGE)
    history.sample([looked([*range(32), *range(1000, 1032)], set(range(1000, 1032)), 100)], 10.0)
    history.sample([looked([*range(64), *range(1000, 1032)], set(), 200)], 25.0)

    first = heat(history)[0]
    assert {*first[:21]} == {1}
    assert {*first[22:42]} == {NOTHING}
    assert {*first[43:]} == {255}


def test_processes_come_and_go() -> None:
    history = HeatHistory(PAGE)
    one, two, three = (looked(list(range(32)), hot, 100, pid) for pid, hot in ((7, {0}), (9, set()), (3, {31})))
    history.sample([one, two], 10.0)
    history.sample([three, two], 25.0)

    found = history.document(25.0, 25.0)
    assert [(each["pid"], each["from_bytes"]) for each in found["extents"]] == [(9, 0), (3, 32 * SIZE)]
    assert found["heat"][0] == [1] * 32 + [NOTHING] * 32
    assert found["heat"][1] == [1] * 63 + [255] or found["heat"][1][-2:] == [255, 255]


def test_layouts_moments_and_extents_have_bounds() -> None:
    history = HeatHistory(PAGE)
    for moment in range(MOMENTS + 20):
        windows = list(range(0, 200 * (1 + moment % 40), 2))
        history.sample([looked(windows, set(), moment)], 15.0 * moment)

    rows = history._rows
    assert len(rows.when) == len(rows.cells) == len(rows.which) == MOMENTS
    assert set(rows.which.tolist()) == set(range(len(rows.layouts)))
    assert len(rows.layouts) <= MOST_LAYOUTS
    assert all(len(layout.start) <= MOST_EXTENTS for layout in rows.layouts)
    assert all(len(row) == BINS for row in heat(history))


def test_a_layout_that_holds_little_any_more_is_given_up() -> None:
    history = HeatHistory(PAGE)
    history.sample([looked(list(range(1000)), set(), 100)], 10.0)
    history.sample([looked(list(range(10)), set(), 200)], 25.0)

    assert history.document(0, 0)["size_bytes"] == 10 * SIZE


def test_nothing_is_known_of_nobody() -> None:
    history = HeatHistory(PAGE)
    history.sample([], 10.0)

    assert history.document(10.0, 10.0) == {"when": [], "size_bytes": 0, "extents": [], "heat": []}


@pytest.mark.parametrize(("now", "due"), [(24.0, False), (25.0, True)])
def test_it_is_due_every_fifteen_seconds(now: float, due: bool) -> None:
    history = HeatHistory(PAGE)
    history.sample([], 10.0)

    assert history.due(now) is due


LOOKS = st.lists(
    st.lists(st.tuples(st.integers(1, 4), st.sets(st.integers(0, 300), min_size=1)), max_size=3),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(LOOKS)
def test_whatever_comes_and_goes_cells_are_true(looks: list[list[tuple[int, set[int]]]]) -> None:
    history = HeatHistory(PAGE)
    for moment, present in enumerate(looks):
        unique = {pid: sorted(windows) for pid, windows in present}
        seen = [looked(windows, set(windows), 10 + moment, pid) for pid, windows in unique.items()]
        history.sample(seen, 15.0 * moment)

    for row in heat(history):
        assert len(row) == BINS
        assert set(row) <= {NOTHING, 255}, "all memory was used in every look"


def test_a_thousand_workloads_stay_small() -> None:
    history = HeatHistory(PAGE)
    for moment in range(MOMENTS):
        history.sample([looked(list(range(64)), set(), moment)], 15.0 * moment)

    assert history._rows.cells.nbytes == MOMENTS * BINS
    assert len(history._rows.layouts) == 1
    assert heathistory.EVERY_S * MOMENTS == 3600
