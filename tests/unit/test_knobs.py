"""The codec of each cgroup file."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import knobs
from reconciler.model import Knob, Origin, Setting

HERE = Origin(file="/etc/nri/conf.d/60-mine.yaml", line=7)
PAGE = 4096


@pytest.mark.parametrize(
    ("knob", "raw", "value"),
    [
        (Knob.MEMORY_HIGH, "max", "max"),
        (Knob.MEMORY_HIGH, 4097, "4097"),
        (Knob.MEMORY_MIN, "64M", "67108864"),
        (Knob.SWAP_MAX, 0, "0"),
        (Knob.ZSWAP_MAX, "1.5G", "1610612736"),
        (Knob.OOM_GROUP, True, "1"),
        (Knob.OOM_GROUP, 0, "0"),
        (Knob.ZSWAP_WRITEBACK, "false", "0"),
        (Knob.ZSWAP_WRITEBACK, "1", "1"),
    ],
)
def test_values(knob: Knob, raw: object, value: str) -> None:
    assert knobs.parse(knob, raw, HERE) == Setting(knob=knob, value=value, origin=HERE)


@pytest.mark.parametrize(
    ("knob", "raw", "percent"),
    [(Knob.MEMORY_HIGH, "80%", 80.0), (Knob.SWAP_MAX, "200%", 200.0), (Knob.MEMORY_LOW, "12.5%", 12.5)],
)
def test_percentages_stay_open_until_the_limit_is_known(knob: Knob, raw: object, percent: float) -> None:
    assert knobs.parse(knob, raw, HERE) == Setting(knob=knob, percent=percent, origin=HERE)


@pytest.mark.parametrize(
    ("knob", "raw", "says"),
    [
        (Knob.MEMORY_HIGH, "abc", "memory.high: 'abc' is not a size"),
        (Knob.MEMORY_HIGH, "abc", 'or "max", or a share of the container\'s limit such as 80%'),
        (Knob.MEMORY_HIGH, -1, "never negative"),
        (Knob.MEMORY_HIGH, 2**70, "more than the kernel can count"),
        (Knob.MEMORY_HIGH, "9999P", "more than the kernel can count"),
        (Knob.MEMORY_HIGH, True, "true is not bytes"),
        (Knob.MEMORY_HIGH, 1.5, "1.5 is not bytes"),
        (Knob.MEMORY_HIGH, None, "nothing is not bytes"),
        (Knob.MEMORY_HIGH, [1], "is not bytes"),
        (Knob.MEMORY_MAX, "120%", "the most is 100%"),
        (Knob.SWAP_MAX, "99999%", "out of all proportion"),
        (Knob.MEMORY_HIGH, "x%", "is not a percentage"),
        (Knob.OOM_GROUP, 2, "memory.oom.group is a switch"),
        (Knob.OOM_GROUP, "max", "is not true or false"),
        (Knob.OOM_GROUP, [], "is not true or false"),
        (Knob.OOM_GROUP, 1.0, "is not true or false"),
    ],
)
def test_what_is_refused_says_what_is_allowed(knob: Knob, raw: object, says: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the text is compared below
        knobs.parse(knob, raw, HERE)

    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("knob", "text", "page", "same"),
    [
        (Knob.MEMORY_MAX, "max\n", PAGE, "max"),
        (Knob.MEMORY_MAX, "9223372036854771712\n", PAGE, "max"),
        (Knob.MEMORY_MAX, "9223372036854771711", PAGE, "9223372036854767616"),
        (Knob.MEMORY_MAX, "4097", PAGE, "4096"),
        (Knob.MEMORY_MAX, "4095", PAGE, "0"),
        (Knob.MEMORY_MAX, "65537", 65536, "65536"),
        (Knob.OOM_GROUP, "1\n", PAGE, "1"),
    ],
)
def test_canonical_texts_are_the_kernels(knob: Knob, text: str, page: int, same: str) -> None:
    assert knobs.canonical(knob, text, page) == same


@pytest.mark.parametrize("text", ["", "64M", "-1", "x"])
def test_a_kernel_file_with_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"memory\.high: .* is neither a number of bytes nor max"):
        knobs.canonical(Knob.MEMORY_HIGH, text, PAGE)


def test_a_percentage_is_of_the_limit_in_whole_pages() -> None:
    setting = knobs.parse(Knob.MEMORY_HIGH, "80%", HERE)

    assert knobs.settle(setting, 100_000_000, PAGE) == str(80_000_000 // PAGE * PAGE)


def test_a_percentage_without_a_limit_is_an_error_that_names_the_knob() -> None:
    setting = knobs.parse(Knob.MEMORY_HIGH, "80%", HERE)

    with pytest.raises(ValueError, match=r"memory\.high is 80% of the memory limit, but the container has no limit"):
        knobs.settle(setting, None, PAGE)


# What nri-plugins' memory-qos computes with float32 (bytes); the kernel then drops the part of a page.
@pytest.mark.parametrize(
    ("limit", "ratio", "float32"),
    [
        (67108864, 0.1, 60397976),
        (67108864, 0.9, 6710888),
        (104857600, 0.2, 83886080),
        (500000000, 0.25, 375000000),
        (1073741824, 0.1, 966367616),
        (1073741824, 0.5, 536870912),
        (1073741824, 0.9, 107374208),
    ],
)
def test_swap_limit_ratio_agrees_with_memory_qos(limit: int, ratio: float, float32: int) -> None:
    high = int(knobs.high_of_ratio(limit, ratio, PAGE))

    assert high % PAGE == 0
    assert high <= float32 + 16
    assert high > float32 - 16 - PAGE


@given(st.sampled_from(Knob), st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.booleans(), st.none()))
def test_anything_is_settled_or_a_value_error(knob: Knob, raw: object) -> None:
    try:
        text = knobs.settle(knobs.parse(knob, raw, HERE), 2**30, PAGE)
    except ValueError:
        return

    assert knobs.canonical(knob, text, PAGE) == text
