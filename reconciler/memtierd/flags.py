"""The flags of a prompt command, in the Go style that memtierd has: -name VALUE, -name=VALUE, --name, and -h.

A switch takes no word but may be told `=true` or `=false`. The first word that is no flag, or `--`, ends the flags;
what follows are the command's own words. Nothing is abbreviated.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler import checking, documents

_TRUE, _FALSE = ("1", "t", "true"), ("0", "f", "false")
_MOST = 1 << 64


class FlagError(ValueError):
    """A flag that nobody knows, or a value that it cannot have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    name: str
    text: str  # what it does, for -h
    value: str = ""  # what its value is called; "" = a switch
    number: bool = False  # the value is a whole number


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What was said: values by flag, and the words behind the flags."""

    values: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()

    def __contains__(self, name: object) -> bool:
        return name in self.values

    def text(self, name: str, default: str = "") -> str:
        return self.values.get(name, default)

    def number(self, name: str, default: int = -1) -> int:
        return int(self.values[name]) if name in self.values else default

    def any_of(self, *names: str) -> bool:
        return any(name in self.values for name in names)

    def parts(self, name: str) -> tuple[str, ...]:
        """A value that is a list with commas."""
        return tuple(part for part in self.text(name).split(",") if part)


def parse(flags: Iterable[Flag], words: Sequence[str]) -> Given:
    """Raises FlagError. `-h`, `-help` are reported as the flag "h"."""
    known = {flag.name: flag for flag in flags}
    values: dict[str, str] = {}
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        name, equals, value = word.removeprefix("-").removeprefix("-").partition("=")
        if name in ("h", "help") and name not in known:
            return Given(values={"h": "true"})
        if name not in known:
            raise FlagError(f"unknown flag -{documents.shorten(name)}; {_nearest(name, known)}")
        _take(values, known[name], value if equals else None, rest)
    return Given(values=values, words=tuple(rest))


def numbers(given: Given, name: str) -> tuple[int, ...]:
    """A list of process ids and the like; FlagError names what is none."""
    for part in given.parts(name):
        if not part.isdecimal():
            raise FlagError(f"-{name}: {checking.show(part)} is no number")
    return tuple(int(part) for part in given.parts(name))


def usage(command: str, summary: str, flags: Sequence[Flag], words: str = "") -> str:
    """The answer to -h."""
    said = [f"-{flag.name} {flag.value}".rstrip() for flag in flags]
    width = max(map(len, said), default=0)
    lines = [f"  {left:<{width}}  {flag.text}" for left, flag in zip(said, flags, strict=True)]
    head = f"usage: {command}" + (" [FLAG...]" if flags else "") + (f" {words}" if words else "")
    return "\n".join([head, f"  {summary}", *lines])


def _take(values: dict[str, str], flag: Flag, value: str | None, rest: list[str]) -> None:
    if not flag.value:
        if (word := (value or "true").lower()) not in (*_TRUE, *_FALSE):
            raise FlagError(f"-{flag.name} is a switch: it takes no value, or =true or =false")
        values.pop(flag.name, None)
        if word in _TRUE:
            values[flag.name] = "true"
        return
    if value is None:
        if not rest:
            raise FlagError(f"-{flag.name} needs a value: -{flag.name} {flag.value}")
        value = rest.pop(0)
    values[flag.name] = _number(flag, value) if flag.number else value


def _number(flag: Flag, value: str) -> str:
    """Decimal, or hexadecimal with 0x."""
    try:
        number = int(value, 16) if value.lower().startswith("0x") else int(value)
    except ValueError:
        number = _MOST
    if not -_MOST < number < _MOST:
        raise FlagError(f"-{flag.name}: {checking.show(value)} is no whole number")
    return str(number)


def _nearest(name: str, known: Mapping[str, Flag]) -> str:
    return checking.did_you_mean(name, list(known)) if known else "it has none"
