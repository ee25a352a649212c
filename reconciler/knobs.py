"""The codec of each cgroup file that we own: what may be written, and what two texts mean the same.

The kernel counts pages: it rounds a byte value down to whole pages (page_counter_memparse in mm/page_counter.c) and
shows everything from PAGE_COUNTER_MAX on as "max". Comparing canonical texts makes equal mean equal.
"""

from collections.abc import Mapping
from fractions import Fraction

from reconciler import quantities
from reconciler.model import Knob, Origin, Setting

SWITCHES = frozenset({Knob.ZSWAP_WRITEBACK, Knob.OOM_GROUP})  # 0 or 1; everything else counts bytes
DEFAULTS: Mapping[str, str] = {
    # What the kernel gives a new cgroup. Not memory.oom.group: runtimes and the kubelet set it without telling.
    Knob.MEMORY_MIN: "0",
    Knob.MEMORY_LOW: "0",
    Knob.MEMORY_HIGH: "max",
    Knob.MEMORY_MAX: "max",
    Knob.SWAP_HIGH: "max",
    Knob.SWAP_MAX: "max",
    Knob.ZSWAP_MAX: "max",
    Knob.ZSWAP_WRITEBACK: "1",
}
_MAY_EXCEED_LIMIT = frozenset({Knob.SWAP_MAX, Knob.SWAP_HIGH, Knob.ZSWAP_MAX})  # swap is beside memory, not inside
_SWITCH_WORDS: Mapping[object, str] = {
    True: "1",  # YAML's 1 and true are equal keys, and so are 0 and false
    False: "0",
    "1": "1",
    "0": "0",
    "true": "1",
    "false": "0",
    "on": "1",
    "off": "0",
    "yes": "1",
    "no": "0",
}
_BYTES_ALLOWED = 'bytes (67108864), a size (64M, 1.5G), "max", or a percentage of the container\'s limit (80%)'
_SWITCH_ALLOWED = "true or false (or 1 and 0)"


def allowed(knob: Knob) -> str:
    """What may be written for this knob, for people."""
    return _SWITCH_ALLOWED if knob in SWITCHES else _BYTES_ALLOWED


def parse(knob: Knob, raw: object, origin: Origin) -> Setting:
    """What a class file or annotation says; ValueError tells what is allowed."""
    if knob in SWITCHES:
        return Setting(knob=knob, value=_switch(knob, raw), origin=origin)
    if isinstance(raw, str) and raw.strip().endswith("%"):
        return Setting(knob=knob, percent=_percent(knob, raw), origin=origin)
    return Setting(knob=knob, value=_bytes(knob, raw), origin=origin)


def canonical(knob: Knob, text: str, page_size: int) -> str:
    """The one way to write what a kernel file shows, or what we are about to write there."""
    word = text.strip()
    if knob in SWITCHES:
        return _switch(knob, word)
    if word == "max":
        return word
    if not (word.isascii() and word.isdigit()):
        raise ValueError(f"{knob}: {text!r} is neither a number of bytes nor max")
    return _pages(int(word), page_size)


def shown(knob: str, text: str, page_size: int) -> str:
    """`canonical`, but a text that no kernel is known to show stays as it is: seen, and equal to nothing."""
    try:
        return canonical(Knob(knob), text, page_size)
    except ValueError:
        return text.strip()


def settle(setting: Setting, limit_bytes: int | None, page_size: int) -> str:
    """The canonical text to write, percentages taken of the runtime's limit."""
    if setting.percent is None:
        return canonical(setting.knob, setting.value, page_size)
    if limit_bytes is None:
        raise ValueError(f"{setting.knob} is {setting.percent:g}% of the memory limit, but the container has no limit")
    return _pages(int(limit_bytes * _exact(setting.percent) / 100), page_size)


def high_of_ratio(limit_bytes: int, ratio: float, page_size: int) -> str:
    """memory-qos: memory.high so that `ratio` of the limit may go to swap; exact, where the original used float32."""
    return _pages(int(limit_bytes * (1 - _exact(ratio))), page_size)


def _exact(number: float) -> Fraction:
    # Of the decimal number that was written, not of its nearest binary float: 0.1 is one tenth.
    return Fraction(repr(number))


def _pages(size: int, page_size: int) -> str:
    most = quantities.MOST_BYTES // page_size * page_size
    return "max" if size >= most else str(size // page_size * page_size)


def _switch(knob: Knob, raw: object) -> str:
    word = raw.strip().lower() if isinstance(raw, str) else raw
    if not isinstance(word, str | int) or word not in _SWITCH_WORDS:
        raise ValueError(f"{knob} is a switch: {_shown(raw)} is not {_SWITCH_ALLOWED}")
    return _SWITCH_WORDS[word]


def _shown(raw: object) -> str:
    """As it was written: YAML's true and nothing, not Python's."""
    return {True: "true", False: "false", None: "nothing"}[raw] if isinstance(raw, bool | None) else repr(raw)[:60]


def _percent(knob: Knob, raw: str) -> float:
    percent = quantities.percent_of(raw)
    if percent > 100 and knob not in _MAY_EXCEED_LIMIT:
        raise ValueError(f"{knob}: {raw.strip()} is more than the container may have; the most is 100%")
    if percent > 10_000:
        raise ValueError(f'{knob}: {raw.strip()} is out of all proportion; write "max" for no limit')
    return percent


def _bytes(knob: Knob, raw: object) -> str:
    if isinstance(raw, str):
        if raw.strip() == "max":
            return "max"
        try:
            return str(quantities.bytes_of(raw))
        except ValueError as error:
            raise ValueError(f'{knob}: {error}, or "max", or a share of the container\'s limit such as 80%') from error
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise ValueError(f"{knob}: {_shown(raw)} is not {_BYTES_ALLOWED}")  # noqa: TRY004 - one kind of error for the caller
    if raw < 0:
        raise ValueError(f"{knob}: a size is never negative; write {_BYTES_ALLOWED}")
    if raw > quantities.MOST_BYTES:
        raise ValueError(f'{knob}: more than the kernel can count; write "max" for no limit')
    return str(raw)
