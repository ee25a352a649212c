"""Workload records: the one interface between `ebbtide nri`, which writes them, and the daemon, which reads them.

A record is a JSON document (schema/workload.schema.json). People write records, too, in JSON or YAML: a name, a cgroup
or process ids, and a class. Such a record has no boot id, so it survives reboots, and it *names* what it manages.
"""

import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from reconciler.model import Problem, Severity, Workload, WorkloadState

VERSION = 1
WRITER = "nri"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:-]{0,200}\Z")  # a file name, too: no slash, no leading dot
_LARGEST = 1 << 20
_DEEPEST = 8
_HINT = "see schema/workload.schema.json; the least a record needs is: {id: NAME, cgroup: /PATH, class: CLASS}"


class _Wrong(ValueError):
    def __init__(self, pointer: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.pointer, self.line = pointer, line


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    workloads: Mapping[str, Workload]
    problems: tuple[Problem, ...] = ()


def parse(text: str, where: str) -> Workload | tuple[Problem, ...]:
    """One record. Unknown keys are ignored, so that an older daemon reads what a newer plugin wrote."""
    try:
        return _workload(_document(text), where)
    except _Wrong as wrong:
        problem = Problem(where=where, pointer=wrong.pointer, line=wrong.line, message=str(wrong), hint=_HINT)
        return (problem,)


def render(workload: Workload) -> str:
    """The record of a workload; empty fields are left out. `parse` gives the same workload back."""
    record: dict[str, object] = {"version": VERSION}
    for key, attribute in _NAMES.items():
        value = getattr(workload, attribute)
        if value not in ("", None, (), {}):
            record[key] = dict(value) if isinstance(value, Mapping) else value
    if workload.class_name is not None:  # "" says unmanaged, which is not the same as nothing
        record["class"] = workload.class_name
    if workload.problems:
        record["problems"] = [dataclasses.asdict(problem) for problem in workload.problems]
    return json.dumps(record, indent=1, sort_keys=True) + "\n"


def merge(workloads: Iterable[Workload]) -> Merged:
    """All workloads by id. An id that two claim belongs to what a person named, else to the first."""
    kept: dict[str, Workload] = {}
    problems = []
    for workload in sorted(workloads, key=lambda one: not one.named):  # stable: people first, else as given
        rival = kept.setdefault(workload.id, workload)
        if rival is not workload:
            problems.append(_claimed_twice(workload, rival))
    return Merged(workloads=kept, problems=tuple(problems))


def _claimed_twice(workload: Workload, rival: Workload) -> Problem:
    return Problem(
        where=workload.source or f"workload {workload.name}",
        pointer="/id",
        message=f"the id {workload.id} belongs to {rival.source or rival.name} already; this record is ignored",
        hint="give it another id, or remove one of the two",
        severity=Severity.WARNING,
    )


# -- reading ---------------------------------------------------------------------------------------------------------


def _document(text: str) -> dict[str, object]:
    if len(text) > _LARGEST:
        raise _Wrong("", f"this is {len(text)} characters long; a record has at most {_LARGEST}")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _yaml(text)
    if not isinstance(value, dict):
        raise _Wrong("", "a record is a mapping of keys to values; this file is none")
    return value


def _yaml(text: str) -> object:
    try:
        _refuse_bombs(text)
        return yaml.load(text, yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        message = f"neither JSON nor YAML: {error.problem or error.context}"
        raise _Wrong("", message, _line(error.problem_mark)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise _Wrong("", "neither JSON nor YAML") from error


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 0


def _refuse_bombs(text: str) -> None:
    # The parser's events come one by one, so this stops early where building the value would take for ever.
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _Wrong("", "aliases (*NAME) are not allowed in a record", _line(event.start_mark))
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise _Wrong("", f"nested deeper than {_DEEPEST} levels", _line(event.start_mark))


def _workload(record: Mapping[str, object], where: str) -> Workload:
    version = record.get("version", VERSION)
    if version != VERSION:
        raise _Wrong("/version", f"version {version!r} is not known here, only {VERSION}")
    given = {attribute: _READERS[key](record[key], f"/{key}") for key, attribute in _NAMES.items() if key in record}
    given["id"] = _id(record.get("id", record.get("name")), "/id")
    workload = Workload(**given, source=where)  # type: ignore[arg-type] # each reader gives its field's own type
    workload = dataclasses.replace(workload, named=not workload.writer)
    if workload.named and not (workload.cgroup or workload.pids):
        raise _Wrong("", "neither a cgroup nor pids: there is nothing to manage")
    return workload


def _id(value: object, pointer: str) -> str:
    text = _text(value, pointer) if value is not None else ""
    if not ID.match(text):
        raise _Wrong(pointer, f"{text!r} is no id: letters, digits and . _ - @ :, at most 200, no dot at the start")
    return text


def _text(value: object, pointer: str) -> str:
    if not isinstance(value, str):
        raise _Wrong(pointer, f"must be a text, not {_kind(value)}")
    return value


def _cgroup(value: object, pointer: str) -> str:
    text = _text(value, pointer)
    if text and (not text.startswith("/") or ".." in text.split("/") or "\0" in text):
        raise _Wrong(pointer, f"{text!r} is no path below the cgroup mount; it starts with / and has no ..")
    return "/" + text.strip("/") if text else ""


def _texts(value: object, pointer: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _Wrong(pointer, f"must be a mapping, not {_kind(value)}")
    return {_text(key, pointer): _text(item, f"{pointer}/{_escaped(key)}") for key, item in value.items()}


def _pids(value: object, pointer: str) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise _Wrong(pointer, f"must be a list of process ids, not {_kind(value)}")
    return tuple(_number(item, f"{pointer}/{index}") for index, item in enumerate(value))


def _number(value: object, pointer: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 1 << 63:
        raise _Wrong(pointer, f"must be a positive whole number, not {value!r}")
    return value


def _state(value: object, pointer: str) -> WorkloadState:
    try:
        return WorkloadState(_text(value, pointer))
    except ValueError as error:
        raise _Wrong(pointer, f"must be {' or '.join(WorkloadState)}, not {value!r}") from error


def _class(value: object, pointer: str) -> str | None:
    return None if value is None else _text(value, pointer)


def _problems(value: object, pointer: str) -> tuple[Problem, ...]:
    if not isinstance(value, list):
        raise _Wrong(pointer, f"must be a list, not {_kind(value)}")
    return tuple(_problem(item, f"{pointer}/{index}") for index, item in enumerate(value))


def _problem(value: object, pointer: str) -> Problem:
    if not isinstance(value, dict):
        raise _Wrong(pointer, f"must be a mapping, not {_kind(value)}")
    where, message, hint, place = (
        _text(value.get(key, ""), f"{pointer}/{key}") for key in ("where", "message", "hint", "pointer")
    )
    line, column = (number if isinstance(number := value.get(key), int) else 0 for key in ("line", "column"))
    severity = value.get("severity")
    return Problem(
        where=where,
        message=message,
        hint=hint,
        pointer=place,
        line=line,
        column=column,
        severity=Severity(severity) if severity in set(Severity) else Severity.ERROR,
    )


def _kind(value: object) -> str:
    return {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing"}.get(type(value), repr(value))


def _escaped(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")


_NAMES = {  # key of the record -> attribute of Workload
    "id": "id",
    "namespace": "namespace",
    "pod": "pod",
    "container": "container",
    "pod_uid": "pod_uid",
    "sandbox": "sandbox",
    "cgroup": "cgroup",
    "pids": "pids",
    "state": "state",
    "class": "class_name",
    "annotations": "annotations",
    "labels": "labels",
    "memory_limit": "memory_limit",
    "runtime_values": "runtime_values",
    "adjusted": "adjusted",
    "boot_id": "boot_id",
    "writer": "writer",
    "problems": "problems",
}

_READERS: dict[str, Callable[[object, str], object]] = dict.fromkeys(_NAMES, _text) | {
    "id": _id,
    "cgroup": _cgroup,
    "pids": _pids,
    "state": _state,
    "class": _class,
    "annotations": _texts,
    "labels": _texts,
    "memory_limit": _number,
    "runtime_values": _texts,
    "adjusted": _texts,
    "problems": _problems,
}
