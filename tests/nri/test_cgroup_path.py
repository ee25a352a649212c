from pathlib import Path

import pytest

from nri import cgroup_path
from sysfs.tree import Tree

ID = "f00d"

EXPECTED = {
    "containerd, cgroupfs": ("/kubepods/besteffort/pod1/f00d", "/kubepods/besteffort/pod1/f00d"),
    "no parent": ("/k8s.io/f00d", "/k8s.io/f00d"),
    "containerd, systemd": (
        "kubepods-besteffort-pod1_2.slice:cri-containerd:f00d",
        "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-f00d.scope",
    ),
    "guaranteed": (
        "kubepods-pod1.slice:cri-containerd:f00d",
        "/kubepods.slice/kubepods-pod1.slice/cri-containerd-f00d.scope",
    ),
    "CRI-O, systemd": ("kubepods-pod1.slice:crio:f00d", "/kubepods.slice/kubepods-pod1.slice/crio-f00d.scope"),
    "CRI-O, cgroupfs": ("/kubepods/pod1/crio-f00d", "/kubepods/pod1/crio-f00d"),
    "no prefix": ("a.slice::f00d", "/a.slice/f00d.scope"),
    "a slice of its own": ("a.slice:x:a-b.slice", "/a.slice/a-b.slice"),
    "no slice": (":runc:f00d", "/system.slice/runc-f00d.scope"),
    "the root slice": ("-.slice:crio:f00d", "/crio-f00d.scope"),
    "relative": ("foo/f00d", ""),
    "nothing": ("", ""),
    "the root": ("/", ""),
    "climbing": ("/kubepods/../../f00d", ""),
    "climbing by a unit": ("../x.slice:crio:f00d", ""),
}


@pytest.mark.parametrize(("cgroups_path", "path"), EXPECTED.values(), ids=EXPECTED)
def test_expected(cgroups_path: str, path: str) -> None:
    assert cgroup_path.expected(cgroups_path) == path


def tree(tmp_path: Path, *cgroups: str, process: str = "") -> Tree:
    for path in cgroups:
        folder = tmp_path / "cg" / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("")
    if process:
        (tmp_path / "proc" / "7").mkdir(parents=True)
        (tmp_path / "proc" / "7" / "cgroup").write_text(f"1:name=systemd:/elsewhere\n0::{process}\n")
    return Tree(tmp_path)


def test_what_was_computed_and_exists_is_it(tmp_path: Path) -> None:
    assert cgroup_path.find(tree(tmp_path, "/k8s.io/f00d"), "/cg", "/k8s.io/f00d", ID) == "/k8s.io/f00d"


def test_it_does_not_exist_yet(tmp_path: Path) -> None:
    assert cgroup_path.find(tree(tmp_path), "/cg", "/k8s.io/f00d", ID) == ""


ASKED = {
    "nested in another cgroup": ("/kubelet/k8s.io/f00d", "/kubelet/k8s.io/f00d"),
    "crun's inner cgroup": ("/a.slice/crio-f00d.scope/container", "/a.slice/crio-f00d.scope"),
    "somebody else's process": ("/system.slice/sshd.service", ""),
    "above what we can see": ("/../k8s.io/f00d", ""),
}


@pytest.mark.parametrize(("process", "path"), ASKED.values(), ids=ASKED)
def test_the_process_is_asked(tmp_path: Path, process: str, path: str) -> None:
    cgroups = [process] if ".." not in process else []
    here = tree(tmp_path, *cgroups, *([path] if path and path not in cgroups else []), process=process)

    assert cgroup_path.find(here, "/cg", "/k8s.io/f00d", ID, 7) == path


def test_a_process_that_is_gone_says_nothing(tmp_path: Path) -> None:
    assert cgroup_path.find(tree(tmp_path), "/cg", "/k8s.io/f00d", ID, 7) == ""


def test_without_cgroup_v2_there_is_none(tmp_path: Path) -> None:
    assert cgroup_path.find(tree(tmp_path, process="/k8s.io/f00d"), "", "/k8s.io/f00d", ID, 7) == ""
