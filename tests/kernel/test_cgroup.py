"""cgroup v2 through plain files; the reacting ones are in fake.py."""

import os
from pathlib import Path

import pytest

from sysfs import cgroup
from sysfs.errors import Gone, Refused, Unsupported
from sysfs.tree import Tree

MOUNT = "/sys/fs/cgroup"
MOUNTINFO = "31 23 0:28 / /sys rw - sysfs sysfs rw\n41 31 0:38 / {} rw,relatime shared:9 - cgroup2 cgroup2 rw\n"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    put(tmp_path, "proc/1/mountinfo", MOUNTINFO.format(MOUNT))
    put(tmp_path, "sys/fs/cgroup/cgroup.controllers", "cpu memory pids\n")
    put(tmp_path, "sys/fs/cgroup/cgroup.procs", "1\n")
    for path in ("a.slice", "a.slice/one", "a.slice/two", "b.slice"):
        group(tmp_path, path)
    return Tree(tmp_path)


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def group(root: Path, path: str, **files: str) -> None:
    defaults = {"cgroup.procs": "", "cgroup.events": "populated 1\nfrozen 0\n", "memory.max": "max\n"}
    for name, text in {**defaults, **files}.items():
        put(root, f"sys/fs/cgroup/{path}/{name}", text)


def test_mount_is_where_the_memory_controller_is(tree: Tree) -> None:
    assert cgroup.mount(tree) == MOUNT


@pytest.mark.parametrize(
    ("mountinfo", "controllers"),
    [
        pytest.param(MOUNTINFO.format(MOUNT), "cpu pids\n", id="memory is a version 1 controller here"),
        pytest.param("31 23 0:28 / /sys rw - sysfs sysfs rw\n", "memory\n", id="no cgroup v2 at all"),
        pytest.param(MOUNTINFO.format(MOUNT).replace(":38 /", ":38 /part"), "memory\n", id="only a part is mounted"),
        pytest.param("nonsense\n\n - cgroup2\n", "memory\n", id="not a mount table"),
    ],
)
def test_no_mount(tree: Tree, mountinfo: str, controllers: str) -> None:
    put(Path(tree.root), "proc/1/mountinfo", mountinfo)
    put(Path(tree.root), "sys/fs/cgroup/cgroup.controllers", controllers)

    assert cgroup.mount(tree) == ""


def test_mount_with_a_blank_in_its_name(tree: Tree) -> None:
    put(Path(tree.root), "proc/1/mountinfo", MOUNTINFO.format("/mnt/c\\040g"))
    put(Path(tree.root), "mnt/c g/cgroup.controllers", "memory\n")

    assert cgroup.mount(tree) == "/mnt/c g"


def test_a_missing_knob_is_no_error_and_an_unreadable_one_is(tree: Tree) -> None:
    directory = MOUNT + "/b.slice"
    os.mkdir(tree.path(directory + "/memory.high"))  # cannot be read, even by root

    values, unreadable = cgroup.read_knobs(tree, directory, ["memory.max", "memory.high", "memory.zswap.max"])

    assert values == {"memory.max": "max"}
    assert list(unreadable) == ["memory.high"]
    assert "memory.high" in unreadable["memory.high"]


def test_processes_of_all_descendants_once(tree: Tree) -> None:
    root = Path(tree.root)
    group(root, "a.slice", **{"cgroup.procs": "0\n7\n"})
    group(root, "a.slice/one", **{"cgroup.procs": "12\n7\n"})
    group(root, "a.slice/two/deep", **{"cgroup.procs": "3\n"})

    assert cgroup.processes(tree, MOUNT + "/a.slice") == (3, 7, 12)


class Threaded(Tree):
    """Says what the kernel says about cgroup.procs in a threaded cgroup, and loses another one while it is read."""

    def read(self, path: str) -> str:
        if path.endswith("one/cgroup.procs"):
            raise Unsupported(95, "Operation not supported", path)
        if path.endswith("two/cgroup.procs"):
            raise Gone(19, "No such device", path)
        return super().read(path)


def test_threaded_and_vanishing_children_are_normal(tree: Tree) -> None:
    group(Path(tree.root), "a.slice", **{"cgroup.procs": "7\n"})

    assert cgroup.processes(Threaded(tree.root), MOUNT + "/a.slice") == (7,)


def test_processes_of_a_cgroup_that_is_gone(tree: Tree) -> None:
    with pytest.raises(Gone):
        cgroup.processes(tree, MOUNT + "/none")


@pytest.mark.parametrize(
    ("events", "populated"),
    [("populated 1\nfrozen 0\n", True), ("populated 0\nfrozen 0\n", False), ("frozen 0\n", True)],
)
def test_populated(tree: Tree, events: str, populated: bool) -> None:
    group(Path(tree.root), "b.slice", **{"cgroup.events": events})

    assert cgroup.populated(tree, MOUNT + "/b.slice") is populated


def test_the_root_is_populated_and_what_is_gone_is_not(tree: Tree) -> None:
    assert cgroup.populated(tree, MOUNT)
    assert not cgroup.populated(tree, MOUNT + "/none")


def test_numbers(tree: Tree) -> None:
    files = {"memory.current": "8192\n", "memory.swap.current": "4096\n", "memory.stat": "anon 3\nodd\nfile 5\n"}
    group(Path(tree.root), "b.slice", **files)
    directory = MOUNT + "/b.slice"

    assert cgroup.usage_bytes(tree, directory) == 8192
    assert cgroup.swap_bytes(tree, directory) == 4096
    assert cgroup.stat(tree, directory) == {"anon": 3, "file": 5}
    assert cgroup.swap_bytes(tree, MOUNT + "/a.slice") == 0


def test_limits_of_ancestors_hold_below_them(tree: Tree) -> None:
    group(Path(tree.root), "a.slice", **{"memory.max": "1048576\n", "memory.swap.max": "0\n"})
    group(Path(tree.root), "a.slice/one", **{"memory.max": "2097152\n", "memory.swap.max": "max\n"})

    assert cgroup.limits(tree, MOUNT + "/a.slice/one") == cgroup.Limits(memory_bytes=1048576, swap_bytes=0)
    assert cgroup.limits(tree, MOUNT + "/b.slice") == cgroup.Limits()


@pytest.mark.parametrize(
    ("glob", "paths"),
    [
        ("/a.slice", ["/a.slice"]),
        ("a.slice/", ["/a.slice"]),
        ("/a.slice/*", ["/a.slice/one", "/a.slice/two"]),
        ("/?.slice", ["/a.slice", "/b.slice"]),
        ("/[!a].slice", ["/b.slice"]),
        ("/**/t*", ["/a.slice/two"]),
        ("/a.slice/**", ["/a.slice", "/a.slice/one", "/a.slice/two"]),
        ("/none", []),
        ("/none/*", []),
        ("/a.slice/../b.slice", []),
        ("/", ["/"]),
    ],
)
def test_expand(tree: Tree, glob: str, paths: list[str]) -> None:
    assert list(cgroup.expand(tree, MOUNT, glob)) == paths


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("9:name=systemd:/x\n0::/a.slice/one\n", "/a.slice/one"),
        ("0::/gone (deleted)\n", "/gone"),
        ("0::/odd:name\n", "/odd:name"),
        ("4:memory:/v1\n", ""),
    ],
)
def test_path_of_process(tree: Tree, text: str, path: str) -> None:
    put(Path(tree.root), "proc/77/cgroup", text)

    assert cgroup.path_of_process(tree, 77) == path


def test_knob_names_come_from_a_cgroup_that_has_the_controller(tree: Tree) -> None:
    os.unlink(tree.path(MOUNT + "/a.slice/memory.max"))
    group(Path(tree.root), "b.slice", **{"memory.zswap.max": "max\n"})

    assert cgroup.knob_names(tree, MOUNT) == {"memory.max", "memory.zswap.max"}


def test_a_write_never_creates_a_file(tree: Tree) -> None:
    with pytest.raises(Gone):
        cgroup.write_knob(tree, MOUNT + "/b.slice", "memory.swap.max", "0")
    cgroup.write_knob(tree, MOUNT + "/b.slice", "memory.max", "4096")

    assert tree.read(MOUNT + "/b.slice/memory.max") == "4096"


def test_errors_are_ours(tree: Tree) -> None:
    class Forbidden(Tree):
        def read(self, path: str) -> str:
            raise Refused(13, "Permission denied", path)

    assert cgroup.own_path(Forbidden(tree.root)) == ""


def test_memory_on_nodes(tree: Tree, tmp_path: Path) -> None:
    text = "anon N0=4096 N2=8192\nfile N0=1 N2=0\nkernel_stack N0=7 N2=7\nworkingset_refault_anon N0=3 N2=3\n"
    put(tmp_path, "sys/fs/cgroup/a.slice/memory.numa_stat", text)

    assert cgroup.on_nodes(tree, f"{MOUNT}/a.slice") == {0: 4097, 2: 8192}
    with pytest.raises(Gone):
        cgroup.on_nodes(tree, f"{MOUNT}/b.slice")
