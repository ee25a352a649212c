"""The heat map's arithmetic, against an implementation that is slow and obvious: one page at a time."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import heatmap
from reconciler.engine.heatmap import HEAT, UNKNOWN, Ranges
from reconciler.engineconfig import HeatmapConfig

PAGE = 4096
SECOND = 10**9
CONFIG = HeatmapConfig(heat_max=2.0, retention=0.5, classes=4)
HIGHEST = ((1 << 64) - 64 * PAGE) // PAGE  # addresses that no signed number holds


@dataclass
class Warmth:
    """Of one page."""

    heat: float
    created: int
    updated: int


def table(*rows: tuple[int, int, float, int, int]) -> Ranges:
    """Ranges as (first page, pages, heat, created, updated)."""
    return np.array([(first * PAGE, *rest) for first, *rest in rows], HEAT)


def rows_of(ranges: Ranges) -> list[tuple[int, int, float, int, int]]:
    return [(int(one["start"]) // PAGE, *one.tolist()[1:]) for one in ranges]


def pages_of(ranges: Ranges) -> dict[int, Warmth]:
    return {
        page: Warmth(heat, created, updated)
        for first, pages, heat, created, updated in rows_of(ranges)
        for page in range(first, first + pages)
    }


def slow_update(old: dict[int, Warmth], new: dict[int, Warmth]) -> dict[int, Warmth]:
    result = {}
    for page in {*old, *new}:
        if page not in old or page not in new:
            result[page] = old.get(page) or new[page]
            continue
        seconds = max(new[page].updated - old[page].updated, 0) / SECOND
        heat = new[page].heat + old[page].heat * math.pow(CONFIG.retention, seconds)
        result[page] = Warmth(min(heat, CONFIG.heat_max), old[page].created, new[page].updated)
    return result


@st.composite
def layouts(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Disjoint (first page, pages), sorted."""
    base = draw(st.sampled_from([0, HIGHEST]))
    borders = sorted(draw(st.sets(st.integers(0, 60), max_size=14)))
    return [(base + low, high - low) for low, high in pairwise(borders) if draw(st.booleans())]


@st.composite
def maps(draw: st.DrawFn) -> Ranges:
    heats, times = st.floats(0, CONFIG.heat_max), st.integers(0, 5 * SECOND)
    made = []
    for first, pages in draw(layouts()):
        created, updated = sorted((draw(times), draw(times)))
        made.append((first, pages, draw(heats), created, updated))
    return table(*made)


@st.composite
def rounds(draw: st.DrawFn) -> Ranges:
    """What was counted at one time, which may be before an update that we know of."""
    layout, now = draw(layouts()), draw(st.integers(0, 9 * SECOND))
    start = np.array([first * PAGE for first, _ in layout], np.uint64)
    seen = np.array([draw(st.integers(0, 200)) for _ in layout], np.uint32)
    return heatmap.counted(start, np.array([pages for _, pages in layout], np.uint32), seen, now, CONFIG.heat_max)


@given(old=maps(), new=rounds())
def test_an_update_is_what_every_page_by_itself_would_become(old: Ranges, new: Ranges) -> None:
    fast, slow = pages_of(heatmap.update(old, new, CONFIG, PAGE)), slow_update(pages_of(old), pages_of(new))

    assert fast.keys() == slow.keys()
    for page, warmth in slow.items():
        assert (fast[page].created, fast[page].updated) == (warmth.created, warmth.updated)
        assert fast[page].heat == pytest.approx(warmth.heat)


@given(old=maps(), new=rounds())
def test_a_map_is_sorted_disjoint_and_within_its_bounds(old: Ranges, new: Ranges) -> None:
    ranges = heatmap.update(old, new, CONFIG, PAGE)

    assert (ranges["pages"] > 0).all()
    assert (heatmap.ends(ranges, PAGE)[:-1] <= ranges["start"][1:]).all()
    assert ((ranges["heat"] >= 0) & (ranges["heat"] <= CONFIG.heat_max)).all()


@given(old=maps(), new=rounds())
def test_joining_keeps_pages_and_heat_and_bounds_the_number_of_ranges(old: Ranges, new: Ranges) -> None:
    split = heatmap.update(old, new, CONFIG, PAGE)
    split = heatmap.update(split, new, CONFIG, PAGE)
    split = heatmap.inside(split, new, PAGE)
    joined = heatmap.joined(split, new, CONFIG, PAGE)

    before, after = pages_of(split), pages_of(joined)
    assert before.keys() == after.keys()
    assert sum(each.heat for each in after.values()) == pytest.approx(sum(each.heat for each in before.values()))
    assert all(abs(after[page].heat - before[page].heat) <= CONFIG.heat_max / 1000 for page in before)
    assert len(joined) <= len(split)


@given(regions=rounds(), ranges=maps())
def test_a_regions_heat_is_the_mean_of_its_known_pages(regions: Ranges, ranges: Ranges) -> None:
    known = pages_of(ranges)
    for (first, pages, *_), heat in zip(rows_of(regions), heatmap.of(regions, ranges, PAGE).tolist(), strict=True):
        heats = [known[page].heat for page in range(first, first + pages) if page in known]

        assert math.isnan(heat) if not heats else heat == pytest.approx(sum(heats) / len(heats))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ([], [], []),
        ([], [(0, 4, 1.0, 9, 9)], [(0, 4, 1.0, 9, 9)]),
        ([(0, 4, 1.0, 0, 0)], [], [(0, 4, 1.0, 0, 0)]),  # not counted: it cools when it is read
        ([(0, 4, 1.0, 0, 0)], [(0, 4, 0.25, SECOND, SECOND)], [(0, 4, 0.75, 0, SECOND)]),
        ([(0, 4, 1.0, 0, 0)], [(0, 4, 2.0, SECOND, SECOND)], [(0, 4, 2.0, 0, SECOND)]),  # capped
        ([(0, 4, 1.0, 0, SECOND)], [(0, 4, 0.25, 0, 0)], [(0, 4, 1.25, 0, 0)]),  # a clock that went back
        (
            [(0, 8, 1.0, 0, 0)],
            [(2, 2, 0.0, SECOND, SECOND)],
            [(0, 2, 1.0, 0, 0), (2, 2, 0.5, 0, SECOND), (4, 4, 1.0, 0, 0)],
        ),
        (
            [(2, 2, 1.0, 0, 0), (5, 1, 2.0, 0, 0)],
            [(0, 8, 0.125, SECOND, SECOND)],
            [
                (0, 2, 0.125, SECOND, SECOND),
                (2, 2, 0.625, 0, SECOND),
                (4, 1, 0.125, SECOND, SECOND),
                (5, 1, 1.125, 0, SECOND),
                (6, 2, 0.125, SECOND, SECOND),
            ],
        ),
    ],
)
def test_update(
    old: list[tuple[int, int, float, int, int]],
    new: list[tuple[int, int, float, int, int]],
    expected: list[tuple[int, int, float, int, int]],
) -> None:
    assert rows_of(heatmap.update(table(*old), table(*new), CONFIG, PAGE)) == expected


@given(old=maps(), new=rounds())
def test_what_is_not_mapped_is_dropped(old: Ranges, new: Ranges) -> None:
    kept = heatmap.inside(heatmap.update(old, new, CONFIG, PAGE), new, PAGE)

    assert pages_of(kept).keys() == pages_of(new).keys()


def test_joining_takes_borders_away_that_mappings_left_behind() -> None:
    region = table((0, 8, 0, 9, 9), (8, 8, 0, 9, 9))
    ranges = table((0, 2, 0.5, 3, 9), (2, 6, 0.5001, 1, 9), (8, 4, 0.5, 0, 9), (12, 4, 1.5, 0, 9))

    assert rows_of(heatmap.joined(ranges, region, CONFIG, PAGE)) == [
        (0, 8, pytest.approx(0.500075), 1, 9),
        (8, 4, 0.5, 0, 9),
        (12, 4, 1.5, 0, 9),
    ]


def test_a_heat_is_what_was_seen_per_page_at_most_the_maximum() -> None:
    start, pages = np.array([0, 8 * PAGE, 16 * PAGE], np.uint64), np.array([8, 8, 0], np.uint32)
    ranges = heatmap.counted(start, pages, np.array([2, 800, 1], np.uint32), 7, 2.0)

    assert ranges["heat"].tolist() == [0.25, 2.0, 1.0]
    assert set(ranges["created"].tolist()) == set(ranges["updated"].tolist()) == {7}


@pytest.mark.parametrize(
    ("retention", "seconds", "left"), [(0.5, 2, 0.25), (1.0, 1000, 1.0), (0.0, 1, 0.0), (0.0, 0, 1.0), (0.5, -3, 1.0)]
)
def test_cooling(retention: float, seconds: int, left: float) -> None:
    ranges = table((0, 1, 1.0, 0, 5 * SECOND))

    assert heatmap.cooled(ranges, (5 + seconds) * SECOND, retention).tolist() == [left]


@pytest.mark.parametrize(
    ("heat", "found"),
    [(0.0, 0), (0.49, 0), (0.5, 1), (1.0, 2), (1.99, 3), (2.0, 3), (99.0, 3), (-1.0, 0), (math.nan, UNKNOWN)],
)
def test_classes_are_equal_steps_up_to_the_maximum(heat: float, found: int) -> None:
    assert heatmap.classes(np.array([heat]), CONFIG).tolist() == [found]
