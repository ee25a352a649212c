"""One mapping of memtierd's configuration, wherever it was written: in the file, or in a text inside a text of it.

A Part reads typed values and collects Problems with exact places; a value that is wrong becomes the default, so that
one pass finds everything there is to say.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler import checking, documents, quantities
from reconciler.documents import Document, step
from reconciler.engineconfig import SWAP
from reconciler.memtierd import words
from reconciler.model import Problem, Severity

USUAL_PAGE = 4096
MOST_MS = 10 * 365 * 86_400_000  # ten years; memtierd's own type is a 64-bit number
MOST_NODE = 1023  # CONFIG_NODES_SHIFT of the biggest kernels
_QUOTED_KEY = re.compile(r'\s*\{\s*"')  # how JSON begins, and YAML hardly ever
_MOST_DEPTH = 24  # of parts in parts: a filter of filters, a chain of chains


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What all parts of one configuration share."""

    problems: list[Problem] = field(default_factory=list)
    page_size: int = USUAL_PAGE
    programs: bool = True  # whether who wrote this may have root start programs and write files


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    document: Document
    pointer: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    depth: int = 0

    def say(
        self, key: str, message: str, hint: str = "", severity: Severity = Severity.ERROR, *, item: int | None = None
    ) -> None:
        pointer = step(self.pointer, key) if key else self.pointer
        pointer = pointer if item is None else step(pointer, item)
        self.reading.problems.append(self.document.problem(pointer, message, hint, severity))

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def gives(self, key: str) -> bool:
        """Whether the key is there, in memtierd's spelling or in ours."""
        return self.has(key) or self.has(words.NATIVE[key])

    def spelled(self, key: str) -> str:
        """The key as it stands here."""
        return key if self.has(key) else words.NATIVE[key]

    def check_keys(self, known: Sequence[str], ignored: Mapping[str, str] | None = None) -> None:
        """Complain about keys that nobody knows; `ignored`: known to memtierd -> why it has no effect."""
        for key in self.values:
            if ignored and key in ignored:
                self.say(key, f'"{key}" has no effect: {ignored[key]}', "remove it", Severity.WARNING)
            elif key not in known:
                said = f'unknown key "{documents.shorten(key)}"'
                hint = checking.did_you_mean(key, [*known, *(ignored or ())])
                self.say(key, said, hint or "remove it: there is nothing to set here")

    # -- plain values ------------------------------------------------------------------------------------------------

    def whole(self, key: str, default: int, least: int = 0, most: int = MOST_MS) -> int:
        """A plain number, as memtierd wants it."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            unit = f'; with a unit it is "{words.NATIVE[key]}"' if key in words.NATIVE else ""
            self.say(key, f"must be a whole number, not {checking.show(value)}", f"for example {key}: {default}{unit}")
        elif not least <= value <= most:
            bound = f"too small; the least is {least}" if value < least else f"too large; the most is {most}"
            self.say(key, f"{documents.shorten(str(value))} is {bound}", f"for example {key}: {max(default, least)}")
        else:
            return value
        return default

    def number(self, key: str, default: float, most: float) -> float:
        """More than 0, `most` at most."""
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.say(key, f"must be a number, not {checking.show(value)}", f"for example {key}: {default:g}")
        elif not 0 < value <= most:
            bound = "too small; it must be more than 0" if value <= 0 else f"too large; the most is {most:g}"
            self.say(key, f"{checking.show(value)} is {bound}", f"for example {key}: {default:g}")
        else:
            return float(value)
        return default

    def switch(self, key: str, *, default: bool = False) -> bool:
        value = self.values.get(key)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.say(key, f"must be true or false, not {checking.show(value)}", f"for example {key}: true")
        return default

    def word(self, key: str, default: str = "") -> str:
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value or default
        self.say(key, f"must be a text, not {checking.show(value)}", 'put it in "quotes" if it is meant as a word')
        return default

    def one_of(self, key: str, default: str, known: Sequence[str], what: str) -> str:
        word = self.word(key, default)
        if word and word not in known:
            self.say(key, f'unknown {what} "{documents.shorten(word)}"', checking.did_you_mean(word, known))
            return default
        return word

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a number in it is meant as text."""
        value = self.values.get(key)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(one, str | int) and not isinstance(one, bool) for one in value):
            return tuple(str(one) for one in value)
        self.say(key, f"must be a list of texts, not {checking.show(value)}", f"for example {key}: [one, two]")
        return ()

    def numbers(self, key: str, what: str, example: str, least: int, most: int) -> tuple[int, ...]:
        """A list of whole numbers between the two; each counts once."""
        listed = self.values.get(key)
        if listed is None:
            return ()
        if not isinstance(listed, list) or not all(
            isinstance(one, int) and not isinstance(one, bool) for one in listed
        ):
            self.say(key, f"must be a list of {what}s, not {_showing(listed)}", f"for example {key}: {example}")
            return ()
        for item, one in enumerate(listed):
            if not least <= one <= most:
                said = f"{documents.shorten(str(one))} is no {what}; the least is {least}, the most {most}"
                self.say(key, said, f"for example {key}: {example}", item=item)
        return tuple(dict.fromkeys(one for one in listed if least <= one <= most))

    def nodes(self, key: str, *, least: int = SWAP) -> tuple[int, ...]:
        """NUMA nodes; -1 is swap."""
        return self.numbers(key, "node number", "[2, 3]", least, MOST_NODE)

    # -- values with units -------------------------------------------------------------------------------------------

    def duration_ms(self, key: str, default: int, least: int = 0) -> int:
        """Milliseconds: memtierd's `intervalms: 5000`, or our `interval: 5s`."""
        return self._duration(key, default, least, 1000, "ms")

    def duration_us(self, key: str, default: int, least: int = 0) -> int:
        """Microseconds: memtierd's `samplingus: 5000`, or our `sampling: 5ms`."""
        return self._duration(key, default, least, 1_000_000, "us")

    def _duration(self, key: str, default: int, least: int, per_second: int, unit: str) -> int:
        native = words.NATIVE[key]
        if not self.has(native):
            return self.whole(key, default, least)
        value = self.values[native]
        self.check_not_twice(key)
        try:
            count = round(quantities.seconds_of(with_unit(value)) * per_second)
        except ValueError as error:
            unit_name = {"ms": "milliseconds", "us": "microseconds"}[unit]
            self.say(native, str(error), f'for example {native}: 10s; {unit_name} are "{key}"')
            return default
        if count < least:
            self.say(native, f"{checking.show(value)} is too short", f"for example {native}: {default or 10000}{unit}")
            return default
        return count

    def check_not_twice(self, key: str) -> None:
        native = words.NATIVE[key]
        if self.has(key) and self.has(native):
            self.say(native, f'"{key}" and "{native}" say the same thing twice', "remove one of the two")

    def size(self, key: str, default: int, example: str, least: int = 0, *, ending: str = "") -> int:
        """Bytes of a text with a unit, which `ending` may follow."""
        value = self.values.get(key)
        if value is None:
            return default
        plain = value.strip().removesuffix(ending) if isinstance(value, str) else value
        try:
            size = quantities.bytes_of(with_unit(plain))
        except ValueError as error:
            self.say(key, str(error), f"for example {key}: {example}")
            return default
        if size < least:
            said = f"{checking.show(plain)} is too small; the least is {quantities.human_bytes(least)}"
            self.say(key, said, f"for example {key}: {example}")
            return default
        return size

    def multiple(self, key: str, unit: int, default: int, example: str) -> int:
        """A count of `unit` bytes: memtierd's plain number of them, or our size."""
        native = words.NATIVE[key]
        if not self.has(native):
            return self.whole(key, default, most=2**53)
        self.check_not_twice(key)
        return self.size(native, default * unit, example) // unit

    def percent(self, key: str, default: float, most: float = 100) -> float:
        """The number before the %."""
        value = self.values.get(key)
        if value is None:
            return default
        try:
            percent = quantities.percent_of(value if isinstance(value, str) else f"{value!s:.40} without %")
        except ValueError:
            said = f"{checking.show(value)} is no percentage"
            self.say(key, said, f"write the number and %, for example {key}: 10%")
            return default
        if percent > most:
            self.say(key, f"{checking.show(value)} is too large; the most is {most:g}%", f"for example {key}: 10%")
            return default
        return percent

    def size_or_percent(self, key: str, default: tuple[int, float | None], example: str) -> tuple[int, float | None]:
        """Bytes, or per cent of something: then the bytes are 0."""
        value = self.values.get(key)
        if isinstance(value, str) and value.rstrip().endswith("%"):
            return 0, self.percent(key, default[1] or 0.0)
        if isinstance(value, str) and value.strip().isdecimal():
            return self._bytes(key, value.strip()), None
        return default if value is None else (self.size(key, 0, example), None)

    def _bytes(self, key: str, digits: str) -> int:
        """A text of nothing but digits is bytes."""
        if len(digits) <= 19 and digits.isascii() and int(digits) <= quantities.MOST_BYTES:
            return int(digits)
        self.say(key, f"{documents.shorten(digits)} is more than the kernel can count", f"for example {key}: 1G")
        return 0

    # -- parts of parts ----------------------------------------------------------------------------------------------

    def below(self, key: str) -> "Part | None":
        """The mapping under a key, or None (said, unless it is simply not there)."""
        return self.inner(key, self.values[key]) if self.has(key) else None

    def inner(self, key: str, value: Any) -> "Part | None":
        if self.depth >= _MOST_DEPTH:
            self.say(key, f"more than {_MOST_DEPTH} levels of settings in settings", "flatten it")
            return None
        return read(self.document, step(self.pointer, key), value, self.reading, self.depth + 1)

    def items(self, key: str, begin: str) -> "Part":
        """A list under a key as a part of its own, whose keys are the places in it."""
        listed = self.values.get(key)
        if listed is not None and not isinstance(listed, list):
            self.say(key, f"must be a list, not {checking.show(listed)}", f"begin each entry with `- {begin}:`")
        return Part(
            document=self.document,
            pointer=step(self.pointer, key),
            values={str(at): item for at, item in enumerate(listed)} if isinstance(listed, list) else {},
            reading=self.reading,
            depth=self.depth,
        )

    def each(self, key: str, begin: str) -> Iterator["Part"]:
        """The mappings in the list under a key."""
        listed = self.items(key, begin)
        found = (listed.inner(at, value) for at, value in listed.values.items())
        return (part for part in found if part is not None)

    def each_named(self, key: str, kind: words.Kind) -> "Iterator[tuple[str, Part]]":
        """The `{name, config}` in the list under a key."""
        listed = self.items(key, "name")
        found = (listed.named(at, kind) for at in listed.values)
        return (part for part in found if part is not None)

    def named(self, key: str, kind: words.Kind) -> "tuple[str, Part] | None":
        """`{name, config}` under a key: a known name and its configuration (empty if there is none)."""
        part = self.inner(key, self.values.get(key))
        if part is None:
            return None
        part.check_keys(words.NAMED_KEYS)
        name = part.word("name")
        if name not in kind.names:
            part.say("name" if name else "", *_unknown(kind, name))
            return None
        if not part.has("config"):
            return name, Part(document=part.document, pointer=part.pointer, reading=self.reading, depth=part.depth)
        config = part.below("config")
        return None if config is None else (name, config)


def read(document: Document, pointer: str, value: Any, reading: Reading, depth: int = 0) -> Part | None:
    """A mapping as it stands, or a text that holds one as YAML or JSON (JSON's keys in any case, as Go reads them)."""
    if isinstance(value, Mapping):
        return Part(document=document, pointer=pointer, values=value, reading=reading, depth=depth)
    if not isinstance(value, str):
        said = f"must be a mapping, or a text that holds one, not {checking.show(value)}"
        reading.problems.append(
            document.problem(pointer, said, "indent its keys below it, or use a block: `config: |`")
        )
        return None
    meant, error = _as_json(value)
    folded, inside = meant and error is None, document.inside(pointer)
    inner = documents.parse(value, document.file, inside, fold_keys=folded, budget=document.budget)
    if error is not None and (isinstance(inner, tuple) or _has_capitals(inner.value)):
        reading.problems.append(_json_problem(document.file, inside, pointer, error))
        return None
    if isinstance(inner, tuple):
        reading.problems.extend(inner)
        return None
    if isinstance(inner.value, Mapping | None):
        return Part(document=inner, pointer=pointer, values=inner.value or {}, reading=reading, depth=depth)
    said = f"the text holds {checking.show(inner.value)} where a mapping is wanted"
    reading.problems.append(document.problem(pointer, said, "write KEY: VALUE lines"))
    return None


def _unknown(kind: words.Kind, name: str) -> tuple[str, str]:
    if not name:
        return f"the {kind.title}'s name is missing", f"write name: {kind.names[0]}"
    return f'unknown {kind.title} "{documents.shorten(name)}"', checking.did_you_mean(name, kind.names)


def with_unit(value: object) -> str:
    if isinstance(value, str) and not value.strip().isdigit():
        return value
    raise ValueError(f"{checking.show(value)} has no unit")


def _showing(value: object) -> str:
    """A list that is wrong inside: with what is wrong."""
    if not isinstance(value, list):
        return checking.show(value)
    wrong = next((one for one in value if isinstance(one, bool) or not isinstance(one, int)), None)
    return f"a list with {checking.show(wrong)}"


def _as_json(text: str) -> tuple[bool, json.JSONDecodeError | None]:
    """Whether the text is meant as JSON, and why it is none. What is YAML as well may be that."""
    if not text.lstrip().startswith("{"):
        return False, None
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return (True, error) if _QUOTED_KEY.match(text) else (False, None)
    except (ValueError, RecursionError):
        return False, None
    return True, None


def _has_capitals(value: object) -> bool:
    return isinstance(value, Mapping) and any(key != key.lower() for key in value)


def _json_problem(file: str, inside: documents.Offset, pointer: str, error: json.JSONDecodeError) -> Problem:
    line, column = inside.place(error.lineno - 1, error.colno - 1)
    message = f"not valid JSON: {error.msg}, at character {error.pos + 1} of the text"
    hint = "JSON wants its quotes, commas and braces; as YAML, keys are in lower case"
    return Problem(where=file, pointer=pointer, message=message, hint=hint, line=line, column=column)
