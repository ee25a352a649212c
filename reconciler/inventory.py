"""Workload records: the one interface between `ebbtide nri`, which writes them, and the daemon, which reads them.

A record is a JSON document (schema/workload.schema.json). People write records, too, in JSON or YAML: a name, a cgroup
or process ids, and a class. Such a record has no boot id, so it survives reboots, and it *names* what it manages. One
with a class alone leaves it to the class's pidwatcher (proc, say) to find processes; desired.py says if it cannot.
"""

import contextlib
import dataclasses
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from reconciler import documents
from reconciler.model import Problem, Severity, Workload, WorkloadState

VERSION = 1
WRITER = "nri"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@:-]{0,200}\Z")  # a file name, too: no slash, no leading dot
_HINT = "see schema/workload.schema.json; the least a record needs is: {id: NAME, cgroup: /PATH, class: CLASS}"


class _Wrong(ValueError):
    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message)
        self.pointer = pointer


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    workloads: Mapping[str, Workload]
    problems: tuple[Problem, ...] = ()


def parse(text: str, where: str) -> Workload | tuple[Problem, ...]:
    """One record. Unknown keys are ignored, so that an older daemon reads what a newer plugin wrote."""
    with contextlib.suppress(_Wrong):
        return _workload(_json(text), where)
    document = documents.parse(text, where)
    if not isinstance(document, documents.Document):
        return document
    try:
        return _workload(document.value, where)
    except _Wrong as wrong:
        return (document.problem(wrong.pointer, str(wrong), _HINT),)


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


def _json(text: str) -> object:
    """What `ebbtide nri` wrote, fast; anything else is read again by the parser that knows places."""
    try:
        return json.loads(text, object_pairs_hook=_without_doubles) if len(text) <= documents.MOST_BYTES else None
    except (ValueError, RecursionError):
        return None


def _without_doubles(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands here twice")
    return found


def _workload(record: object, where: str) -> Workload:
    if not isinstance(record, dict):
        raise _Wrong("", "a record is a mapping of keys to values; this file is none")
    version = record.get("version", VERSION)
    if version != VERSION:
        raise _Wrong("/version", f"version {version!r} is not known here, only {VERSION}")
    given = {attribute: _READERS[key](record[key], f"/{key}") for key, attribute in _NAMES.items() if key in record}
    given["id"] = _id(record.get("id", record.get("name")), "/id")
    workload = Workload(**given, source=where)  # type: ignore[arg-type] # each reader gives its field's own type
    workload = dataclasses.replace(workload, named=not workload.writer)
    if workload.named and not (workload.cgroup or workload.pids or workload.class_name):
        raise _Wrong("", "neither a cgroup nor pids, nor a class that could find processes: there is nothing to manage")
    return workload


def _id(value: object, pointer: str) -> str:
    text = _text(value, pointer) if value is not None else ""
    if not ID.match(text):
        raise _Wrong(pointer, f"{text!r} is no id: letters, digits and . _ - @ :, at most 200, no dot at the start")
    return text


def _text(value: object, pointer: str) -> str:
    if not isinstance(value, str):
        raise _Wrong(pointer, f"must be a text, not {_kind(value)}")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise _Wrong(pointer, "has half a character (a lone surrogate), which no file name or log can hold")
    return value


def _cgroup(value: object, pointer: str) -> str:
    text = _text(value, pointer)
    if text and (not text.startswith("/") or ".." in text.split("/") or not text.isprintable()):
        raise _Wrong(pointer, f"{text!r} is no path below the cgroup mount; it starts with / and has no .. in it")
    return "/" + text.strip("/") if text else ""


def _texts(value: object, pointer: str) -> dict[str, str]:
    if not isinstance(value, dict):
        raise _Wrong(pointer, f"must be a mapping, not {_kind(value)}")
    return {_text(key, pointer): _text(item, documents.step(pointer, str(key))) for key, item in value.items()}


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
        severity=Severity(severity) if severity in list(Severity) else Severity.ERROR,
    )


def _kind(value: object) -> str:
    return {dict: "a mapping", list: "a list", str: "a text", type(None): "nothing"}.get(type(value), repr(value))


_NAMES = {  # key of the record -> attribute of Workload
    "id": "id",
    "namespace": "namespace",
    "pod": "pod",
    "container": "container",
    "pod_uid": "pod_uid",
    "sandbox": "sandbox",
    "runtime_handler": "runtime_handler",
    "cgroup": "cgroup",
    "cgroups_path": "cgroups_path",
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
