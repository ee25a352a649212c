"""`ebbtide kubelet`: what people and programs are told."""

import json
from pathlib import Path

import pytest

from reconciler.kubelet import fingerprint
from tests.cli import kernel_tree
from tests.cli.node import Node, conforms
from tests.kubelet.test_remembered import NONE_MEMORY
from tests.kubelet.texts import reserved, static, text

SEED = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
memoryManagerPolicy: Static
topologyManagerPolicy: best-effort
kubeReserved:
  cpu: "4000m"
  memory: "16Gi"
reservedMemory:
  - numaNode: 0
    limits:
      memory: "16548Mi"
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A node with two NUMA nodes, and a kubelet with drop-ins."""
    found = kernel_tree.make(tmp_path / "root")
    kernel_tree.write(found / "proc/meminfo", f"MemTotal: {64 << 20} kB\n")
    kernel_tree.write(found / "sys/devices/system/cpu/online", "0-3\n")
    for name in ("online", "has_memory", "has_cpu"):
        kernel_tree.write(found / "sys/devices/system/node" / name, "0-1\n")
    for number in (0, 1):
        folder = found / f"sys/devices/system/node/node{number}"
        kernel_tree.write(folder / "meminfo", f"Node {number} MemTotal: {32 << 20} kB\n")
        kernel_tree.write(folder / "distance", "10 20\n")
        kernel_tree.write(folder / "hugepages/hugepages-2048kB/nr_hugepages", "512\n")
    kernel_tree.write(found / "var/lib/kubelet/config.yaml", text(**static("50Mi", "50Mi")).text)
    kernel_tree.write(found / "etc/kubelet.d/10-a.conf", text(kubeReserved={"memory": "1Gi"}).text)
    kernel_tree.write(found / "etc/kubelet.d/README", "no drop-in\n")
    kernel_tree.write(found / "proc/77/comm", "kubelet\n")
    flags = ["/usr/bin/kubelet", "--config", "/var/lib/kubelet/config.yaml", "--config-dir=/etc/kubelet.d"]
    kernel_tree.write(found / "proc/77/cmdline", "".join(f"{word}\0" for word in flags))
    return found


def test_the_message_of_the_kubelet_is_beside_ours(node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(SEED)
    monkeypatch.chdir(tmp_path)

    outcome = node.ebbtide("kubelet", "check", "--config", "config.yaml")

    assert (outcome.code, outcome.out.splitlines()) == (
        1,
        [
            (
                "config.yaml:8:1: /reservedMemory: the nodes' memory adds up to 16548Mi, and must be 16484Mi: "
                "kubeReserved 16Gi + evictionHard memory.available 100Mi"
            ),
            (
                '    kubelet: the total amount "16548Mi" of type "memory" is not equal to the value "16484Mi" '
                "determined by Node Allocatable feature"
            ),
            '    hint: NUMA node 0 would be right with memory: "16484Mi"',
            (
                "a kubelet would not start; reservedMemory must be 16484Mi (kubeReserved 16Gi + evictionHard "
                "memory.available 100Mi); no machine was looked at"
            ),
        ],
    )


def test_a_right_file_is_fine(node: Node, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(SEED.replace("16548", "16484"))

    outcome = node.ebbtide("kubelet", "check", "--config", str(tmp_path / "config.yaml"))

    assert (outcome.code, outcome.out.count("\n")) == (0, 1)


def test_the_node_itself_with_the_flags_of_its_kubelet(node: Node, root: Path) -> None:
    outcome = node.ebbtide("kubelet", "check", "--root", str(root), "-o", "json")

    conforms("kubelet-check", outcome.document)
    assert outcome.code == 1
    assert outcome.document["machine"] is True
    assert outcome.document["requiredBytes"] == 1124 << 20
    assert [Path(path).name for path in outcome.document["files"]] == ["config.yaml", "10-a.conf"]
    assert [one["kubelet"] for one in outcome.document["problems"]] == [
        (
            'the total amount "100Mi" of type "memory" is not equal to the value "1124Mi" determined by Node '
            "Allocatable feature"
        )
    ]


def test_a_unit_that_removes_the_state_at_every_start_is_found(node: Node, root: Path) -> None:
    unit = root / "etc/systemd/system/kubelet.service.d/remove.conf"
    kernel_tree.write(unit, "[Service]\nExecStartPre=/usr/bin/rm -rf /var/lib/kubelet/memory_manager_state\n")

    outcome = node.ebbtide("kubelet", "check", "--root", str(root))

    assert f"{unit}:2: warning: removes the kubelet's state at every start" in outcome.out


def test_drop_ins_and_flags_that_are_named(node: Node, root: Path) -> None:
    right = root / "right"
    kernel_tree.write(right / "10.conf", text(reservedMemory=reserved("1124Mi", "1Gi")).text)
    config, line = str(root / "var/lib/kubelet/config.yaml"), "--kube-reserved=memory=2Gi"

    outcome = node.ebbtide("kubelet", "check", "--config", config, "--config-dir", str(right), "--flags", line)

    assert (outcome.code, outcome.err) == (0, "")


def test_nodes_and_their_huge_pages_are_looked_at(node: Node, root: Path) -> None:
    config = root / "c.yaml"
    config.write_text(text(**static("32Gi", kubeReserved={"memory": "32668Mi"})).text)

    outcome = node.ebbtide("kubelet", "check", "--root", str(root), "--config", str(config))

    assert "NUMA node 0 has only 31Gi that is no huge pages, and is to reserve 32Gi" in outcome.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--config", "/nonexistent"), 1, "ebbtide: /nonexistent: no such file\n"),
        (
            ("--flags", "'open"),
            64,
            "ebbtide: --flags: No closing quotation\nhint: write it as in a shell, in one text\n",
        ),
        (("--for-version", "newest"), 64, "ebbtide: --for-version: newest is no version of Kubernetes\n"),
        (("--config-dir", "a", "--config-dir", "b"), 64, "ebbtide: --config-dir: a kubelet has only one\n"),
    ],
)
def test_what_cannot_be_done_is_told(node: Node, words: tuple[str, ...], code: int, said: str) -> None:
    outcome = node.ebbtide("kubelet", "check", *words)

    assert (outcome.code, outcome.err.startswith(said)) == (code, True)


# -- render -----------------------------------------------------------------------------------------------------------


WANTED = "kubelet:\n  memoryManager: {policy: Static, reserve: {split: even}}\n  systemReserved: {memory: 3Gi}\n"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """A folder of class files."""
    kernel_tree.write(tmp_path / "classes" / "kubelet.yaml", WANTED)
    return tmp_path / "classes"


def test_the_drop_in_is_computed_for_this_machine_and_checks(node: Node, root: Path, classes: Path) -> None:
    words = ("--root", str(root), "--config-dir", str(classes))
    outcome = node.ebbtide("kubelet", "render", *words)
    told = node.ebbtide("kubelet", "render", *words, "-o", "json").document
    kernel_tree.write(root / "etc/kubelet.d/90-ebbtide.conf", outcome.out)

    again = node.ebbtide("kubelet", "check", "--root", str(root))

    conforms("kubelet-render", told)
    assert (outcome.code, outcome.err, told["text"]) == (0, "", outcome.out)
    assert told["path"] == str(root / "etc/kubelet.d/90-ebbtide.conf")
    assert [one["reservedBytes"] for one in told["nodes"]] == [2098 << 20, 2098 << 20]
    assert again.code == 0


def test_what_no_kubelet_would_start_with_is_not_printed(node: Node, root: Path, classes: Path) -> None:
    kernel_tree.write(root / "etc/kubelet.d/95-late.conf", text(reservedMemory=reserved("1Gi")).text)

    outcome = node.ebbtide("kubelet", "render", "--root", str(root), "--config-dir", str(classes))

    assert (outcome.code, outcome.out) == (1, "")
    assert "95-late.conf" in outcome.err


def test_without_a_section_there_is_nothing_to_render(node: Node, root: Path) -> None:
    outcome = node.ebbtide("kubelet", "render", "--root", str(root), "--config-dir", "/nonexistent")

    assert (outcome.code, outcome.err.splitlines()[0]) == (
        1,
        "ebbtide: kubelet: no class file says what its configuration should be",
    )


# -- plan ------------------------------------------------------------------------------------------------------------


def test_what_has_to_be_done_is_listed_until_it_is_done(node: Node, root: Path, classes: Path) -> None:
    words = ("--root", str(root), "--config-dir", str(classes))
    kernel_tree.write(root / "var/lib/kubelet/memory_manager_state", NONE_MEMORY)
    planned = node.ebbtide("kubelet", "plan", *words)
    told = node.ebbtide("kubelet", "plan", *words, "-o", "json").document
    kernel_tree.write(root / "etc/kubelet.d/90-ebbtide.conf", node.ebbtide("kubelet", "render", *words).out)
    (root / "var/lib/kubelet/memory_manager_state").unlink()

    done = node.ebbtide("kubelet", "plan", *words)

    conforms("kubelet-plan", told)
    assert (planned.code, [one["deed"] for one in told["steps"]]) == (2, ["write", "stop", "move away", "start"])
    assert "the policy was None, and is Static now" in planned.out
    assert (done.code, done.out, done.err) == (0, "nothing to do\n", "")


def test_nothing_is_planned_for_what_no_kubelet_would_start_with(node: Node, root: Path, classes: Path) -> None:
    kernel_tree.write(root / "etc/kubelet.d/95-late.conf", text(reservedMemory=reserved("1Gi")).text)

    outcome = node.ebbtide("kubelet", "plan", "--root", str(root), "--config-dir", str(classes))

    assert (outcome.code, outcome.out) == (1, "")


def test_a_kubelet_without_a_directory_for_drop_ins_is_told_of(node: Node, root: Path, classes: Path) -> None:
    words = ("--root", str(root), "--config-dir", str(classes), "--flags=--config=/var/lib/kubelet/config.yaml")

    outcome = node.ebbtide("kubelet", "render", *words)

    assert "this kubelet has no drop-in directory that we know of" in outcome.err


# -- show ------------------------------------------------------------------------------------------------------------


MIB = 1 << 20


def table(total: int, reserved: int, taken: int = 0, huge: int = 0) -> dict[str, int]:
    left = total - reserved - huge
    return {
        "total": total,
        "systemReserved": reserved,
        "allocatable": left,
        "reserved": taken,
        "free": left - taken,
    }


@pytest.fixture
def remembering(root: Path) -> Path:
    """Its kubelet has pinned a container, and was told to reserve 562 MiB on each node."""
    for number in (0, 1):
        pages = root / f"sys/devices/system/node/node{number}/hugepages/hugepages-2048kB/nr_hugepages"
        kernel_tree.write(pages, "512\n")
    huge, total = 1024 * MIB, 32 << 30
    nodes = {
        str(number): {
            "numberOfAssignments": int(taken > 0),
            "memoryMap": {"memory": table(total, 562 * MIB, taken, huge), "hugepages-2Mi": table(huge, 0)},
            "cells": [number],
        }
        for number, taken in ((0, 0), (1, 4096 * MIB))
    }
    block = {"numaAffinity": [1], "type": "memory", "size": 4096 * MIB}
    state = {"policyName": "Static", "machineState": nodes, "entries": {"uid-1": {"db": [block]}}}
    (checksum, _) = fingerprint.memory({**state, "podEntries": {}})
    kernel_tree.write(root / "var/lib/kubelet/memory_manager_state", json.dumps({**state, "checksum": checksum}))
    kernel_tree.write(root / "var/lib/kubelet/cpu_manager_state", '{"policyName":"none","defaultCpuSet":""}')
    kernel_tree.write(root / "etc/kubelet.d/90.conf", text(reservedMemory=reserved("562Mi", "562Mi")).text)
    return root


def test_what_is_pinned_is_shown(node: Node, remembering: Path) -> None:
    outcome = node.ebbtide("kubelet", "show", "--root", str(remembering))

    assert (outcome.code, outcome.out) == (
        0,
        """\
memory manager: Static
NODE  TYPE           TOTAL  SYSTEM  ASSIGNED     FREE
   0  hugepages-2Mi    1Gi       0         0      1Gi
   0  memory          32Gi   562Mi         0  31182Mi
   1  hugepages-2Mi    1Gi       0         0      1Gi
   1  memory          32Gi   562Mi       4Gi  27086Mi
POD    CONTAINER  NODES  TYPE    SIZE
uid-1  db             1  memory   4Gi
CPU manager: none
""",
    )


def test_a_file_that_would_be_refused_is_told_of(node: Node, remembering: Path) -> None:
    kernel_tree.write(remembering / "etc/kubelet.d/95.conf", text(reservedMemory=reserved("1124Mi")).text)

    outcome = node.ebbtide("kubelet", "show", "--root", str(remembering))
    told = node.ebbtide("kubelet", "show", "--root", str(remembering), "-o", "json").document

    conforms("kubelet-show", told)
    path = remembering / "var/lib/kubelet/memory_manager_state"
    first = "NUMA node 0: memory reserved for the system was 562Mi, and is 1124Mi now"
    assert f"{path}: a kubelet would refuse it: {first}" in outcome.out
    assert (outcome.code, told["refused"][0]["reason"]) == (1, first)
    assert told["memory"]["pinned"] == [
        {"pod": "uid-1", "container": "db", "nodes": [1], "type": "memory", "bytes": 4096 * MIB}
    ]


def test_a_truncated_file_is_told_of(node: Node, remembering: Path) -> None:
    kernel_tree.write(remembering / "var/lib/kubelet/memory_manager_state", '{"policyName":"Sta')

    outcome = node.ebbtide("kubelet", "show", "--root", str(remembering))

    assert outcome.code == 1
    assert "a kubelet would refuse it: cannot be read" in outcome.out


def test_without_state_files_there_is_nothing_to_show(node: Node, root: Path) -> None:
    outcome = node.ebbtide("kubelet", "show", "--root", str(root))

    assert (outcome.code, outcome.err.splitlines()[0]) == (
        1,
        f"ebbtide: {root}/var/lib/kubelet: has no state file of a kubelet",
    )
