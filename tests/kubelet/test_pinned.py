"""Containers that the kubelet pinned are left alone by the agent."""

import json
from pathlib import Path

import pytest

from reconciler import gather
from reconciler.actions import Known
from reconciler.agentconfig import Kept
from reconciler.kubelet import reading
from sysfs.tree import Tree
from tests.cli import kernel_tree

UID = "8a7b0c1d-0000-4e5f-8a9b-0123456789ab"
STATE = {
    "policyName": "Static",
    "machineState": {},
    "entries": {
        UID: {"db": [{"numaAffinity": [1], "type": "memory", "size": 1}]},
        "../../system.slice": {"db": [{"numaAffinity": [0], "type": "memory", "size": 1}]},
        "*": {"db": [{"numaAffinity": [0], "type": "memory", "size": 1}]},
    },
}
SYSTEMD = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = kernel_tree.make(tmp_path / "root")
    kernel_tree.write(found / "var/lib/kubelet/memory_manager_state", json.dumps(STATE))
    return found


@pytest.mark.parametrize("path", [f"/kubepods/pod{UID}", f"/kubelet/kubepods/pod{UID}", SYSTEMD])
def test_the_whole_pod_is_kept_with_either_cgroup_driver(root: Path, path: str) -> None:
    kernel_tree.cgroup(root, path)
    kernel_tree.cgroup(root, "/kubepods/podother")

    kept = reading.pinned(Tree(root), "/sys/fs/cgroup")

    assert kept == (Kept(cgroup=path, reason="the kubelet pinned its memory to NUMA nodes 1"),)


@pytest.mark.parametrize("text", ["{", "[]", '{"entries": 7}'])
def test_a_broken_file_keeps_nobody(root: Path, text: str) -> None:
    kernel_tree.write(root / "var/lib/kubelet/memory_manager_state", text)
    kernel_tree.cgroup(root, SYSTEMD)

    assert reading.pinned(Tree(root), "/sys/fs/cgroup") == ()


def test_without_a_kubelet_or_cgroups_there_is_nothing(root: Path) -> None:
    assert reading.pinned(Tree(root), "") == ()
    (root / "var/lib/kubelet/memory_manager_state").unlink()
    assert reading.pinned(Tree(root), "/sys/fs/cgroup") == ()


def test_a_look_at_the_node_tells_the_agent(root: Path, tmp_path: Path) -> None:
    kernel_tree.cgroup(root, SYSTEMD)
    kernel_tree.write(tmp_path / "conf.d/a.yaml", "memcg: {swap: true}\n")
    for name in ("state", "run"):
        (tmp_path / name).mkdir()
    places = gather.Places(
        tree=Tree(root),
        config_dirs=(str(tmp_path / "conf.d"),),
        state_dir=tmp_path / "state",
        run_dir=tmp_path / "run",
    )

    task = gather.look(places, Known()).desired.agent

    assert task is not None
    assert SYSTEMD in [one.cgroup for one in task.kept]
