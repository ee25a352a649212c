"""Sizes, durations and percentages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import quantities


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("4096B", 4096),
        ("1k", 1024),
        ("50M", 50 * 2**20),
        ("50 MB", 50 * 2**20),
        ("2MiB", 2 * 2**20),
        (" 1.5G ", 3 * 2**29),
        ("1T", 2**40),
        ("0.3K", 307),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert quantities.bytes_of(text) == size


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1 2", "1e3", "0x10", "1,5G", "max", "٣", "1.M", "iB", "1\n2"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a size; write for example 4096, 50M, 2MiB or 1\.5G"):
        quantities.bytes_of(text)


@pytest.mark.parametrize("text", ["9223372036854775808", "8192P", "99999999999999999999T"])
def test_more_than_the_kernel_counts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="more than the kernel can count"):
        quantities.bytes_of(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10", 10),
        ("10s", 10),
        ("0", 0),
        ("500ms", 0.5),
        ("250us", 0.00025),
        ("2m", 120),
        ("2 min", 120),
        ("1h", 3600),
        ("1h30m", 5400),
        ("1m 1.5s", 61.5),
        ("2d", 172800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert quantities.seconds_of(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "-1s", "1x", "10 5", "10s5", "1h30", "1 w", "forever"])
def test_what_is_no_duration_is_refused_or_counted_as_seconds(text: str) -> None:
    if text in {"10s5", "1h30"}:  # a trailing bare number is seconds
        assert quantities.seconds_of(text) == {"10s5": 15, "1h30": 3630}[text]
        return
    with pytest.raises(ValueError, match="is not a duration; write for example"):
        quantities.seconds_of(text)


def test_a_duration_of_centuries_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="longer than ten years"):
        quantities.seconds_of("40000d")


@pytest.mark.parametrize(("text", "percent"), [("80%", 80), ("0%", 0), (" 12.5 % ", 12.5), ("150%", 150)])
def test_percentages(text: str, percent: float) -> None:
    assert quantities.percent_of(text) == percent


@pytest.mark.parametrize("text", ["80", "%", "-5%", "8 0%", "80%%", "nan%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a percentage; write for example 80%"):
        quantities.percent_of(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1K"),
        (1536, "1.5K"),
        (64 * 2**20, "64M"),
        (3 * 2**29, "1.5G"),
        (2**30 - 1, "1023.9M"),
        (2**60, "1E"),
        (-(2**20), "-1M"),
    ],
)
def test_sizes_are_printed_as_systemd_does(size: int, text: str) -> None:
    assert quantities.human_bytes(size) == text


@given(st.integers(min_value=0, max_value=2**60 - 1))
def test_what_is_printed_reads_back_within_a_tenth(size: int) -> None:
    back = quantities.bytes_of(quantities.human_bytes(size))

    assert size * 0.9 - 1 <= back <= size


@given(st.text(max_size=40))
def test_nothing_but_value_error_comes_of_any_text(text: str) -> None:
    for read in (quantities.bytes_of, quantities.seconds_of, quantities.percent_of):
        try:
            assert read(text) >= 0
        except ValueError as error:
            assert len(str(error)) > 10  # noqa: PT017 - both ways out are right, and the message is looked at
