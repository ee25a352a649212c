"""Which pods the kubelet has pinned, by its state file; kernel and kubelet are plain files."""

from pathlib import Path

import pytest

from reconciler import pinned
from sysfs.tree import Tree

MOUNT = "/sys/fs/cgroup"
UID, OTHER = "0b6f1d8e-7c1a-4a55-9d3c-6f3f5f1a2b3c", "11111111-2222-3333-4444-555555555555"
SYSTEMD = f"/kubepods.slice/kubepods-pod{UID.replace('-', '_')}.slice"
OWN = f"/kubepods/pod{UID}"
BURSTABLE = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podx.slice"
STATIC = (
    '{"policyName":"Static","machineState":{"0":{"numberOfAssignments":1,"memoryMap":{},"cells":[0]}},'
    '"entries":{"%s":{"db":[{"numaAffinity":[0],"type":"memory","size":1073741824}]}},"checksum":1}'
)
NONE = '{"policyName":"None","machineState":{},"checksum":4236770233}'


def node(root: Path, state: str | None, *cgroups: str) -> Tree:
    for path in cgroups:
        folder = root / f"{MOUNT}{path}"[1:]
        folder.mkdir(parents=True)
        (folder / "cgroup.procs").touch()
    if state is not None:
        (root / pinned.STATE[1:]).parent.mkdir(parents=True)
        (root / pinned.STATE[1:]).write_text(state)
    return Tree(root)


@pytest.mark.parametrize("path", [SYSTEMD, OWN])
def test_a_pinned_pod_is_left_alone_as_a_whole(tmp_path: Path, path: str) -> None:
    other = f"/kubepods.slice/kubepods-pod{OTHER.replace('-', '_')}.slice"
    tree = node(tmp_path, STATIC % UID, path, other, BURSTABLE)

    found = pinned.pinned(tree, MOUNT)

    assert [one.cgroup for one in found] == [path]
    assert "pinned by the kubelet" in found[0].reason


@pytest.mark.parametrize("state", [None, NONE, '{"policyName":"Static","machineState":{},"checksum":1}'])
def test_without_pinned_pods_nobody_is(tmp_path: Path, state: str | None) -> None:
    assert pinned.pinned(node(tmp_path, state, SYSTEMD), MOUNT) == ()


@pytest.mark.parametrize(
    "state", ["", (STATIC % UID)[:80], "[]", "{}", STATIC % "../../*", '{"policyName":"Static","entries":[]}']
)
def test_what_cannot_be_understood_may_be_about_any_guaranteed_pod(tmp_path: Path, state: str) -> None:
    found = pinned.pinned(node(tmp_path, state, SYSTEMD, OWN, BURSTABLE), MOUNT)

    assert [one.cgroup for one in found] == [SYSTEMD, OWN]
    assert "cannot be understood" in found[0].reason


def test_a_pod_that_has_ended_and_a_node_without_cgroup_v2(tmp_path: Path) -> None:
    tree = node(tmp_path, STATIC % UID)

    assert (pinned.pinned(tree, MOUNT), pinned.pinned(tree, "")) == ((), ())
