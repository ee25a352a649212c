"""What the exerciser is told: one table of flags (those of memtierd's `meme`, then ours), and the value they make.

Every flag is text until `of` understands it, so that a scenario is nothing but other defaults. Sizes are powers of
1024; a time without a unit is refused, for people mean seconds and `meme` takes nanoseconds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reconciler import quantities
from reconciler.exerciser.windows import Pattern, Stripes

HUGEPAGES = ("inherit", "always", "never")
TOUCH = ("pages", "bytes")
CHILDREN_DO = ("sleep", "exercise")
FOREVER = float("inf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Something that happens again and again: so many arrays, or bytes, each so many seconds."""

    amount: int
    interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    array_bytes: int
    arrays: int
    more_arrays: tuple[Every, ...]
    readers: int
    writers: int
    reading: Pattern
    writing: Pattern
    report_s: float  # 0 = never
    lifetime_s: float | None  # None = until somebody presses Enter
    truth: str  # path, "" = none
    interval_s: float
    touch: str
    grow: Every | None
    hugepages: str
    file: str
    children: int
    children_do: str
    child_lifetime_s: float
    seed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    default: str
    shown: str  # what stands for its value in the help
    parse: Callable[[str], Any]
    text: str


def size(text: str) -> int:
    return quantities.bytes_of(text)


def change(text: str) -> int:
    """A size with a sign."""
    return -size(text[1:]) if text.startswith("-") else size(text)


def array_size(text: str) -> int:
    found = size(text)
    if not found:
        raise ValueError("an array holds at least one byte")
    return found


def seconds(text: str) -> float:
    if text.strip("0123456789.") == "" and text != "0":
        raise ValueError(f"{text!r} has no unit; write for example {text}s")
    return quantities.seconds_of(text)


def interval(text: str) -> float:
    if not (found := seconds(text)):
        raise ValueError("0 is no interval; write for example 1s")
    return found


def number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a number; write for example 1")
    return int(text)


def part_count(text: str) -> int:
    if not (found := number(text)):
        raise ValueError("there is at least one portion")
    return found


def lifetime(text: str) -> float | None:
    return seconds(text) if text else None


def array_changes(text: str) -> tuple[Every, ...]:
    return tuple(array_change(each) for each in text.split(",")) if text else ()


def array_change(text: str) -> Every:
    amount, slash, every = text.partition("/")
    if not slash or not amount.removeprefix("-").isdigit():
        raise ValueError(f"{text!r} is not DELTA/T; write for example 1/20s,-6/2m")
    return Every(amount=int(amount), interval_s=interval(every))


def growth(text: str) -> Every | None:
    if not text:
        return None
    more, slash, every = text.partition("/")
    if not slash or not size(more):
        raise ValueError(f"{text!r} is not SIZE/T; write for example 16M/2s")
    return Every(amount=size(more), interval_s=interval(every))


def stripes(text: str) -> Stripes | None:
    if not text:
        return None
    hot, slash, each = text.partition("/")
    if not slash or not 0 < size(hot) <= size(each):
        raise ValueError(f"{text!r} is not HOT/EACH with HOT in EACH bytes; write for example 64k/256k")
    return Stripes(hot=size(hot), each=size(each))


def one_of(*words: str) -> Callable[[str], str]:
    def choose(text: str) -> str:
        if text not in words:
            raise ValueError(f"{text!r} is none of {', '.join(words)}")
        return text

    return choose


def seed(text: str) -> int | None:
    return number(text) if text else None


# meme's flags, with its defaults.
MEME = {
    "bs": Flag(default="1G", shown="SIZE", parse=array_size, text="size of each array"),
    "bc": Flag(default="1", shown="N", parse=number, text="how many arrays"),
    "bcd": Flag(
        default="", shown="DELTA/T,...", parse=array_changes, text="add (or free) arrays every T, as in 1/20s,-6/2m"
    ),
    "brc": Flag(default="1", shown="N", parse=number, text="how many arrays are read"),
    "bwc": Flag(default="1", shown="N", parse=number, text="how many arrays are written"),
    "brs": Flag(default="1G", shown="SIZE", parse=size, text="bytes of an array that a round reads"),
    "bws": Flag(default="1G", shown="SIZE", parse=size, text="bytes that a round writes"),
    "brsd": Flag(default="0k", shown="SIZE", parse=change, text="change of the size that is read, after each round"),
    "bwsd": Flag(default="0k", shown="SIZE", parse=change, text="change of the size that is written"),
    "bro": Flag(default="0M", shown="SIZE", parse=size, text="where in an array reading begins"),
    "bwo": Flag(default="0M", shown="SIZE", parse=size, text="where writing begins"),
    "brod": Flag(default="0k", shown="SIZE", parse=change, text="change of where reading begins, after each round"),
    "bwod": Flag(default="0k", shown="SIZE", parse=change, text="change of where writing begins"),
    "bri": Flag(default="0", shown="T", parse=seconds, text="from one round of reading to the next; 0 = flat out"),
    "bwi": Flag(default="0", shown="T", parse=seconds, text="from one round of writing to the next"),
    "brp": Flag(default="1", shown="N", parse=part_count, text="portions, read page by page in turn, in random order"),
    "bwp": Flag(default="1", shown="N", parse=part_count, text="the same for writing"),
    "p": Flag(default="0", shown="T", parse=seconds, text="tell the average time of a round every T"),
    "ttl": Flag(default="", shown="T", parse=lifetime, text="end after this time, else when Enter is pressed"),
}
OURS = {
    "truth": Flag(default="", shown="FILE", parse=str, text="append what was touched in each interval: JSON lines"),
    "interval": Flag(default="1s", shown="T", parse=interval, text="of the truth"),
    "touch": Flag(
        default="pages", shown="|".join(TOUCH), parse=one_of(*TOUCH), text="one byte of a page, or every byte"
    ),
    "stripes": Flag(default="", shown="HOT/EACH", parse=stripes, text="touch HOT bytes in EACH, as in 64k/256k"),
    "move-every": Flag(default="0", shown="T", parse=seconds, text="offsets and sizes change after T, not each round"),
    "grow": Flag(default="", shown="SIZE/T", parse=growth, text="every array grows by SIZE each T, up to 8 times"),
    "hugepages": Flag(
        default="inherit", shown="|".join(HUGEPAGES), parse=one_of(*HUGEPAGES), text="madvise the arrays"
    ),
    "file": Flag(default="", shown="PATH", parse=str, text="arrays are shared mappings of PATH.0, PATH.1, ..."),
    "children": Flag(default="0", shown="N", parse=number, text="forked children, which share the pages"),
    "children-do": Flag(default="sleep", shown="|".join(CHILDREN_DO), parse=one_of(*CHILDREN_DO), text="what they do"),
    "child-ttl": Flag(default="", shown="T", parse=lifetime, text="children end after this time"),
    "seed": Flag(default="", shown="N", parse=seed, text="for an order of portions that is the same each time"),
}
FLAGS = MEME | OURS

_HOT = {"bs": "64M", "brs": "16M", "bws": "16M", "bri": "200ms", "bwi": "200ms", "brc": "0", "bwc": "1"}
_MOVE = {"brod": "16M", "bwod": "16M", "move-every": "10s"}
_GROW = {"bs": "32M", "grow": "4M/2s", "bro": "16M", "bwo": "16M", "brod": "4M", "bwod": "4M", "move-every": "2s"}
_STRIPES = {"brs": "64M", "bws": "64M", "stripes": "64k/256k", "hugepages": "never"}
_NONE: dict[str, str] = {}
SCENARIOS = {
    "static": _HOT,
    "moving": _HOT | _MOVE,
    "stripes": _HOT | _STRIPES,
    "growing": _HOT | _GROW,  # the hot set is the newest part
    "exiting": _HOT | {"children": "1", "children-do": "exercise", "child-ttl": "10s"},
    "fork": _HOT | {"children": "2"},
    "thp-on": _HOT | {"hugepages": "always"},
    "thp-off": _HOT | {"hugepages": "never"},
}


def of(said: Mapping[str, str | None], scenario: str = "") -> Settings:
    """The settings of a command line; ValueError names the flag that is wrong."""
    defaults = {name: flag.default for name, flag in FLAGS.items()} | SCENARIOS.get(scenario, _NONE)
    words = defaults | {name: text for name, text in said.items() if text is not None}
    found = {name: understood(name, words[name]) for name in FLAGS}
    settings = built(found)
    refuse_nonsense(settings)
    return settings


def understood(name: str, text: str) -> Any:
    try:
        return FLAGS[name].parse(text)
    except ValueError as error:
        raise ValueError(f"-{name}: {error}") from error


def built(found: Mapping[str, Any]) -> Settings:
    return Settings(
        array_bytes=found["bs"],
        arrays=found["bc"],
        more_arrays=found["bcd"],
        readers=found["brc"],
        writers=found["bwc"],
        reading=pattern(found, "r"),
        writing=pattern(found, "w"),
        report_s=found["p"],
        lifetime_s=found["ttl"],
        truth=found["truth"],
        interval_s=found["interval"],
        touch=found["touch"],
        grow=found["grow"],
        hugepages=found["hugepages"],
        file=found["file"],
        children=found["children"],
        children_do=found["children-do"],
        child_lifetime_s=FOREVER if found["child-ttl"] is None else found["child-ttl"],
        seed=found["seed"],
    )


def pattern(found: Mapping[str, Any], kind: str) -> Pattern:
    return Pattern(
        size=found[f"b{kind}s"],
        size_delta=found[f"b{kind}sd"],
        offset=found[f"b{kind}o"],
        offset_delta=found[f"b{kind}od"],
        interval_s=found[f"b{kind}i"],
        portions=found[f"b{kind}p"],
        hold_s=found["move-every"],
        stripes=found["stripes"],
    )


def refuse_nonsense(settings: Settings) -> None:
    if settings.file and settings.grow:
        raise ValueError("-grow: a mapping of a file does not grow; leave out -file")
    striped = settings.reading.stripes is not None
    if striped and max(settings.reading.portions, settings.writing.portions) > 1:
        raise ValueError("-stripes: portions and stripes exclude each other; leave out -brp and -bwp")
