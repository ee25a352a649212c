"""Regions follow mappings that grow, shrink, split and get swapped out, and keep what was known about them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.regions import REGION, Regions

PAGE, WINDOW = 4096, 4
ANON, FILE = 1, 2
SIZE = PAGE * WINDOW
Ranges = list[tuple[int, int]]


def u64(numbers: list[int]) -> NDArray[np.uint64]:
    return np.array(numbers, np.uint64)


def columns(ranges: Ranges) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    return u64([low * PAGE for low, _ in ranges]), u64([high * PAGE for _, high in ranges])


def cut(mappings: Ranges, populated: Ranges, kind: int = ANON) -> Regions:
    start, end = columns(mappings)
    pieces = list(regions.windows(*regions.union(*columns(populated)), SIZE, most=2))
    windows = np.concatenate(pieces) if pieces else np.empty(0, np.uint64)
    return regions.cut((start, end, np.full(len(start), kind, np.uint8)), windows, WINDOW, PAGE)


def spans(table: Regions) -> Ranges:
    return [(int(row["start"]) // PAGE, int(row["start"]) // PAGE + int(row["pages"])) for row in table]


def rows(*values: dict[str, int]) -> Regions:
    table = np.zeros(len(values), REGION)
    for i, value in enumerate(values):
        for name, number in {"kind": ANON, "pages": WINDOW, **value}.items():
            table[name][i] = number
    return table


def test_a_region_takes_40_bytes() -> None:
    assert REGION.itemsize == 40


@pytest.mark.parametrize(
    ("mappings", "populated", "expected"),
    [
        ([(0, 8)], [(0, 8)], [(0, 4), (4, 8)]),
        ([(1, 7)], [(0, 8)], [(1, 4), (4, 7)]),  # clipped to its mapping, on the grid
        ([(0, 4000)], [(5, 6)], [(4, 8)]),  # never touched is no region
        ([(0, 2), (3, 8)], [(0, 8)], [(0, 2), (3, 4), (4, 8)]),  # two mappings in one window
        ([(0, 8)], [], []),
        ([], [(0, 8)], []),
        ([(16, 20)], [(0, 8)], []),  # somebody else's pages
        ([(0, 8)], [(0, 1), (1, 2), (7, 8)], [(0, 4), (4, 8)]),
    ],
)
def test_cut(mappings: Ranges, populated: Ranges, expected: Ranges) -> None:
    assert spans(cut(mappings, populated)) == expected


RANGES = st.lists(st.tuples(st.integers(0, 99), st.integers(1, 9)).map(lambda pair: (pair[0], sum(pair))), max_size=9)


@given(RANGES, st.integers(1, 9), st.integers(1, 5))
def test_windows_of_any_ranges_are_those_that_they_touch(ranges: Ranges, size: int, most: int) -> None:
    start, end = u64([low for low, _ in ranges]), u64([high for _, high in ranges])
    pieces = [piece.tolist() for piece in regions.windows(*regions.union(start, end), size, most)]
    touched = {at // size * size for low, high in ranges for at in range(low, high)}

    assert [window for piece in pieces for window in piece] == sorted(touched)
    assert all(0 < len(piece) <= most for piece in pieces)


@given(st.lists(st.integers(0, 60), unique=True, max_size=20), st.lists(st.integers(0, 64), min_size=1, max_size=9))
def test_covered_counts_what_lies_below(edges: list[int], at: list[int]) -> None:
    ordered = sorted(edges)[: len(edges) // 2 * 2]
    pairs = list(zip(ordered[::2], ordered[1::2], strict=True))
    naive = [sum(max(min(high, point) - low, 0) for low, high in pairs) for point in at]

    found = regions.covered(u64([low for low, _ in pairs]), u64([high for _, high in pairs]), u64(at))

    assert found.tolist() == naive


@pytest.mark.parametrize(
    ("mapping", "changed"),
    [
        ((0, 8), [3, 7]),
        ((0, 12), [3, 7, 50]),  # grown: the rest keeps its age, only what is new is new
        ((0, 10), [3, 7, 50]),
        ((0, 7), [3, 7]),  # shrunk
        ((2, 8), [3, 7]),
        ((40, 48), [50, 50]),  # moved: nobody knows it
    ],
)
def test_ages_survive_changes_of_the_mapping(mapping: tuple[int, int], changed: list[int]) -> None:
    old = cut([(0, 8)], [(0, 8)])
    old["changed"], old["history"] = [3, 7], 0
    new = regions.carry(old, cut([mapping], [mapping]), 50, PAGE)

    assert new["changed"].tolist() == changed
    assert [bool(bits) for bits in new["history"]] == [age == 50 for age in changed]


def test_the_part_that_grew_onto_a_known_region_makes_it_no_older() -> None:
    old = rows({"start": 0, "pages": 2, "changed": 9, "history": 1}, {"start": 2 * PAGE, "pages": 2, "changed": 4})
    new = regions.carry(old, cut([(0, 4)], [(0, 4)]), 50, PAGE)

    assert (new["changed"].tolist(), new["history"].tolist()) == ([9], [1])


def test_a_split_mapping_forgets_where_its_swapped_pages_are() -> None:
    old = rows({"start": 0, "out": 3})
    new = regions.carry(old, cut([(0, 2), (3, 4)], [(0, 4)]), 50, PAGE)

    assert new["out"].tolist() == [0, 0]


def counts(present: int, swapped: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    return np.array([present], np.int64), np.array([swapped], np.int64)


@pytest.mark.parametrize(
    ("kind", "before", "present", "swapped", "out", "back"),
    [
        (ANON, {"out": 4, "swapped": 4}, 0, 4, 4, 0),  # all still away
        (ANON, {"out": 4, "swapped": 4}, 3, 1, 1, 3),  # three were used again
        (ANON, {"out": 4, "swapped": 4}, 0, 0, 0, 0),  # freed: nothing came back
        (ANON, {"out": 0, "swapped": 4}, 4, 0, 0, 0),  # the kernel had swapped it, not we
        (FILE, {"out": 4, "present": 0}, 0, 0, 4, 0),
        (FILE, {"out": 4, "present": 0}, 2, 0, 2, 2),
        (FILE, {"out": 2, "present": 2}, 2, 0, 2, 0),  # what had stayed is no refault
    ],
)
def test_what_came_back(kind: int, before: dict[str, int], present: int, swapped: int, out: int, back: int) -> None:
    table, found = regions.populate(rows({"kind": kind, **before}), counts(present, swapped), ANON, 77)

    assert (found, table["out"].tolist()) == (back, [out])
    assert table["changed"].tolist() == [77 if back else 0], "a refault is an access"


def test_a_mapping_that_is_completely_swapped_out_still_counts() -> None:
    table = rows({"swapped": 4}, {"start": SIZE, "present": 0}, {"start": 2 * SIZE, "kind": FILE, "out": 4})
    kept = regions.holds_something(table)

    assert kept["start"].tolist() == [0, 2 * SIZE]
    assert regions.data_pages(kept).tolist() == [4, 4]


def test_looks_are_remembered_and_an_access_forgives() -> None:
    table = rows({"history": 0b101, "tries": 3}, {"history": 0b101, "tries": 3})
    seen = regions.look(table, np.array([True, False]), (np.array([3, 0], np.uint32), np.array([1, 0], np.uint32)), 8)

    assert seen["history"].tolist() == [0b1011, 0b1010]
    assert seen["rested"].tolist() == [0, 8]
    assert (seen["accesses"].tolist(), seen["writes"].tolist()) == ([3, 0], [1, 0])
    assert (seen["changed"].tolist(), seen["tries"].tolist()) == ([8, 0], [0, 3])


def test_the_kernel_vouches_only_for_times_before_we_looked() -> None:
    table = rows(
        {"history": 0b1111_1111_1111_1100, "changed": 50},  # new when it was found, and two empty looks
        {"history": 0b0000_0000_0000_0100, "changed": 50},  # we saw it accessed ourselves
        {"history": 0b1111_1111_1111_1100, "changed": 50},
        {"history": 0b1111_1111_1111_1100, "changed": 5},
    )
    seen = regions.vouched(table, np.array([90, 90, 0, 90], np.uint32), 100)

    assert seen["changed"].tolist() == [10, 50, 50, 5]
    assert regions.vouched(table, np.array([900, 0, 0, 0], np.uint32), 100)["changed"][0] == 0


def test_counters_stop_at_their_largest_value_and_begin_again() -> None:
    many = np.array([0xFFFF_0000], np.uint32)
    table = regions.look(rows({"accesses": 9}), np.array([True]), (many, many), 8)

    assert (table["accesses"].tolist(), table["writes"].tolist()) == ([0xFFFF], [0xFFFF])
    assert regions.reset(table)["accesses"].tolist() == [0]


def test_spans_join_neighbours() -> None:
    table = rows({"start": 0}, {"start": SIZE}, {"start": 3 * SIZE})

    assert regions.spans(table, PAGE) == [(0, 2 * SIZE), (3 * SIZE, 4 * SIZE)]
    assert regions.spans(regions.none(), PAGE) == []
    assert regions.spans(table, PAGE, u64([SIZE])) == [(0, SIZE), (SIZE, 2 * SIZE), (3 * SIZE, 4 * SIZE)]
