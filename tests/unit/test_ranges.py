"""Address ranges as columns, against sets of pages."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import ranges
from reconciler.engine.ranges import Ranges

Spans = list[tuple[int, int]]


def columns(spans: Spans) -> Ranges:
    return np.array([low for low, _ in spans], np.uint64), np.array([high for _, high in spans], np.uint64)


def pages(found: Ranges) -> set[int]:
    return {page for low, high in zip(*(column.tolist() for column in found), strict=True) for page in range(low, high)}


def disjoint(sizes: list[tuple[int, int]]) -> Spans:
    """From gaps and lengths."""
    at, spans = 0, []
    for gap, length in sizes:
        spans.append((at + gap, at + gap + length))
        at += gap + length
    return spans


LENGTHS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 5)), max_size=8).map(disjoint)
ANY = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10)), max_size=8).map(
    lambda pairs: [(low, low + length) for low, length in pairs]
)


@given(LENGTHS, LENGTHS)
def test_within_is_the_intersection_cut_at_mappings(some: Spans, mappings: Spans) -> None:
    found = ranges.within(columns(some), columns(mappings))

    assert pages(found) == pages(columns(some)) & pages(columns(mappings))
    for low, high in zip(*(column.tolist() for column in found), strict=True):
        assert any(start <= low and high <= end for start, end in mappings)


@given(ANY)
def test_joined_is_the_union_without_neighbours(some: Spans) -> None:
    start, end = ranges.joined(columns(some))

    assert pages((start, end)) == pages(columns(some))
    assert np.all(start[1:] > end[:-1])


@given(LENGTHS, st.integers(0, 6))
def test_joined_bridges_small_gaps_only(some: Spans, gap: int) -> None:
    start, end = ranges.joined(columns(some), gap)

    assert pages((start, end)) >= pages(columns(some))
    assert np.all(start[1:] > end[:-1] + np.uint64(gap))


@given(LENGTHS, st.integers(0, 60))
def test_after(some: Spans, address: int) -> None:
    expected = {page for page in pages(columns(some)) if page >= address}

    assert pages(ranges.after(columns(some), address)) == expected


@given(st.sets(st.integers(0, 50)))
def test_of_pages_and_runs_say_the_same(some: set[int]) -> None:
    addresses = np.array(sorted(some), np.uint64)
    mask = np.isin(np.arange(51), sorted(some))

    assert pages(ranges.of_pages(addresses, 1)) == some
    assert [column.tolist() for column in ranges.of_pages(addresses, 1)] == [
        column.tolist() for column in ranges.runs(0, mask, 1)
    ]
