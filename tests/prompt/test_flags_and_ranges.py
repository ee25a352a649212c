"""Flags in the Go style, and address ranges."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import ranges
from reconciler.memtierd import flags, rangetext
from reconciler.memtierd.flags import Flag, FlagError, Given

FLAGS = (
    Flag(name="pid", value="PID", number=True, text="this process"),
    Flag(name="t", value="TABLE", text="this table"),
    Flag(name="start", text="begin"),
)
PAGE = 4096


@pytest.mark.parametrize(
    ("words", "values", "rest"),
    [
        ([], {}, ()),
        (["-pid", "42", "-start"], {"pid": "42", "start": "true"}, ()),
        (["--pid", "0x2a"], {"pid": "42"}, ()),
        (["-pid=-1", "-t="], {"pid": "-1", "t": ""}, ()),
        (["-t", "-start"], {"t": "-start"}, ()),
        (["-start=false", "-t", "a,b"], {"t": "a,b"}, ()),
        (["-start", "raw", "-pid", "x"], {"start": "true"}, ("raw", "-pid", "x")),
        (["--", "-start"], {}, ("-start",)),
        (["-"], {}, ("-",)),
        (["-start", "-h"], {"h": "true"}, ()),
        (["--help"], {"h": "true"}, ()),
    ],
)
def test_parse(words: list[str], values: dict[str, str], rest: tuple[str, ...]) -> None:
    assert flags.parse(FLAGS, words) == Given(values=values, words=rest)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-pdi", "1"], 'unknown flag -pdi; did you mean "pid"?'),
        (["-zzzz"], "unknown flag -zzzz; known here: pid, t, start"),
        (["-pid"], "-pid needs a value: -pid PID"),
        (["-pid", "self"], '-pid: the text "self" is no whole number'),
        (["-start=maybe"], "-start is a switch: it takes no value, or =true or =false"),
    ],
)
def test_what_is_wrong(words: list[str], said: str) -> None:
    with pytest.raises(FlagError) as caught:
        flags.parse(FLAGS, words)

    assert str(caught.value) == said


def test_usage() -> None:
    assert flags.usage("cmd", "does it", FLAGS, "[WORD...]").splitlines() == [
        "usage: cmd [FLAG...] [WORD...]",
        "  does it",
        "  -pid PID  this process",
        "  -t TABLE  this table",
        "  -start    begin",
    ]


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["7000"], [(0x7000, 0x8000)]),
        (["0x7123"], [(0x7000, 0x8000)]),
        (["7000-9001"], [(0x7000, 0xA000)]),
        (["7000+8k"], [(0x7000, 0x9000)]),
        (["0+1MiB"], [(0, 1 << 20)]),
        (["0+1T"], [(0, 1 << 40)]),
        (["0+1"], [(0, 4096)]),
        (["9000", "7000-8000", "8000"], [(0x7000, 0xA000)]),
        (["0-ffffffffffffffff"], [(0, (1 << 64) - 4096)]),
    ],
)
def test_range_texts(texts: list[str], wanted: list[tuple[int, int]]) -> None:
    start, end = rangetext.parse(texts, PAGE)

    assert list(zip(start.tolist(), end.tolist(), strict=True)) == wanted


@pytest.mark.parametrize("text", ["", "x", "-", "7000-", "+4k", "9000-7000", "7000-7000", "7000+0", "7000+4q", "1 2"])
def test_no_ranges(text: str) -> None:
    with pytest.raises(ValueError, match="range"):
        rangetext.parse([text], PAGE)


def test_a_range_that_only_overlaps_is_clipped_to_the_mappings() -> None:
    mapped = ranges.columns([(0x1000, 0x5000), (0x8000, 0x9000), (0x9000, 0xB000)])

    start, end = ranges.within(mapped, rangetext.parse(["0-3000", "4000-8500", "a000-fffff"], PAGE))

    assert list(zip(start.tolist(), end.tolist(), strict=True)) == [
        (0x1000, 0x3000),
        (0x4000, 0x5000),
        (0x8000, 0x9000),
        (0xA000, 0xB000),
    ]


SPANS = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=6)


def cells(spans: list[tuple[int, int]]) -> set[int]:
    return {cell for start, size in spans for cell in range(start, start + size)}


def of_cells(found: set[int]) -> ranges.Ranges:
    """As many ranges as there are pages, which is as hard as it gets."""
    return ranges.columns([(cell * PAGE, cell * PAGE + PAGE) for cell in sorted(found)])


@given(SPANS, SPANS)
def test_selecting_is_the_intersection(mapped: list[tuple[int, int]], chosen: list[tuple[int, int]]) -> None:
    texts = [f"{start * PAGE:x}+{size * PAGE}" for start, size in chosen]

    start, end = ranges.within(of_cells(cells(mapped)), rangetext.parse(texts, PAGE))

    found = {address // PAGE for low, high in zip(start, end, strict=True) for address in range(low, high, PAGE)}
    assert found == cells(mapped) & cells(chosen)
    assert ranges.size((start, end)) == len(found) * PAGE


@given(SPANS, st.integers(1, 5))
def test_split_and_join_lose_nothing(spans: list[tuple[int, int]], pages: int) -> None:
    mine = ranges.joined(of_cells(cells(spans)))

    pieces = ranges.split(mine, pages * PAGE)

    assert ((pieces[1] - pieces[0]) <= np.uint64(pages * PAGE)).all()
    assert [column.tolist() for column in ranges.joined(pieces)] == [column.tolist() for column in mine]
