"""YAML (and so JSON) with positions, read from untrusted text: values plus the line and column of each.

PyYAML alone takes the last of two equal keys, expands aliases without limit, follows Python tags and forgets where
things stood. Here duplicates are errors, sizes and depths are bounded before anything is built, and a Problem can
point at its place, even inside a block scalar that itself holds YAML (memtierd's configuration strings).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from reconciler.model import Problem, Severity

MOST_BYTES = 2**20
MOST_NODES = 20_000  # after alias expansion: a thousand classes; more would only be there to cost us time
MOST_DEPTH = 32  # libyaml's scanner is quadratic in the depth of flow collections, and people stop at ten
MOST_PROBLEMS = 50  # of one document; nobody reads more
_MOST_DIGITS = 40
_MOST_KEY = 128  # every pointer below a key repeats it

# libyaml where PyYAML was built with it: ten times faster, the same classes otherwise.
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SCALARS = yaml.constructor.SafeConstructor()
_TAG = "tag:yaml.org,2002:"
_TEXT_TAGS = {_TAG + "str", _TAG + "timestamp", _TAG + "value"}  # a date is text here, as in YAML 1.2
_KNOWN_TAGS = _TEXT_TAGS | {_TAG + kind for kind in ("null", "bool", "int", "float", "map", "seq")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """Where a text begins inside a bigger one; `flat`: all we know is its beginning."""

    line: int = 0
    column: int = 0
    flat: bool = False
    pointer: str = ""

    def place(self, line: int, column: int) -> tuple[int, int]:
        """1-based line and column in the file of a 0-based place in the text."""
        return (self.line + 1, self.column + 1) if self.flat else (self.line + line + 1, self.column + column + 1)


@dataclass(slots=True, kw_only=True)
class Budget:
    """What a file and all texts inside it may cost together: aliases can repeat a long text thousands of times."""

    nodes: int = MOST_NODES
    characters: int = 4 * MOST_BYTES  # each text inside a text is read once more, four levels deep


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A parsed text. Pointers are JSON pointers from the outermost document on, through texts inside texts."""

    file: str
    value: Any
    offset: Offset = Offset()
    marks: Mapping[str, tuple[int, int]] = field(default_factory=dict, repr=False)
    texts: Mapping[str, Offset] = field(default_factory=dict, repr=False)  # block and quoted scalars
    budget: Budget = field(default_factory=Budget, repr=False, compare=False)

    def mark(self, pointer: str = "") -> tuple[int, int]:
        """Line and column of what the pointer names (of a key, where there is one), or of the nearest parent."""
        while pointer not in self.marks and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.marks.get(pointer, self.offset.place(0, 0))

    def problem(self, pointer: str, message: str, hint: str = "", severity: Severity = Severity.ERROR) -> Problem:
        line, column = self.mark(pointer)
        return Problem(
            where=self.file,
            pointer=pointer,
            message=message,
            hint=hint,
            line=line,
            column=column,
            severity=severity,
        )

    def inside(self, pointer: str) -> Offset:
        """For reading a text value as a document of its own."""
        if pointer in self.texts:
            return self.texts[pointer]
        line, column = self.mark(pointer)
        return Offset(line=line - 1, column=column - 1, flat=True, pointer=pointer)


def step(pointer: str, key: str | int) -> str:
    """One level below: `/` and `~` are escaped as RFC 6901 wants."""
    return f"{pointer}/{str(key).replace('~', '~0').replace('/', '~1')}"


def parse(
    text: str,
    file: str,
    offset: Offset = Offset(),
    *,
    fold_keys: bool = False,
    budget: Budget | None = None,
) -> Document | tuple[Problem, ...]:
    """The document, or why it is none. `fold_keys`: keys in lower case, for JSON as Go reads it."""
    budget = budget or Budget()
    try:
        _check_bounds(text, budget)
        builder = _Builder(file=file, offset=offset, lines=text.splitlines(), fold_keys=fold_keys, budget=budget)
        value = builder.build(yaml.compose(text.removeprefix("\ufeff"), Loader=_LOADER))
    except yaml.YAMLError as error:
        return (_syntax_problem(error, file, offset),)
    except (_Refused, UnicodeError) as error:
        return (_refusal(error, file, offset),)
    if builder.problems:
        return tuple(builder.problems)
    return Document(file=file, value=value, offset=offset, marks=builder.marks, texts=builder.texts, budget=budget)


_TOO_DEEP = (f"nested deeper than {MOST_DEPTH} levels", "flatten it")


class _Refused(Exception):
    def __init__(self, message: str, hint: str, line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.hint, self.line, self.column = hint, line, column


def _check_bounds(text: str, budget: Budget) -> None:
    """Depth and number of events, before anything recursive or quadratic sees the text."""
    budget.characters -= len(text)
    if budget.characters < 0:
        raise _Refused("the texts inside this file amount to more than 4 MiB", "repeat less with *aliases")
    if len(text) > MOST_BYTES or len(text.encode()) > MOST_BYTES:
        raise _Refused("larger than 1 MiB", "a configuration of this size is surely a mistake; split it")
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text.removeprefix("\ufeff"), Loader=_LOADER)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        documents += isinstance(event, yaml.DocumentStartEvent)
        place = (event.start_mark.line, event.start_mark.column) if event.start_mark else (0, 0)
        if depth > MOST_DEPTH:
            raise _Refused(*_TOO_DEEP, *place)
        if count > 2 * budget.nodes + 10:
            raise _Refused(f"more than {MOST_NODES} values", "split the file", *place)
        if documents > 1:
            raise _Refused("more than one YAML document in this file", "write one file for each document", *place)


def _refusal(error: Exception, file: str, offset: Offset) -> Problem:
    if not isinstance(error, _Refused):
        return Problem(where=file, message=f"not valid UTF-8: {error}", hint="save the file as UTF-8")
    line, column = offset.place(error.line, error.column)
    return Problem(where=file, pointer=offset.pointer, message=str(error), hint=error.hint, line=line, column=column)


def _syntax_problem(error: yaml.YAMLError, file: str, offset: Offset) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = offset.place(mark.line, mark.column) if mark else offset.place(0, 0)
    words = [getattr(error, name, None) for name in ("context", "problem", "reason")]
    if "exceeded maximum nesting depth" in words:  # libyaml's own limit since 0.2.6, met before ours is looked at
        return _refusal(_Refused(*_TOO_DEEP, mark.line if mark else 0, mark.column if mark else 0), file, offset)
    message = ", ".join(word for word in words if word) or str(error).splitlines()[0]
    return Problem(
        where=file,
        pointer=offset.pointer,
        message=f"not valid YAML: {message}",
        hint=_syntax_hint(message),
        line=line,
        column=column,
    )


def _syntax_hint(message: str) -> str:
    if "cannot start any token" in message:
        return "indent with spaces, never with tabs, and quote values that begin with %, @ or a backquote"
    if "control characters" in message:
        return "remove the invisible character; is this really a text file?"
    if "alias" in message:
        return "an *alias needs an &anchor of the same name before it; quote a text that begins with *"
    return "check the indentation and quotes here and in the line before"


class _Builder:
    """Turns nodes into values, noting where each stands; counts what aliases expand to."""

    def __init__(self, *, file: str, offset: Offset, lines: list[str], fold_keys: bool, budget: Budget) -> None:
        self.file, self.offset, self.lines, self.fold_keys = file, offset, lines, fold_keys
        self.marks: dict[str, tuple[int, int]] = {}
        self.texts: dict[str, Offset] = {}
        self.problems: list[Problem] = []
        self.budget = budget

    def build(self, root: yaml.Node | None) -> Any:
        return None if root is None else self._value(root, self.offset.pointer, 0)

    def _complain(self, node: yaml.Node, pointer: str, message: str, hint: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            line, column = self.offset.place(node.start_mark.line, node.start_mark.column)
            self.problems.append(
                Problem(where=self.file, pointer=pointer, message=message, hint=hint, line=line, column=column)
            )

    def _value(self, node: yaml.Node, pointer: str, depth: int) -> Any:
        self.budget.nodes -= 1
        if self.budget.nodes < 0 or depth > MOST_DEPTH:
            limit = f"more than {MOST_NODES} values" if self.budget.nodes < 0 else f"more than {MOST_DEPTH} levels"
            place = (node.start_mark.line, node.start_mark.column)
            raise _Refused(f"aliases expand to {limit}", "write it out, or use fewer *aliases", *place)
        self.marks.setdefault(pointer, self.offset.place(node.start_mark.line, node.start_mark.column))
        if node.tag not in _KNOWN_TAGS:
            tag = shorten(node.tag.replace(_TAG, "!!"))
            self._complain(node, pointer, f"the tag {tag} is not allowed", "remove it: only plain values are read")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, pointer, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, step(pointer, at), depth + 1) for at, item in enumerate(node.value)]
        return self._scalar(node, pointer)

    def _mapping(self, node: yaml.MappingNode, pointer: str, depth: int) -> dict[str, Any]:
        inherited: dict[str, Any] = {}
        found: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                inherited = {**self._merged(value_node, pointer, depth), **inherited}
                continue
            key = self._key(key_node, pointer)
            if key in first:
                said = f'the key "{shorten(key)}" is here twice; the first is in line {first[key]}'
                self._complain(key_node, step(pointer, key), said, "remove one of the two")
                continue
            first[key] = self.marks[step(pointer, key)][0]
            found[key] = self._value(value_node, step(pointer, key), depth + 1)
        return {**inherited, **found}

    def _key(self, node: yaml.Node, pointer: str) -> str:
        if not isinstance(node, yaml.ScalarNode):
            self._complain(node, pointer, "a list or mapping cannot be a key", "write a plain word before the colon")
            key = f"({node.start_mark.line}:{node.start_mark.column})"
        else:
            key = node.value.lower() if self.fold_keys else node.value
        if len(key) > _MOST_KEY:
            self._complain(node, pointer, f"a key of {len(key)} characters", "is a colon or a quote missing nearby?")
            key = key[:_MOST_KEY]
        below = step(pointer, key)
        self.marks.setdefault(below, self.offset.place(node.start_mark.line, node.start_mark.column))
        return key

    def _merged(self, node: yaml.Node, pointer: str, depth: int) -> dict[str, Any]:
        """`<<: *anchor`, or a list of them, where the earlier wins."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self._complain(source, pointer, "<< wants a mapping to merge", "write <<: *ANCHOR of a mapping")
                continue
            merged = {**(self._value(source, pointer, depth + 1) or {}), **merged}
        return merged

    def _scalar(self, node: Any, pointer: str) -> Any:
        tag, text = node.tag, node.value
        if tag in _TEXT_TAGS or (tag in {_TAG + "int", _TAG + "float"} and ":" in text):  # 1:30 is no number of ours
            if node.style in {"|", '"', "'"}:  # what else could hold a document
                self.texts[pointer] = self._inside(node, pointer)
            return text
        try:
            return _typed(tag, text, node)
        except (ValueError, KeyError, OverflowError):
            said = f'"{shorten(text)}" is no number or switch that can be used here'
            self._complain(node, pointer, said, 'write a plain number, or put it in "quotes"')
            return None

    def _inside(self, node: Any, pointer: str) -> Offset:
        start, end = node.start_mark, node.end_mark
        line, column = self.offset.place(start.line, start.column)
        if not self.offset.flat:
            if node.style == "|":
                indent = self._indent(start.line + 1, node.value)
                return Offset(line=line, column=self.offset.column + indent, pointer=pointer)
            if start.line == end.line and end.column - start.column - 2 == len(node.value):  # without escapes
                return Offset(line=line - 1, column=column, pointer=pointer)
        return Offset(line=line - 1, column=column - 1, flat=True, pointer=pointer)

    def _indent(self, first: int, text: str) -> int:
        raw = next((line for line in self.lines[first:] if line.strip()), "")
        content = next((line for line in text.splitlines() if line.strip()), "")
        return max(0, len(raw) - len(raw.lstrip(" ")) - (len(content) - len(content.lstrip(" "))))


def _typed(tag: str, text: str, node: Any) -> Any:
    if tag == _TAG + "null":
        return None
    if tag == _TAG + "bool":
        return _SCALARS.bool_values[text.lower()]
    if len(text) > _MOST_DIGITS:
        raise ValueError
    if tag == _TAG + "int":
        return _SCALARS.construct_yaml_int(node)
    if tag == _TAG + "float" and math.isfinite(number := _SCALARS.construct_yaml_float(node)):
        return number
    raise ValueError


def shorten(text: str, most: int = 40) -> str:
    """For messages: no control characters, not longer than a line."""
    clean = "".join(char if char.isprintable() else "?" for char in text[: most + 1])
    return clean if len(clean) <= most else clean[: most - 3] + "..."


def limited(problems: Iterator[Problem]) -> tuple[Problem, ...]:
    """The first of them, by place, without repeats."""
    seen = dict.fromkeys(problem for _, problem in zip(range(MOST_PROBLEMS), problems, strict=False))
    return tuple(sorted(seen, key=lambda problem: (problem.line, problem.column, problem.pointer)))
