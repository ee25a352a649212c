"""One mapping of memtierd's configuration, wherever it was written: in the file, or in a text inside a text of it.

A Part reads typed values and collects Problems with exact places; a value that is wrong becomes the default, so that
one pass finds everything there is to say.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler import checking, documents, quantities
from reconciler.documents import Document, step
from reconciler.memtierd import words
from reconciler.model import Problem, Severity

MOST_MS = 10 * 365 * 86_400_000  # ten years; memtierd's own type is a 64-bit number
NOT_YET = "is not in this version of Ebbtide"


@dataclass(slots=True, kw_only=True)
class Part:
    document: Document
    pointer: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)  # shared with every part below

    def say(
        self, key: str, message: str, hint: str = "", severity: Severity = Severity.ERROR, *, item: int | None = None
    ) -> None:
        pointer = step(self.pointer, key) if key else self.pointer
        pointer = pointer if item is None else step(pointer, item)
        self.problems.append(self.document.problem(pointer, message, hint, severity))

    def has(self, key: str) -> bool:
        return self.values.get(key) is not None

    def check_keys(self, known: Sequence[str], ignored: Mapping[str, str] | None = None) -> None:
        """Complain about keys that nobody knows; `ignored`: known to memtierd -> why it has no effect."""
        for key in self.values:
            if ignored and key in ignored:
                self.say(key, f'"{key}" has no effect: {ignored[key]}', "remove it", Severity.WARNING)
            elif key not in known:
                said = f'unknown key "{documents.shorten(key)}"'
                self.say(key, said, checking.did_you_mean(key, [*known, *(ignored or ())]))

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

    def duration_ms(self, key: str, default: int, least: int = 0) -> int:
        """Milliseconds: memtierd's `intervalms: 5000`, or our `interval: 5s`."""
        native = words.NATIVE[key]
        if not self.has(native):
            return self.whole(key, default, least)
        value = self.values[native]
        if self.has(key):
            self.say(native, f'"{key}" and "{native}" say the same thing twice', "remove one of the two")
        try:
            milliseconds = round(quantities.seconds_of(with_unit(value)) * 1000)
        except ValueError as error:
            self.say(native, str(error), f'for example {native}: 10s; milliseconds are "{key}"')
            return default
        if milliseconds < least:
            self.say(native, f"{checking.show(value)} is too short", f"for example {native}: {default or 10000}ms")
            return default
        return milliseconds

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts; a number in it is meant as text."""
        value = self.values.get(key)
        if value is None:
            return ()
        if isinstance(value, list) and all(isinstance(one, str | int) and not isinstance(one, bool) for one in value):
            return tuple(str(one) for one in value)
        self.say(key, f"must be a list of texts, not {checking.show(value)}", f"for example {key}: [one, two]")
        return ()

    def word(self, key: str, default: str = "") -> str:
        value = self.values.get(key)
        if value is None or isinstance(value, str):
            return value or default
        self.say(key, f"must be a text, not {checking.show(value)}")
        return default

    def below(self, key: str) -> "Part | None":
        """The mapping under a key, or None (said, unless it is simply not there)."""
        return (
            None if not self.has(key) else read(self.document, step(self.pointer, key), self.values[key], self.problems)
        )

    def named(self, key: str, kind: words.Kind) -> "tuple[str, Part] | None":
        """`{name, config}` under a key: a supported name and its configuration (empty if there is none)."""
        part = read(self.document, step(self.pointer, key), self.values.get(key), self.problems)
        if part is None:
            return None
        part.check_keys(words.NAMED_KEYS)
        name = part.word("name")
        if name not in kind.supported:
            part.say("name" if name else "", *_unsupported(kind, name))
            return None
        if not part.has("config"):
            return name, Part(document=part.document, pointer=part.pointer, problems=self.problems)
        config = part.below("config")
        return None if config is None else (name, config)


def read(document: Document, pointer: str, value: Any, problems: list[Problem]) -> Part | None:
    """A mapping as it stands, or a text that holds one as YAML or JSON (JSON's keys in any case, as Go reads them)."""
    if isinstance(value, Mapping):
        return Part(document=document, pointer=pointer, values=value, problems=problems)
    if not isinstance(value, str):
        said = f"must be a mapping, or a text that holds one, not {checking.show(value)}"
        problems.append(document.problem(pointer, said, "indent its keys below it, or use a block: `config: |`"))
        return None
    folded = _is_json(value)
    inner = documents.parse(value, document.file, document.inside(pointer), fold_keys=folded, budget=document.budget)
    if isinstance(inner, tuple):
        problems.extend(inner)
        return None
    if isinstance(inner.value, Mapping | None):
        return Part(document=inner, pointer=pointer, values=inner.value or {}, problems=problems)
    said = f"the text holds {checking.show(inner.value)} where a mapping is wanted"
    problems.append(document.problem(pointer, said, "write KEY: VALUE lines"))
    return None


def _unsupported(kind: words.Kind, name: str) -> tuple[str, str]:
    if not name:
        return f"the {kind.title}'s name is missing", f"write name: {kind.supported[0]}"
    if name in kind.later:
        return f'memtierd\'s {kind.title} "{name}" {NOT_YET}', kind.later[name]
    return f'unknown {kind.title} "{documents.shorten(name)}"', checking.did_you_mean(name, kind.supported)


def with_unit(value: object) -> str:
    if isinstance(value, str) and not value.strip().isdigit():
        return value
    raise ValueError(f"{checking.show(value)} has no unit")


def _is_json(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
