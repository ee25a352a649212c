"""How much of what is wanted one turn takes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.passage import cut
from reconciler.engine.site import BLOCK_PAGES, Batch

PAGE = 4096
MASKS = st.lists(
    st.tuples(st.integers(0, 700), st.integers(1, 1500), st.sets(st.integers(0, 1499), max_size=30)),
    min_size=1,
    max_size=5,
)


def batches(parts: list[tuple[int, int, set[int]]]) -> list[Batch]:
    """From gaps, lengths and wanted pages."""
    at, made = 1 << 20, list[Batch]()
    for gap, length, wanted in parts:
        batch = Batch((at + gap) * PAGE, 1, np.zeros(length, np.uint64))
        batch.wanted[[page for page in wanted if page < length]] = True
        made.append(batch)
        at += gap + length
    return made


def wanted(some: list[Batch]) -> list[int]:
    return [each.start // PAGE + page for each in some for page in np.flatnonzero(each.wanted).tolist()]


@given(MASKS, st.integers(0, 2000))
def test_all_before_the_cut_is_taken_and_nothing_behind_it(parts: list[tuple[int, int, set[int]]], pages: int) -> None:
    everything = batches(parts)
    taken, further = cut(everything, pages, PAGE)
    limit = (1 << 60) if further is None else further // PAGE

    assert wanted(taken) == [page for page in wanted(everything) if page < limit]


@given(MASKS, st.integers(0, 2000))
def test_the_budget_is_met_give_or_take_a_block(parts: list[tuple[int, int, set[int]]], pages: int) -> None:
    everything = batches(parts)
    taken, further = cut(everything, pages, PAGE)
    number = len(wanted(taken))

    assert min(pages, len(wanted(everything))) <= number
    assert number <= pages + BLOCK_PAGES
    assert further is None or number > 0, "every turn gets on"


@given(MASKS, st.integers(1, 2000))
def test_a_block_of_a_mapping_is_not_divided(parts: list[tuple[int, int, set[int]]], pages: int) -> None:
    everything = batches(parts)
    _, further = cut(everything, pages, PAGE)
    if further is None:
        return
    mine = next(each for each in everything if each.start <= further < each.start + len(each.entries) * PAGE)
    block = further // PAGE // BLOCK_PAGES
    pages_of_block = [page for page in wanted([mine]) if page // BLOCK_PAGES == block]

    assert all(page >= further // PAGE for page in pages_of_block)
