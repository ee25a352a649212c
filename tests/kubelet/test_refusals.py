"""When a kubelet would refuse its state files: the table of what changes, and its own words."""

import json
from typing import Any

import pytest

from reconciler.kubelet import fingerprint, refusals, rules
from reconciler.kubelet.configuration import Effective
from reconciler.kubelet.machine import Machine, MemoryNode
from tests.kubelet.test_remembered import NONE_CPU, NONE_MEMORY
from tests.kubelet.texts import GIB, TWO_NODES, sources, static, text

RESERVED = 562 << 20


def effective(version: tuple[int, int] = (1, 35), **keys: Any) -> Effective:
    return rules.check(sources(text(**keys), version=version), TWO_NODES).effective


STATIC = static("562Mi", "562Mi", kubeReserved={"memory": "1Gi"})


def node(number: int, taken: int = 0, **changes: Any) -> dict[str, Any]:
    allocatable = 32 * GIB - RESERVED
    table = {"total": 32 * GIB, "systemReserved": RESERVED, "allocatable": allocatable, "reserved": taken}
    memory = {**table, "free": allocatable - taken, **changes}
    return {"numberOfAssignments": int(taken > 0), "memoryMap": {"memory": memory}, "cells": [number]}


def block(size: int, *nodes: int, kind: str = "memory") -> dict[str, Any]:
    return {"numaAffinity": list(nodes), "type": kind, "size": size}


def written(nodes: list[dict[str, Any]], entries: dict[str, Any] | None = None, policy: str = "Static") -> str:
    state = {"policyName": policy, "machineState": {str(at): one for at, one in enumerate(nodes)}}
    state["entries"] = entries or {}
    (checksum, _) = fingerprint.memory({**state, "podEntries": {}})
    return json.dumps({**state, "checksum": checksum})


FRESH = written([node(0), node(1)])
BUSY = written([node(0, 5 * GIB), node(1)], {"pod": {"db": [block(5 * GIB, 0)]}})


@pytest.mark.parametrize("state", [FRESH, BUSY, written([])])
def test_what_fits_is_taken_up_again(state: str) -> None:
    assert refusals.of_memory(state, effective(**STATIC), TWO_NODES) == ()


def test_groups_of_nodes_are_compared_as_a_whole() -> None:
    both = [node(0, 4 * GIB), node(1, 36 * GIB)]
    for one in both:
        one["cells"] = [0, 1]
    state = written(both, {"pod": {"db": [block(40 * GIB, 0, 1)]}})
    short = written(both, {"pod": {"db": [block(39 * GIB, 0, 1)]}})

    assert refusals.of_memory(state, effective(**STATIC), TWO_NODES) == ()
    (refusal,) = refusals.of_memory(short, effective(**STATIC), TWO_NODES)
    assert refusal.reason.startswith("NUMA nodes 0-1: memory: 40Gi assigned")


def test_what_does_not_concern_the_file_may_change() -> None:
    shifted = static("562Mi", "562Mi", systemReserved={"memory": "1Gi"}, shutdownGracePeriod="300s")

    assert refusals.of_memory(BUSY, effective(**shifted, topologyManagerScope="pod"), TWO_NODES) == ()
    assert refusals.of_memory(NONE_MEMORY, effective(kubeReserved={"memory": "9Gi"}), TWO_NODES) == ()


def machine(*totals: int, huge: int = 0) -> Machine:
    pools = {"hugepages-2Mi": huge} if huge else {}
    nodes = {number: MemoryNode(total_bytes=total, hugepages=pools) for number, total in enumerate(totals)}
    return Machine(nodes=nodes, capacity_bytes=sum(totals), cpus=frozenset(range(8)))


DIFFERENT = "[memorymanager] the expected machine state is different from the real one"
REFUSED = [
    (BUSY, {}, TWO_NODES, 'could not restore state from checkpoint: [memorymanager] configured policy "None" differs'),
    (
        NONE_MEMORY,
        STATIC,
        TWO_NODES,
        'could not restore state from checkpoint: [memorymanager] configured policy "Stat',
    ),
    (FRESH, static("1124Mi", kubeReserved={"memory": "1Gi"}), TWO_NODES, DIFFERENT),
    (FRESH, STATIC, machine(32 * GIB, 32 * GIB - 4096), DIFFERENT),
    (FRESH, STATIC, machine(32 * GIB), DIFFERENT),
    (FRESH, STATIC, machine(32 * GIB, 32 * GIB, huge=GIB), DIFFERENT),
    (written([node(0), node(1, 5)], {"pod": {"db": [block(5 * GIB, 1)]}}), STATIC, TWO_NODES, DIFFERENT),
    (
        written([node(0), node(1)], {"pod": {"db": [block(1, 4)]}}),
        STATIC,
        TWO_NODES,
        "[memorymanager] (pod: pod, container: db) the memory assignment uses the NUMA that does not exist",
    ),
    (
        written([node(0), node(1)], {"pod": {"db": [block(1, 1, kind="hugepages-2Mi")]}}),
        STATIC,
        TWO_NODES,
        "[memorymanager] (pod: pod, container: db) the memory assignment uses memory resource that does not exist",
    ),
    (
        written([], {"pod": {"db": [block(1, 1)]}}),
        STATIC,
        TWO_NODES,
        "[memorymanager] machine state can not be empty when it has memory assignments",
    ),
    (FRESH.replace('"reserved": 0', '"reserved": 1'), STATIC, None, "could not restore state from checkpoint: checkpo"),
    ('{"policyName":"Sta', STATIC, None, "could not restore state from checkpoint: "),
]


@pytest.mark.parametrize(("state", "keys", "here", "kubelet"), REFUSED)
def test_each_refusal(state: str, keys: dict[str, Any], here: Machine | None, kubelet: str) -> None:
    found = refusals.of_memory(state, effective(**keys), here)

    assert found
    assert all(one.kubelet.startswith(kubelet) and one.reason for one in found)


def test_the_reason_says_what_changed() -> None:
    keys = static("1Gi", "100Mi", kubeReserved={"memory": "1Gi"})

    first, *_ = refusals.of_memory(FRESH, effective(**keys), TWO_NODES)

    assert first.reason == "NUMA node 0: memory reserved for the system was 562Mi, and is 1Gi now"


def test_a_checksum_of_0_fits_newer_kubelets_only() -> None:
    state = json.dumps(json.loads(FRESH) | {"checksum": 0})

    assert refusals.of_memory(state, effective(**STATIC, version=(1, 36)), TWO_NODES) == ()
    assert refusals.of_memory(state, effective(**STATIC), TWO_NODES) != ()


# -- CPUs ------------------------------------------------------------------------------------------------------------


def cpus(default: str, **entries: str) -> str:
    return json.dumps({"policyName": "static", "defaultCpuSet": default, "entries": {"pod": entries}})


CPU_STATIC = {"cpuManagerPolicy": "static", "reservedSystemCPUs": "0,6"}
STRICT = CPU_STATIC | {"cpuManagerPolicyOptions": {"strict-cpu-reservation": "true"}}
CPU = [
    (NONE_CPU, {}, ""),
    (cpus("0-7"), CPU_STATIC, ""),
    (cpus("0-3,6-7", db="4-5"), CPU_STATIC, ""),
    (cpus("1-5,7"), STRICT, ""),
    (
        cpus("0-7"),
        {},
        'could not restore state from checkpoint: configured policy "none" differs from state checkpoint',
    ),
    (cpus("", db="0"), CPU_STATIC, "default cpuset cannot be empty"),
    (cpus("0-1", db="2-7"), CPU_STATIC, 'not all reserved cpus: "0,6" are present in defaultCpuSet: "0-1"'),
    (cpus("0-7"), STRICT, 'some of strictly reserved cpus: "0,6" are present in defaultCpuSet: "0-7"'),
    (cpus("0-7", db="0-2"), CPU_STATIC, 'pod: pod, container: db cpuset: "0-2" overlaps with default cpuset "0-7"'),
    (cpus("0-8"), CPU_STATIC, 'current set of available CPUs "0-7" doesn\'t match with CPUs in state "0-8"'),
    (cpus("many"), CPU_STATIC, 'could not restore state from checkpoint: could not parse cpuset "many"'),
    (NONE_CPU.replace("1353318690", "1"), {}, "could not restore state from checkpoint: checkpoint is corrupted"),
]


@pytest.mark.parametrize(("state", "keys", "kubelet"), CPU)
def test_cpus(state: str, keys: dict[str, Any], kubelet: str) -> None:
    found = refusals.of_cpu(state, effective(**keys), TWO_NODES)

    assert bool(found) == bool(kubelet)
    assert all(one.kubelet.startswith(kubelet) for one in found)
