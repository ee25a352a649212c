"""The configuration that a kubelet really has: main file, drop-ins in their order, flags, defaults.

Drop-ins are merged as RFC 7386 says: mappings key by key, lists and words as a whole, null removes. The base of the
merge has its defaults already, so an `evictionHard` of a drop-in leaves memory.available at 100Mi, where the same
mapping in the main file makes it 0. Each value remembers the document that gave it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler import checking, documents
from reconciler.documents import Document, step
from reconciler.kubelet import eviction, quantity
from reconciler.kubelet.findings import Finding
from reconciler.kubelet.flags import Flags
from reconciler.model import Problem, Severity

API_VERSION = "kubelet.config.k8s.io/v1beta1"
KIND = "KubeletConfiguration"
LATEST = (1, 35)
_DROPINS_SINCE = (1, 28)
_MERGED_EVICTION_SINCE = (1, 33)
_MERGE_EVICTION = "mergeDefaultEvictionSettings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A file as it was read."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """All that a kubelet would read. `dropins` are in their order; None = it has no such directory."""

    main: Text | None = None
    dropins: tuple[Text, ...] | None = None
    flags: Flags = field(default_factory=Flags)
    version: tuple[int, int] = LATEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What holds in the end. `owners`: JSON pointer -> the document, or the flag, that gave what is there and below."""

    values: Mapping[str, Any]
    owners: Mapping[str, Document | str] = field(default_factory=dict)
    main: str = ""
    ignore_eviction: bool = False
    rewritten: bool = False  # the main file's quantities were written anew before drop-ins were merged
    version: tuple[int, int] = LATEST

    def problem(self, pointer: str, message: str, hint: str = "", severity: Severity = Severity.ERROR) -> Problem:
        """At the place that gave the value, or the nearest value around it."""
        owner = self.owner(pointer)
        if isinstance(owner, Document):
            return owner.problem(pointer, message, hint, severity)
        where = owner or self.main or "the defaults"
        return Problem(where=where, pointer=pointer, message=message, hint=hint, severity=severity)

    def owner(self, pointer: str) -> Document | str:
        while pointer not in self.owners and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.owners.get(pointer, "")

    def is_rewritten(self, pointer: str) -> bool:
        owner = self.owner(pointer)
        return self.rewritten and isinstance(owner, Document) and owner.file == self.main

    def mapping(self, key: str) -> Mapping[str, Any]:
        return self.values.get(key) or {}

    def word(self, key: str, default: str) -> str:
        return self.values.get(key) or default


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    effective: Effective
    findings: tuple[Finding, ...] = ()


def load(sources: Sources) -> Loaded:
    """Merge everything. What cannot be used is told of, and left out of the result."""
    merge = _Merge()
    if sources.main is not None:
        merge.main(sources.main)
    merge.defaults(sources.version)
    if sources.dropins is not None:
        merge.dropins(sources)
    merge.flags(sources.flags)
    effective = Effective(
        values=merge.values,
        owners=merge.owners,
        main=sources.main.path if sources.main else "",
        ignore_eviction=sources.flags.ignore_eviction,
        rewritten=sources.dropins is not None,
        version=sources.version,
    )
    usable, wrong = _shaped(effective)
    return Loaded(effective=replace(effective, values=usable), findings=(*merge.findings, *wrong))


class _Merge:
    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.owners: dict[str, Document | str] = {}
        self.findings: list[Finding] = []

    def say(self, problem: Problem, kubelet: str) -> None:
        self.findings.append(Finding(problem=problem, kubelet=kubelet))

    def main(self, text: Text) -> None:
        document = self._read(text, f"failed to load kubelet config file, path: {text.path}")
        if document is not None:
            self.owners[""] = document
            self.values = _without_nulls(document.value)

    def defaults(self, version: tuple[int, int]) -> None:
        hard = self.values.get("evictionHard")
        if hard is None:
            self.values["evictionHard"] = dict(eviction.DEFAULTS)
            self.owners["/evictionHard"] = ""
        elif self.values.get(_MERGE_EVICTION) is True and version >= _MERGED_EVICTION_SINCE and _is_map(hard):
            missing = {signal: text for signal, text in eviction.DEFAULTS.items() if signal not in hard}
            self.values["evictionHard"] = {**hard, **missing}

    def dropins(self, sources: Sources) -> None:
        if sources.version < _DROPINS_SINCE:
            said = "a kubelet older than 1.28 has no drop-in directory"
            hint = "put the keys into its main file, and leave --config-dir out"
            self.say(Problem(where="--config-dir", message=said, hint=hint), "unknown flag: --config-dir")
        for text in sources.dropins or ():
            document = self._read(text, f"failed to load kubelet dropin file, path: {text.path}")
            if document is not None:
                self._patch(self.values, document.value, "", document)

    def flags(self, given: Flags) -> None:
        for name, why in given.wrong:
            said = f"the value of --{name} cannot be used: {why}"
            self.say(Problem(where=f"--{name}", message=said), f"failed to parse kubelet flag: {why}")
        for key, value in given.values.items():
            gates = self.values.get(key) if key == "featureGates" else None
            self._own(step("", key), f"--{given.given[key]}")
            self.values[key] = {**gates, **value} if _is_map(gates) and gates else value

    def _read(self, text: Text, kubelet: str) -> Document | None:
        document = documents.parse(text.text, text.path)
        if isinstance(document, tuple):
            for problem in document:
                self.say(problem, f"{kubelet}, error: {problem.message}")
            return None
        value = document.value
        if not isinstance(value, Mapping):
            said = f"must be a mapping (key: value), not {checking.show(value)}"
            self.say(document.problem("", said, f"begin with kind: {KIND}"), kubelet)
            return None
        return document if self._is_ours(document, kubelet) else None

    def _is_ours(self, document: Document, kubelet: str) -> bool:
        wanted = {"apiVersion": API_VERSION, "kind": KIND}
        found = {key: document.value.get(key) for key in wanted}
        if found == wanted:
            return True
        for key, value in wanted.items():
            if found[key] is None:
                said = f'the key "{key}" is missing'
                self.say(document.problem("", said, f"write {key}: {value}"), f"{kubelet}, no apiVersion/kind")
            elif found[key] != value:
                said = f"must be {value}, not {checking.show(found[key])}"
                self.say(
                    document.problem(step("", key), said, f"write {key}: {value}"), f"{kubelet}, {_unknown(found)}"
                )
        return False

    def _patch(self, target: dict[str, Any], patch: Mapping[str, Any], pointer: str, document: Document) -> None:
        for key, value in patch.items():
            at = step(pointer, key)
            if isinstance(value, Mapping):
                if not isinstance(target.get(key), dict):
                    self._own(at, document)
                    target[key] = {}
                self._patch(target[key], value, at, document)
                continue
            self._own(at, document)
            if value is None:
                target.pop(key, None)
            else:
                target[key] = value

    def _own(self, pointer: str, owner: Document | str) -> None:
        for known in [one for one in self.owners if one.startswith(f"{pointer}/")]:
            del self.owners[known]
        self.owners[pointer] = owner


def _unknown(found: Mapping[str, object]) -> str:
    group, _, version = str(found["apiVersion"]).rpartition("/")
    return f"unknown apiVersion/kind: {group}/{version}, Kind={found['kind']}"


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _without_nulls(one) if _is_map(one) else one for key, one in value.items() if one is not None}


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


# -- types of values --------------------------------------------------------------------------------------------------

_WORDS = (
    "memoryManagerPolicy",
    "cpuManagerPolicy",
    "topologyManagerPolicy",
    "topologyManagerScope",
    "reservedSystemCPUs",
    "systemReservedCgroup",
    "kubeReservedCgroup",
    "shutdownGracePeriod",
    "shutdownGracePeriodCriticalPods",
)
_MAPS = (
    "kubeReserved",
    "systemReserved",
    "evictionHard",
    "evictionSoft",
    "cpuManagerPolicyOptions",
    "topologyManagerPolicyOptions",
)
_GO = {bool: "bool", int: "number", float: "number", str: "string", list: "array", dict: "object"}


def _shaped(effective: Effective) -> tuple[dict[str, Any], list[Finding]]:
    """The values without those of a wrong type, and what is said of them."""
    usable = dict(effective.values)
    wrong: list[Finding] = []
    for key in (*_WORDS, *_MAPS, "reservedMemory", "enforceNodeAllocatable"):
        found = list(_of_key(effective, key, usable.get(key)))
        if found:
            wrong.extend(found)
            del usable[key]
    return usable, wrong


def _of_key(effective: Effective, key: str, value: object) -> Iterator[Finding]:
    at = step("", key)
    if value is None:
        return
    if key in _WORDS:
        yield from _text(effective, at, value, key)
    elif key in _MAPS:
        yield from _texts(effective, at, value, key)
    elif not isinstance(value, list):
        yield _mistyped(effective, at, value, key, "a list")
    elif key == "reservedMemory":
        for index, entry in enumerate(value):
            yield from _reservation(effective, step(at, index), entry)
    else:
        for index, word in enumerate(value):
            yield from _text(effective, step(at, index), word, key)


def _text(effective: Effective, at: str, value: object, key: str) -> Iterator[Finding]:
    if not isinstance(value, str):
        yield _mistyped(effective, at, value, key, "a text")


def _texts(effective: Effective, at: str, value: object, key: str) -> Iterator[Finding]:
    if not isinstance(value, Mapping):
        yield _mistyped(effective, at, value, key, "a mapping (key: value)")
        return
    for name, one in value.items():
        yield from _text(effective, step(at, name), one, key)


def _reservation(effective: Effective, at: str, entry: object) -> Iterator[Finding]:
    if not isinstance(entry, Mapping):
        yield _mistyped(effective, at, entry, "reservedMemory", "a mapping with numaNode and limits")
        return
    node, limits = entry.get("numaNode", 0), entry.get("limits") or {}
    if isinstance(node, bool) or not isinstance(node, int):
        yield _mistyped(effective, step(at, "numaNode"), node, "reservedMemory.numaNode", "a whole number")
    if not isinstance(limits, Mapping):
        yield _mistyped(effective, step(at, "limits"), limits, "reservedMemory.limits", "a mapping (type: quantity)")
        return
    for name, value in limits.items():
        try:
            amount(value)
        except ValueError as error:
            below = step(step(at, "limits"), name)
            said = f"{checking.show(value)} is no quantity"
            hint = "write for example 10496Mi: Ki, Mi, Gi, Ti are powers of 1024; k, M, G of 1000"
            yield Finding(problem=effective.problem(below, said, hint), kubelet=str(error))


def _mistyped(effective: Effective, at: str, value: object, key: str, wanted: str) -> Finding:
    said = f"must be {wanted}, not {checking.show(value)}"
    kind = _GO.get(type(value), "null")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    hint = f'put it into quotes: "{value}"' if wanted == "a text" and number else ""
    kubelet = f"json: cannot unmarshal {kind} into Go struct field KubeletConfiguration.{key}"
    return Finding(problem=effective.problem(at, said, hint), kubelet=kubelet)


def amount(value: object) -> quantity.Quantity:
    """Of a limit, which may be a bare number in YAML."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(quantity.FORMAT_WRONG)  # noqa: TRY004 # as for a text that is none
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return quantity.parse(str(value).strip())


def in_order(names: Sequence[str]) -> list[str]:
    """Paths of a drop-in directory that are read, in the order in which a kubelet walks: folder by folder."""
    return sorted((name for name in names if name.endswith(".conf")), key=lambda name: name.split("/"))
