"""memory.reclaim and the figures around it, on the fake kernel and on plain files."""

import errno
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from sysfs import errors, reclaim
from sysfs.reclaim import Sample
from sysfs.tree import Tree
from tests.kernel.fake import MOUNT, FakeKernel

GROUP = "/sys/fs/cgroup/a"
STAT = """\
anon 900
inactive_anon 4096
active_anon 8192
inactive_file 16384
active_file 32768
unevictable 5
shmem 77
file_dirty 3
file_writeback 4
workingset_refault_anon 2
workingset_refault_file 3
workingset_activate_file 4
workingset_restore_anon 1
pgscan 10
pgsteal 9
"""


def put(root: Path, **files: str) -> Tree:
    folder = root / GROUP[1:]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return Tree(root)


def test_a_sample(tmp_path: Path) -> None:
    files = {"memory_min": "0\n", "memory_low": "5000\n", "memory_high": "70000\n", "memory_swap.current": "12288\n"}
    tree = put(tmp_path, memory_current="61440\n", memory_stat=STAT, **files)

    assert reclaim.read(tree, GROUP, 4096) == Sample(
        usage=61440,
        swap=12288,
        anon=12288,
        file=49152,
        inactive_file=16384,
        dirty=7,
        shmem=77,
        unevictable=5,
        protected=5000,
        high=70000,
        refaulted=5 * 4096,
        activated=4 * 4096,
        restored=4096,
        scanned=10 * 4096,
        stolen=9 * 4096,
    )


@pytest.mark.parametrize(("low", "high", "protected", "limit"), [("max", "max", (1 << 63) - 1, None), ("0", "0", 0, 0)])
def test_limits_without_a_number(tmp_path: Path, low: str, high: str, protected: int, limit: int | None) -> None:
    tree = put(tmp_path, memory_current="1", memory_stat="", memory_low=low, memory_high=high)
    found = reclaim.read(tree, GROUP, 4096)

    assert (found.protected, found.high) == (protected, limit)


def test_old_kernels_count_refaults_of_both_kinds_together(tmp_path: Path) -> None:
    tree = put(tmp_path, memory_current="1", memory_stat="workingset_refault 7\n")

    assert reclaim.read(tree, GROUP, 4096).refaulted == 7 * 4096


def test_the_peak(tmp_path: Path) -> None:
    assert reclaim.peak(put(tmp_path), GROUP) is None
    assert reclaim.peak(put(tmp_path, memory_peak="123\n"), GROUP) == 123


def test_without_a_cgroup(tmp_path: Path) -> None:
    with pytest.raises(errors.Gone):
        reclaim.read(Tree(tmp_path), GROUP, 4096)
    with pytest.raises(errors.Gone):
        reclaim.take(Tree(tmp_path), GROUP, 4096)


def test_a_cgroup_without_the_controller(tmp_path: Path) -> None:
    with pytest.raises(errors.Unsupported, match="no memory controller"):
        reclaim.read(put(tmp_path), GROUP, 4096)


def test_an_old_kernel_is_told_from_a_cgroup_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(errors.Unsupported, match=r"Linux 5\.19"):
        reclaim.take(put(tmp_path), GROUP, 4096)


@pytest.mark.parametrize(("swappiness", "words"), [(None, "8192"), (0, "8192 swappiness=0")])
def test_words_of_a_request(tmp_path: Path, swappiness: int | None, words: str) -> None:
    tree = put(tmp_path, memory_reclaim="")

    assert reclaim.take(tree, GROUP, 8192, swappiness)
    assert tree.read(f"{GROUP}/memory.reclaim") == words


@pytest.fixture
def kernel(fs: FakeFilesystem) -> FakeKernel:
    made = FakeKernel(fs, swap=1 << 30)
    made.cgroup("/a")
    made.process(7, "/a", anon=8 << 20, file=8 << 20)
    return made


@pytest.mark.parametrize(("size", "whole", "left"), [(1 << 20, True, 15 << 20), (20 << 20, False, 0)])
def test_less_than_asked_for_is_normal(kernel: FakeKernel, size: int, whole: bool, left: int) -> None:
    assert reclaim.take(kernel.tree, MOUNT + "/a", size) is whole
    assert kernel.usage("/a") == left


@pytest.mark.parametrize(("number", "works"), [(errno.EINVAL, False), (0, True)])
def test_swappiness_is_asked_for_with_nothing(kernel: FakeKernel, number: int, works: bool) -> None:
    if number:
        kernel.fail("/a", "memory.reclaim", number)

    assert reclaim.takes_swappiness(kernel.tree, MOUNT + "/a") is works
    assert kernel.usage("/a") == 16 << 20


@pytest.mark.parametrize(("number", "kind"), [(errno.EINTR, errors.Busy), (errno.EACCES, errors.Refused)])
def test_other_answers_are_errors(kernel: FakeKernel, number: int, kind: type[errors.KernelError]) -> None:
    kernel.fail("/a", "memory.reclaim", number)

    with pytest.raises(kind):
        reclaim.take(kernel.tree, MOUNT + "/a", 4096)


@pytest.mark.parametrize(("text", "expected"), [("100\n", 100), ("", 60), (None, 60)])
def test_the_kernels_swappiness(tmp_path: Path, text: str | None, expected: int) -> None:
    if text is not None:
        (tmp_path / "proc/sys/vm").mkdir(parents=True)
        (tmp_path / "proc/sys/vm/swappiness").write_text(text)

    assert reclaim.swappiness(Tree(tmp_path)) == expected
