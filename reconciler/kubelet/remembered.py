"""The kubelet's memory_manager_state and cpu_manager_state of all versions: read and verified, never written.

What they hold is what the kubelet has promised to running containers: which NUMA nodes' memory, which CPUs.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.kubelet import fingerprint, settings

_KNOWN = (  # Go reads keys whatever their case is
    "policyName",
    "machineState",
    "entries",
    "podEntries",
    "checksum",
    "data",
    "dataChecksum",
    "defaultCpuSet",
    "numberOfAssignments",
    "memoryMap",
    "cells",
    "total",
    "systemReserved",
    "allocatable",
    "reserved",
    "free",
    "numaAffinity",
    "type",
    "size",
    "memoryBlocks",
    "cpuSet",
)
_FOLDED = {name.lower(): name for name in _KNOWN}
_NAMED = {"machineState", "memoryMap", "entries", "podEntries"}  # their keys are strangers' names


class Sum(StrEnum):
    RIGHT = "right"
    WRONG = "wrong"
    ABSENT = "absent"  # 0: newer kubelets take that for "do not verify"


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Bytes of one kind of memory on one node."""

    total: int
    system_reserved: int
    allocatable: int
    reserved: int = 0
    free: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    assignments: int
    tables: Mapping[str, Table]
    cells: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Memory that a container was promised: so many bytes somewhere on these nodes."""

    pod_uid: str
    container: str
    nodes: tuple[int, ...]
    kind: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryState:
    policy: str
    nodes: Mapping[int, NodeState]
    blocks: tuple[Block, ...]  # by pod and container
    sum: Sum = Sum.RIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuState:
    policy: str
    default: frozenset[int]
    entries: Mapping[tuple[str, str], frozenset[int]] = field(default_factory=dict)  # pod and container -> CPUs
    sum: Sum = Sum.RIGHT


def memory(text: str, *, verify: bool = True) -> MemoryState:
    """ValueError says why it is none. A wrong checksum is told in the result, for people may want to see the rest.

    Not to `verify` saves a walk over every byte, where only the entries are wanted.
    """
    try:
        fields, judged = _fields(text, fingerprint.memory if verify else None)
        nodes = {int(number): _node(one) for number, one in fields["machineState"].items()}
        entries = fields["entries"].items()
        blocks = tuple(
            _block(pod, name, one)
            for pod, listed in sorted(entries)
            for name, ones in sorted(listed.items())
            for one in ones
        )
        return MemoryState(policy=str(fields["policyName"]), nodes=nodes, blocks=blocks, sum=judged)
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError("it has not the structure of a memory manager's state") from error


def cpu(text: str) -> CpuState:
    """The same of the CPU manager's."""
    try:
        fields, judged = _fields(text, fingerprint.cpu)
        return CpuState(
            policy=str(fields["policyName"]),
            default=_cpus(fields["defaultCpuSet"]),
            entries=dict(_cpu_entries(fields["entries"])),
            sum=judged,
        )
    except (TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError("it has not the structure of a CPU manager's state") from error


def _fields(text: str, sums: Any) -> tuple[Mapping[str, Any], Sum]:
    found = _folded(json.loads(text))
    if "data" in found or "dataChecksum" in found:  # it alone counts, whatever the other fields say
        right = sums is None or fingerprint.of_data(found.get("data", "")) == found.get("dataChecksum")
        return _complete(_folded(json.loads(found["data"]))), Sum.RIGHT if right else Sum.WRONG
    complete = _complete(found)
    if not found.get("checksum") or sums is None:
        return complete, Sum.ABSENT
    return complete, Sum.RIGHT if found["checksum"] in set(sums(complete)) else Sum.WRONG


def _complete(found: Mapping[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {"policyName": "", "defaultCpuSet": ""}
    whole |= {name: found.get(name) or {} for name in ("machineState", "entries", "podEntries")}
    return whole | {name: found[name] for name in ("policyName", "defaultCpuSet") if name in found}


def _folded(value: Any, *, names: bool = False) -> Any:
    """Keys of structures in the one spelling that we know; keys that are names stay as they are."""
    if isinstance(value, list):
        return [_folded(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    if names:
        return {key: _folded(one, names=_is_map_of_maps(one)) for key, one in value.items()}
    spelled = {_FOLDED.get(key.lower(), key): one for key, one in value.items()}
    return {key: _folded(one, names=key in _NAMED) for key, one in spelled.items()}


def _is_map_of_maps(value: Any) -> bool:
    """A pod's containers, whose values are lists or texts; a node's or a table's fields are others."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(one, list | str) for one in value.values())


def _node(found: Mapping[str, Any]) -> NodeState:
    tables = {kind: _table(one) for kind, one in (found.get("memoryMap") or {}).items()}
    cells = tuple(int(cell) for cell in found.get("cells") or ())
    return NodeState(assignments=int(found.get("numberOfAssignments", 0)), tables=tables, cells=cells)


def _table(found: Mapping[str, Any]) -> Table:
    return Table(
        total=int(found.get("total", 0)),
        system_reserved=int(found.get("systemReserved", 0)),
        allocatable=int(found.get("allocatable", 0)),
        reserved=int(found.get("reserved", 0)),
        free=int(found.get("free", 0)),
    )


def _block(pod: str, container: str, found: Mapping[str, Any]) -> Block:
    nodes = tuple(int(node) for node in found.get("numaAffinity") or ())
    kind, size = str(found.get("type", "")), int(found.get("size", 0))
    return Block(pod_uid=pod, container=container, nodes=nodes, kind=kind, size=size)


def _cpu_entries(found: Mapping[str, Any]) -> Iterable[tuple[tuple[str, str], frozenset[int]]]:
    for pod, containers in sorted(found.items()):
        if isinstance(containers, str):  # before 1.18: by container alone
            yield ("", pod), _cpus(containers)
            continue
        yield from (((pod, name), _cpus(text)) for name, text in sorted(containers.items()))


def _cpus(text: str) -> frozenset[int]:
    found = settings.cpus(text) if text else frozenset()
    if found is None:
        raise ValueError(f'could not parse cpuset "{text}"')
    return found


def pinned(blocks: Sequence[Block]) -> dict[str, tuple[int, ...]]:
    """Pod -> the NUMA nodes that its containers' memory was promised on."""
    found: dict[str, set[int]] = {}
    for block in blocks:
        found.setdefault(block.pod_uid, set()).update(block.nodes)
    return {pod: tuple(sorted(nodes)) for pod, nodes in sorted(found.items())}
