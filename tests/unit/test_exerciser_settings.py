"""The exerciser's flags: what each value becomes, what is refused and how, and what the scenarios are."""

import re
from dataclasses import fields

import pytest

from reconciler.exerciser import settings
from reconciler.exerciser.settings import Every, Settings
from reconciler.exerciser.windows import Stripes

MEME = "bs bc bcd brc bwc brs bws brsd bwsd bro bwo brod bwod bri bwi brp bwp p ttl"


def test_all_of_memes_flags_are_there() -> None:
    assert " ".join(settings.MEME) == MEME


def test_defaults_are_memes() -> None:
    told = settings.of({})

    assert (told.array_bytes, told.arrays, told.readers, told.writers) == (1 << 30, 1, 1, 1)
    assert told.reading == told.writing
    assert (told.reading.size, told.reading.offset, told.reading.interval_s, told.reading.portions) == (
        1 << 30,
        0,
        0,
        1,
    )
    assert told.lifetime_s is None


@pytest.mark.parametrize(
    ("flag", "text", "field", "value"),
    [
        ("bs", "4k", "array_bytes", 4096),
        ("bs", "3M", "array_bytes", 3 << 20),
        ("bs", "2G", "array_bytes", 2 << 30),
        ("bs", "100", "array_bytes", 100),
        ("bc", "0", "arrays", 0),
        ("bcd", "1/20s,-6/2m", "more_arrays", (Every(amount=1, interval_s=20), Every(amount=-6, interval_s=120))),
        ("brc", "2", "readers", 2),
        ("bwc", "3", "writers", 3),
        ("p", "1500ms", "report_s", 1.5),
        ("ttl", "2h", "lifetime_s", 7200),
        ("ttl", "250us", "lifetime_s", 250e-6),
        ("truth", "/tmp/t", "truth", "/tmp/t"),
        ("interval", "200ms", "interval_s", 0.2),
        ("touch", "bytes", "touch", "bytes"),
        ("grow", "16M/2s", "grow", Every(amount=16 << 20, interval_s=2)),
        ("hugepages", "always", "hugepages", "always"),
        ("file", "/tmp/a", "file", "/tmp/a"),
        ("children", "2", "children", 2),
        ("children-do", "exercise", "children_do", "exercise"),
        ("child-ttl", "5s", "child_lifetime_s", 5),
        ("seed", "7", "seed", 7),
    ],
)
def test_a_flag_becomes_a_value(flag: str, text: str, field: str, value: object) -> None:
    assert getattr(settings.of({flag: text}), field) == value


@pytest.mark.parametrize(
    ("flag", "text", "field", "value"),
    [
        ("s", "1M", "size", 1 << 20),
        ("sd", "-4k", "size_delta", -4096),
        ("o", "2M", "offset", 2 << 20),
        ("od", "8k", "offset_delta", 8192),
        ("i", "20ms", "interval_s", 0.02),
        ("p", "4", "portions", 4),
    ],
)
def test_reading_and_writing_have_the_same_flags(flag: str, text: str, field: str, value: object) -> None:
    told = settings.of({f"br{flag}": text})

    assert getattr(told.reading, field) == value
    assert getattr(told.writing, field) != value
    assert getattr(settings.of({f"bw{flag}": text}).writing, field) == value


def test_both_patterns_share_stripes_and_the_time_of_a_step() -> None:
    told = settings.of({"stripes": "64k/256k", "move-every": "3s"})

    assert told.reading.stripes == told.writing.stripes == Stripes(hot=64 << 10, each=256 << 10)
    assert told.reading.hold_s == told.writing.hold_s == 3


@pytest.mark.parametrize(
    ("flag", "text", "why"),
    [
        ("bs", "1X", "-bs: '1X' is not a size; write for example 4096, 50M, 2MiB or 1.5G"),
        ("bs", "", "-bs: '' is not a size; write for example 4096, 50M, 2MiB or 1.5G"),
        ("bs", "0", "-bs: an array holds at least one byte"),
        ("bs", "-1M", "-bs: '-1M' is not a size; write for example 4096, 50M, 2MiB or 1.5G"),
        ("bc", "-1", "-bc: '-1' is not a number; write for example 1"),
        ("bc", "²", "-bc: '²' is not a number; write for example 1"),
        ("brsd", "--1k", "-brsd: '-1k' is not a size; write for example 4096, 50M, 2MiB or 1.5G"),
        ("bwp", "0", "-bwp: there is at least one portion"),
        ("ttl", "5", "-ttl: '5' has no unit; write for example 5s"),
        ("bri", "5 weeks", "-bri: '5 weeks' is not a duration; write for example 500ms, 10s, 2m, 1h30m or 2d"),
        ("bcd", "1", "-bcd: '1' is not DELTA/T; write for example 1/20s,-6/2m"),
        ("bcd", "1/20s,", "-bcd: '' is not DELTA/T; write for example 1/20s,-6/2m"),
        ("bcd", "x/20s", "-bcd: 'x/20s' is not DELTA/T; write for example 1/20s,-6/2m"),
        ("bcd", "1/0", "-bcd: 0 is no interval; write for example 1s"),
        ("interval", "0", "-interval: 0 is no interval; write for example 1s"),
        ("stripes", "64k", "-stripes: '64k' is not HOT/EACH with HOT in EACH bytes; write for example 64k/256k"),
        ("stripes", "2M/1M", "-stripes: '2M/1M' is not HOT/EACH with HOT in EACH bytes; write for example 64k/256k"),
        ("grow", "0/2s", "-grow: '0/2s' is not SIZE/T; write for example 16M/2s"),
        ("touch", "words", "-touch: 'words' is none of pages, bytes"),
    ],
)
def test_nonsense_is_refused_with_its_flag(flag: str, text: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why) + "$"):
        settings.of({flag: text})


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"file": "/tmp/a", "grow": "1M/1s"}, "-grow: a mapping of a file does not grow; leave out -file"),
        (
            {"stripes": "4k/8k", "brp": "2"},
            "-stripes: portions and stripes exclude each other; leave out -brp and -bwp",
        ),
    ],
)
def test_what_excludes_each_other_is_refused(said: dict[str, str | None], why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why) + "$"):
        settings.of(said)


@pytest.mark.parametrize("name", settings.SCENARIOS)
def test_a_scenario_is_other_defaults(name: str) -> None:
    assert set(settings.SCENARIOS[name]) <= set(settings.FLAGS)
    told, plain = settings.of({}, name), settings.of({})

    assert told != plain
    assert told.reading.size == told.writing.size <= told.array_bytes
    assert settings.of({"bs": "512M"}, name).array_bytes == 512 << 20


@pytest.mark.parametrize(
    ("name", "field"),
    [("growing", "grow"), ("exiting", "child_lifetime_s"), ("fork", "children"), ("thp-on", "hugepages")],
)
def test_a_scenario_differs_from_the_static_one_in_its_point(name: str, field: str) -> None:
    assert getattr(settings.of({}, name), field) != getattr(settings.of({}, "static"), field)


def test_every_flag_reaches_the_settings() -> None:
    own = len(fields(Settings)) - 2  # two patterns
    of_patterns = 2 * 6 + 2  # both have six of meme's flags; stripes and move-every belong to both

    assert len(settings.FLAGS) == own + of_patterns
