"""Kubernetes' quantities and the percentages of eviction, by its own rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kubelet import eviction, quantity

VALUES = {
    "1k": 1000,
    "1Ki": 1024,
    "1M": 10**6,
    "1e3": 1000,
    "12E6": 12 * 10**6,
    "1E": 10**18,
    "1Ei": 2**60,
    "100m": 1,
    "-100m": -1,
    "16548Mi": 17351835648,
    "16484Mi": 17284726784,
    ".5Gi": 2**29,
    "1.5Gi": 3 * 2**29,
    "+2Ki": 2048,
    "-2Ki": -2048,
    "007": 7,
    "Mi": 0,
    "1e-3": 1,
    "0.1n": 1,
    "1e-70": 1,
    "9999Ei": 2**63 - 1,
}


@pytest.mark.parametrize(("text", "value"), VALUES.items())
def test_values_are_rounded_away_from_zero(text: str, value: int) -> None:
    assert quantity.parse(text).value == value


CANONICAL = {
    "1.5Gi": "1536Mi",
    "2048Mi": "2Gi",
    "1.5": "1500m",
    "1000Mi": "1000Mi",
    "0": "0",
    "0Mi": "0",
    "16548Mi": "16548Mi",
    "100Ki": "100Ki",
    "0.5Ki": "512",
    "0.3Ki": "307200m",
    "1.3Ki": "1331200m",
    "0.0001Ki": "102400u",
    "1000": "1k",
    "1024": "1024",
    "12000k": "12M",
    "1e3": "1e3",
    "100e1": "1e3",
    "-1024Ki": "-1Mi",
    "-1500m": "-1500m",
    "0.1n": "1n",
    "-0.1n": "-1n",
    "100E": "100E",
}


@pytest.mark.parametrize(("text", "canonical"), CANONICAL.items())
def test_the_canonical_text_keeps_the_family(text: str, canonical: str) -> None:
    assert str(quantity.parse(text)) == canonical
    assert quantity.parse(canonical).nano == quantity.parse(text).nano


WRONG = {
    "": quantity.FORMAT_WRONG,
    "K": quantity.SUFFIX_WRONG,
    "1K": quantity.SUFFIX_WRONG,
    "1KB": quantity.FORMAT_WRONG,
    "1MiB": quantity.FORMAT_WRONG,
    "1mi": quantity.SUFFIX_WRONG,
    "1GB": quantity.FORMAT_WRONG,
    "1e": quantity.SUFFIX_WRONG,
    "1 Gi": quantity.FORMAT_WRONG,
    "1.2.3": quantity.FORMAT_WRONG,
    "five": quantity.FORMAT_WRONG,
    "1e999999999": quantity.SUFFIX_WRONG,
    "1" * 200: quantity.FORMAT_WRONG,
}


@pytest.mark.parametrize(("text", "words"), WRONG.items())
def test_what_is_no_quantity_is_told_in_the_words_of_the_api(text: str, words: str) -> None:
    with pytest.raises(ValueError, match="quantit") as told:
        quantity.parse(text)

    assert str(told.value) == words


INTEGERS = {
    "1Gi": 2**30,
    "1.5Gi": None,
    "1.0Gi": None,
    "1500m": None,
    "1.0": None,
    "10Ti": 10 * 2**40,
    "100Ti": None,
    "131072Gi": None,
    "16384Gi": 2**44,
    "540065116160": 540065116160,
    "1G": 10**9,
    "10e17": 10**18,
    "100E": None,
}


@pytest.mark.parametrize(("text", "whole"), INTEGERS.items())
def test_only_some_whole_numbers_are_integers_for_the_memory_manager(text: str, whole: int | None) -> None:
    assert quantity.parse(text).whole == whole


def test_a_sum_has_the_family_of_its_first_addend_that_is_not_zero() -> None:
    parts = [quantity.parse(text) for text in ("0", "16Gi", "100M", "1Gi")]

    assert str(sum(parts, quantity.ZERO)) == str(quantity.of_bytes(17 * 2**30 + 10**8))
    assert str(quantity.ZERO + quantity.parse("1k") + quantity.parse("1Ki")) == "2024"


@given(st.integers(min_value=0, max_value=2**62 // 8))
def test_what_we_write_is_an_integer_and_exact(amount: int) -> None:
    assert quantity.parse(quantity.written(amount)).whole == amount


@given(st.integers(min_value=-(10**22), max_value=10**22), st.sampled_from(["n", "u", "m", "", "k", "Ki", "Mi", "Gi"]))
def test_canonical_texts_say_the_same(number: int, suffix: str) -> None:
    first = quantity.parse(f"{number}{suffix}")

    assert quantity.parse(str(first)).nano == first.nano
    assert str(quantity.parse(str(first))) == str(first)


SHARES = [
    ("5%", 540065116160, 27003256210),
    ("10%", 17179869184, 1717986944),
    ("1.5%", 17179869184, 257698032),
    ("15%", 8053063680, 1207959600),
    ("0%", 17179869184, 0),
    ("100%", 17179869184, 0),
    ("100Mi", 17179869184, 104857600),
]


@pytest.mark.parametrize(("text", "capacity", "taken"), SHARES)
def test_percentages_are_calculated_in_the_floats_of_the_kubelet(text: str, capacity: int, taken: int) -> None:
    assert eviction.threshold(eviction.MEMORY, text).of(capacity).value == taken


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("-1%", "eviction percentage threshold memory.available must be >= 0%: -1%"),
        ("101%", "eviction percentage threshold memory.available must be <= 100%: 101%"),
        ("0", "eviction threshold memory.available must be positive: 0"),
        ("-1Gi", "eviction threshold memory.available must be positive: -1Gi"),
        ("many%", 'strconv.ParseFloat: parsing "many": invalid syntax'),
        ("1GB", quantity.FORMAT_WRONG),
    ],
)
def test_thresholds_that_the_kubelet_refuses(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as told:
        eviction.threshold(eviction.MEMORY, text)

    assert str(told.value) == words
