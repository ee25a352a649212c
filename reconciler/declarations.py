"""One class file: its text made into typed declarations, each with the line that gave it; `classes` merges them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler import agentreading, checking, documents, knobs, quantities
from reconciler.agentreading import Reading
from reconciler.documents import Document, step
from reconciler.engineconfig import EngineConfig
from reconciler.kubelet import section
from reconciler.memtierd import config as memtierd
from reconciler.model import (
    Given,
    Knob,
    Mode,
    OnError,
    OnMissingTracker,
    OnStop,
    Origin,
    Problem,
    Severity,
    StaticWorkload,
)

CGROUP_MOUNT = "/sys/fs/cgroup"  # people copy whole paths from there
_READERS = {"memtierdconfig", "reclaim", "memagent"}  # keys of a class with a reader of their own
_CLASS_WORDS = {"onstop": OnStop, "onmissingtracker": OnMissingTracker, "mode": Mode}
_EXAMPLES = {"oom.group": "true", "zswap.writeback": "false", "min": "64M", "swap.max": "max"}
# The last line of what the runtime handed over (classfiles.handed): it may ask much, but not that root starts programs.
_HANDED = re.compile(r"^# handed to `ebbtide nri` on boot \S*\n\Z", re.MULTILINE)
_LISTS = {"nri.allowannotations", "unifiedannotations"}
_PERCENTAGES = {
    "engine.cpupercent",
    "engine.brakes.pressurepercent",
    "engine.brakes.refaultpercent",
    "engine.brakes.swapusedpercent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassText:
    """A class file as it was read, or why it was not."""

    path: str
    name: str  # of the file: what masks and sorts
    text: str = ""
    problem: Problem | None = None

    @property
    def of_root(self) -> bool:
        """Whether nobody but root can have written it; all other class files were looked at before they were read."""
        return _HANDED.search(self.text) is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """A class file without errors.

    `settings` holds the node's keys ("nri.onerror", "engine.brakes.refaultpercent"), `agent` those of the agent's
    sections ("memcg" for the section itself, "memcg.swap").
    """

    path: str
    text: str = field(default="", repr=False)
    page_size: int = memtierd.USUAL_PAGE
    classes: Mapping[str, Mapping[str, Given]] = field(default_factory=dict)
    workloads: Mapping[str, StaticWorkload] = field(default_factory=dict)
    routines: tuple[Given, ...] = ()
    settings: Mapping[str, Given] = field(default_factory=dict)
    agent: Mapping[str, Given] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()  # warnings and notes


def parse(text: ClassText, schema: Mapping[str, Any], page_size: int) -> ParsedFile | tuple[Problem, ...]:
    """The declarations of a file, or its errors (then with its warnings, too)."""
    if text.problem is not None:
        return (text.problem,)
    document = documents.parse(text.text, text.path)
    if isinstance(document, tuple):
        return document
    problems = [p for p in checking.validate(document, _outside(schema)) if not _is_read_here(p.pointer)]
    reader = _Reader(document=document, page_size=page_size, programs=text.of_root)
    if problems:  # the values cannot be trusted to have the right types
        reader.read_what_is_safe()
        return _in_order((*problems, *reader.problems))
    parsed = reader.read(text)
    errors = any(problem.severity is Severity.ERROR for problem in reader.problems)
    return parsed if not errors else _in_order(reader.problems)


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """By place; of a hopeless file only the first."""
    found = sorted(problems, key=lambda problem: (problem.line, problem.column))
    rest = len(found) - documents.MOST_PROBLEMS
    if rest > 0:
        said = f"and {rest} more problems in this file"
        found[documents.MOST_PROBLEMS :] = [Problem(where=found[0].where, message=said, severity=found[0].severity)]
    return tuple(found)


def _outside(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema without memtierd's and the agent's: our readers say more, and read texts inside texts as well."""
    one = schema["$defs"]["class"]
    free: dict[str, Any] = {key: {} for key in _READERS}
    defs = {**schema["$defs"], "class": {**one, "properties": {**one["properties"], **free}}}
    del defs["memtierd"]
    ours: dict[str, Any] = {key: {} for key in ("routines", *agentreading.SECTIONS)}
    return {**schema, "properties": {**schema["properties"], **ours}, "$defs": defs}


def _is_read_here(pointer: str) -> bool:
    """Whether the schema may be silent about it: our own readers say more."""
    match pointer.split("/"):
        case ["", "classes", _, "memory", key]:
            return f"memory.{key}" in list(Knob)
    return False


class _Reader:
    """Reads a document that the schema has passed, collecting what the schema cannot say."""

    def __init__(self, *, document: Document, page_size: int, programs: bool) -> None:
        self.document, self.page_size, self.programs = document, page_size, programs
        self.problems: list[Problem] = []
        self.agent = Reading(document=document, trusted=programs, problems=self.problems)

    def read(self, text: ClassText) -> ParsedFile:
        root = self.document.value or {}
        classes = dict(self._classes(root.get("classes") or []))
        workloads = dict(self._workloads(root.get("workloads") or []))
        return ParsedFile(
            path=text.path,
            text=text.text,
            page_size=self.page_size,
            classes=classes,
            workloads=workloads,
            routines=tuple(self._routines(root.get("routines"))),
            settings={**dict(self._settings(root)), **dict(section.given(self.document, self.problems))},
            agent=dict(self.agent.sections(root)),
            problems=_in_order(self.problems),
        )

    def read_what_is_safe(self) -> None:
        """Only for the problems: what other mistakes of the file do not touch."""
        root = self.document.value
        listed = root.get("classes") if isinstance(root, Mapping) else None
        for at, entry in enumerate(listed if isinstance(listed, list) else ()):
            below = f"/classes/{at}"
            if isinstance(entry, Mapping) and isinstance(entry.get("memory"), Mapping):
                known = {key: raw for key, raw in entry["memory"].items() if f"memory.{key}" in list(Knob)}
                list(self._memory(f"{below}/memory", known))
            for key in _READERS & entry.keys() if isinstance(entry, Mapping) else ():
                self._read_below(f"{below}/{key}", key, entry[key])
        if isinstance(root, Mapping):
            list(self._routines(root.get("routines")))
            list(self.agent.sections(root))

    def _say(self, pointer: str, message: str, hint: str = "", severity: Severity = Severity.ERROR) -> None:
        self.problems.append(self.document.problem(pointer, message, hint, severity))

    def _origin(self, pointer: str) -> Origin:
        return Origin(file=self.document.file, line=self.document.mark(pointer)[0])

    def _given(self, pointer: str, value: object) -> Given:
        return Given(value=value, origin=self._origin(pointer))

    # -- classes and workloads ---------------------------------------------------------------------------------------

    def _classes(self, listed: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Given]]]:
        for pointer, entry in self._once("class", "/classes", listed):
            yield entry["name"], dict(self._class(pointer, entry))

    def _once(self, what: str, pointer: str, listed: list[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The entries of a list; a name that is there twice is an error at its second place."""
        first: dict[str, int] = {}
        for at, entry in enumerate(listed):
            below = step(pointer, at)
            name, line = entry["name"], self.document.mark(step(below, "name"))[0]
            if name in first:
                said = f'the {what} "{name}" is here twice; the first is in line {first[name]}'
                self._say(step(below, "name"), said, "give one of them another name, or put both into one entry")
                continue
            first[name] = line
            yield below, entry

    def _class(self, pointer: str, entry: dict[str, Any]) -> Iterator[tuple[str, Given]]:
        yield "name", self._given(step(pointer, "name"), entry["name"])
        for key, value in entry.items():
            at = step(pointer, key)
            if key == "memory":
                yield from self._memory(at, value or {})
            elif key in _READERS:
                yield key, self._given(at, self._read_below(at, key, value))
            elif key != "name":
                yield key, self._given(at, _CLASS_WORDS[key](value) if key in _CLASS_WORDS else value)

    def _memory(self, pointer: str, entry: dict[str, Any]) -> Iterator[tuple[str, Given]]:
        for key, raw in entry.items():
            at = step(pointer, key)
            try:
                setting = knobs.parse(Knob(f"memory.{key}"), raw, self._origin(at))
            except ValueError as error:
                self._say(at, str(error), f"{key}: {_EXAMPLES.get(key, '80%')}")
                continue
            yield setting.knob, self._given(at, setting)

    def _read_below(self, pointer: str, key: str, value: object) -> object:
        readers = {"memtierdconfig": self._engine, "reclaim": self.agent.reclaim, "memagent": self.agent.memagent}
        return readers[key](pointer, value)

    def _engine(self, pointer: str, value: object) -> EngineConfig | None:
        found = memtierd.read(self.document, pointer, value, self.page_size, programs=self.programs)
        self.problems.extend(found.problems)
        return found.config

    def _routines(self, value: object) -> Iterator[Given]:
        found = memtierd.read_routines(self.document, value, programs=self.programs)
        self.problems.extend(found.problems)
        yield from (self._given("/routines", routine) for routine in found.value or ())

    def _workloads(self, listed: list[dict[str, Any]]) -> Iterator[tuple[str, StaticWorkload]]:
        for pointer, entry in self._once("workload", "/workloads", listed):
            cgroup = self._cgroup(step(pointer, "cgroup"), entry["cgroup"]) if "cgroup" in entry else ""
            origin = self._origin(step(pointer, "name"))
            yield (
                entry["name"],
                StaticWorkload(name=entry["name"], cgroup=cgroup, class_name=entry["class"], origin=origin),
            )

    def _cgroup(self, pointer: str, path: str) -> str:
        parts = [part for part in path.removeprefix(CGROUP_MOUNT).split("/") if part]
        if not parts or {".", ".."} & set(parts):
            said = "the root cgroup is everything on this node" if not parts else "a path with . or .. is refused"
            self._say(pointer, said, "name one cgroup, for example /batch.slice")
        return "/" + "/".join(parts)

    # -- the node ----------------------------------------------------------------------------------------------------

    def _settings(self, root: dict[str, Any]) -> Iterator[tuple[str, Given]]:
        for key in ("nri", "engine", "metrics", "unifiedannotations", "mode"):
            if root.get(key) is not None:
                yield from self._setting(step("", key), key, root[key])

    def _setting(self, pointer: str, name: str, value: Any) -> Iterator[tuple[str, Given]]:
        if isinstance(value, Mapping):
            for key, below in value.items():
                if below is not None:
                    yield from self._setting(step(pointer, key), f"{name}.{key}", below)
        else:
            yield name, self._given(pointer, self._node_value(pointer, name, value))

    def _node_value(self, pointer: str, name: str, value: Any) -> object:
        if name in _LISTS:
            return tuple(self._knob_files(pointer, value))
        if name in _PERCENTAGES:
            return self._percentage(pointer, value)
        return {"mode": Mode, "nri.onerror": OnError}.get(name, lambda same: same)(value)

    def _percentage(self, pointer: str, value: float | str) -> float:
        percent = quantities.percent_of(value) if isinstance(value, str) else float(value)
        most = 6400 if pointer.endswith("cpupercent") else 100
        if percent > most:
            self._say(pointer, f"{percent:g}% is too large; the most is {most}%", "write a smaller percentage")
        if most > 100 and percent == 0:
            self._say(
                pointer, "without any CPU time nothing can be tracked", "write for example 5, or 1 for almost nothing"
            )
        return percent

    def _knob_files(self, pointer: str, listed: list[str]) -> Iterator[str]:
        known = [str(knob) for knob in Knob]
        for at, name in enumerate(listed):
            if name in known:
                yield name
            else:
                said = f'"{documents.shorten(name)}" is no file that Ebbtide sets; pods may not set it either'
                self._say(step(pointer, at), said, checking.did_you_mean(name, known), Severity.WARNING)
