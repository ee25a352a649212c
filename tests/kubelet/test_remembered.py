"""State files of every version, with upstream's own checksums."""

import json
from typing import Any

import pytest

from reconciler.kubelet import fingerprint, remembered
from reconciler.kubelet.remembered import Block, Sum

NONE_MEMORY = '{"policyName":"None","machineState":{},"checksum":4236770233}'
NONE_CPU = '{"policyName":"none","defaultCpuSet":"","checksum":1353318690}'


def memory_state(policy: str = "static", **keys: Any) -> dict[str, Any]:
    table = {"total": 2048, "systemReserved": 512, "allocatable": 1536, "reserved": 512, "free": 1024}
    node = {"numberOfAssignments": 0, "memoryMap": {"memory": table}, "cells": []}
    block = {"numaAffinity": [0], "type": "memory", "size": 512}
    return {
        "policyName": policy,
        "machineState": {"0": node},
        "entries": {"pod": {"container1": [block]}},
        **keys,
    }


def test_the_empty_memory_file_is_known_byte_for_byte() -> None:
    found = remembered.memory(NONE_MEMORY)

    assert len(NONE_MEMORY) == 61
    assert (found.policy, found.nodes, found.blocks, found.sum) == ("None", {}, (), Sum.RIGHT)


@pytest.mark.parametrize(("checksum", "judged"), [(4215593881, Sum.RIGHT), (1, Sum.WRONG), (0, Sum.ABSENT)])
def test_memory_of_the_first_version(checksum: int, judged: Sum) -> None:
    found = remembered.memory(json.dumps(memory_state(checksum=checksum)))

    assert found.sum is judged
    assert found.blocks == (Block(pod_uid="pod", container="container1", nodes=(0,), kind="memory", size=512),)
    assert found.nodes[0].tables["memory"].system_reserved == 512


def test_an_unassigned_node() -> None:
    table = {"total": 4 << 30, "systemReserved": 1 << 30, "allocatable": 3 << 30, "reserved": 0, "free": 3 << 30}
    node = {"numberOfAssignments": 0, "memoryMap": {"memory": table}, "cells": [0]}
    state = {"policyName": "Static", "machineState": {"0": node}, "checksum": 3516835772}

    assert remembered.memory(json.dumps(state)).sum is Sum.RIGHT


def test_memory_with_data_is_verified_by_it_alone() -> None:
    data = json.dumps(memory_state(), separators=(",", ":"))
    wrapped = {"policyName": "other", "machineState": {}, "checksum": 1, "data": data, "dataChecksum": 1849615440}

    assert remembered.memory(json.dumps(wrapped)).sum is Sum.RIGHT
    assert remembered.memory(json.dumps(wrapped)).policy == "static"
    assert remembered.memory(json.dumps(wrapped | {"dataChecksum": 7})).sum is Sum.WRONG


def test_memory_with_entries_of_pods() -> None:
    state = memory_state(podEntries={"p2": {"memoryBlocks": [{"numaAffinity": [0, 1], "type": "memory", "size": 9}]}})
    _, second = fingerprint.memory({**state, "entries": state["entries"]})

    assert remembered.memory(json.dumps({**state, "checksum": second})).sum is Sum.RIGHT


CPU = [
    ({"policyName": "none", "defaultCpuSet": "4-6"}, 354655845),
    ({"policyName": "none", "defaultCPUSet": "4-6"}, 354655845),
    (
        {
            "policyName": "none",
            "defaultCpuSet": "1-3",
            "entries": {"pod": {"container1": "4-6", "container2": "1-3"}},
        },
        3610638499,
    ),
    (
        {
            "policyName": "static",
            "defaultCpuSet": "7-9",
            "entries": {"pod": {"container1": "4-6", "container2": "1-3"}},
        },
        1942532442,
    ),
    (
        {
            "policyName": "static",
            "defaultCpuSet": "7-9",
            "entries": {"pod": {"container1": "4-6", "container2": "1-3"}},
        },
        964019483,
    ),
]


@pytest.mark.parametrize(("state", "checksum"), CPU)
def test_cpus_of_all_layouts(state: dict[str, Any], checksum: int) -> None:
    assert remembered.cpu(json.dumps({**state, "checksum": checksum})).sum is Sum.RIGHT
    assert remembered.cpu(json.dumps({**state, "checksum": checksum + 1})).sum is Sum.WRONG


def test_the_empty_cpu_file_and_the_oldest_layout() -> None:
    old = {"policyName": "static", "defaultCpuSet": "0-3", "entries": {"4f4f": "4-6"}}

    assert remembered.cpu(NONE_CPU).sum is Sum.RIGHT
    assert remembered.cpu(json.dumps(old)).entries == {("", "4f4f"): frozenset({4, 5, 6})}


def test_names_of_pods_and_containers_are_no_keys() -> None:
    state = memory_state(entries={"DATA": {"Size": [{"NumaAffinity": [0], "Type": "memory", "SIZE": 1}]}})

    assert remembered.memory(json.dumps(state)).blocks == (
        Block(pod_uid="DATA", container="Size", nodes=(0,), kind="memory", size=1),
    )


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"machineState":{"x":{}}}', '{"entries":{"p":7}}', "[" * 10**5])
def test_what_is_no_state_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        remembered.memory(text)


def test_the_nodes_of_a_pod() -> None:
    blocks = [
        Block(pod_uid="p", container=name, nodes=nodes, kind="memory", size=1)
        for name, nodes in (("a", (0,)), ("b", (2, 1)))
    ]

    assert remembered.pinned(blocks) == {"p": (0, 1, 2)}
