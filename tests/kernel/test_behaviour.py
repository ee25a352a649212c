"""One table of writes and what the kernel makes of them, asked of the fake and, where possible, of the real kernel."""

import errno
import os
from collections.abc import Iterator

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from sysfs import cgroup
from sysfs.errors import KernelError
from sysfs.tree import Tree
from tests.kernel.fake import MOUNT, FakeKernel

PAGE = os.sysconf("SC_PAGE_SIZE")
# file, what is written, what is shown afterwards or the errno
WRITES = [
    ("memory.max", "max", "max"),
    ("memory.max", "max\n", "max"),
    ("memory.max", "67108864", "67108864"),
    ("memory.max", f"{64 * PAGE + 1}", f"{64 * PAGE}"),
    ("memory.max", "64M", "67108864"),
    ("memory.max", "64m\n", "67108864"),
    ("memory.max", " 1G ", "1073741824"),
    ("memory.max", "0x4000000", "67108864"),
    ("memory.max", "64MiB", errno.EINVAL),
    ("memory.max", "64MB", errno.EINVAL),
    ("memory.max", "-1", errno.EINVAL),
    ("memory.max", "50%", errno.EINVAL),
    ("memory.max", "1.5G", errno.EINVAL),
    ("memory.max", "Max", errno.EINVAL),
    ("memory.max", "garbage", errno.EINVAL),
    ("memory.max", "9223372036854775807", "max"),
    ("memory.max", "8388608T", "max"),
    ("memory.max", "4503599627370495", f"{4503599627370495 // PAGE * PAGE}"),
    ("memory.high", "64M", "67108864"),
    ("memory.high", "\n", "0"),
    ("memory.low", f"{PAGE - 1}", "0"),
    ("memory.min", "1M", "1048576"),
    ("memory.swap.max", "0", "0"),
    ("memory.swap.max", "max", "max"),
    ("memory.swap.high", "64M", "67108864"),
    ("memory.oom.group", "1", "1"),
    ("memory.oom.group", "0\n", "0"),
    ("memory.oom.group", "2", errno.EINVAL),
    ("memory.oom.group", "max", errno.EINVAL),
    ("memory.oom.group", "true", errno.EINVAL),
    ("memory.zswap.max", "0", "0"),
    ("memory.zswap.writeback", "0", "0"),
    ("memory.zswap.writeback", "64M", errno.EINVAL),
    ("memory.current", "0", errno.EINVAL),
    ("memory.events", "0", errno.EINVAL),
    ("memory.reclaim", "garbage", errno.EINVAL),
    ("memory.reclaim", "0", None),
    ("memory.nonsense", "0", errno.ENOENT),
    ("cgroup.procs", "4194305", errno.ESRCH),
    ("cgroup.subtree_control", "+nonsense", errno.EINVAL),
]
FRESH = {
    "memory.min": "0",
    "memory.low": "0",
    "memory.high": "max",
    "memory.max": "max",
    "memory.swap.high": "max",
    "memory.swap.max": "max",
    "memory.zswap.max": "max",
    "memory.zswap.writeback": "1",
    "memory.oom.group": "0",
    "memory.current": "0",
    "memory.swap.current": "0",
}
NOT_ON_THE_ROOT = ("memory.max", "memory.current", "memory.swap.max", "cgroup.events", "memory.oom.group")
Place = tuple[Tree, str]


@pytest.fixture
def fake(fs: FakeFilesystem) -> Place:
    kernel = FakeKernel(fs)
    return kernel.tree, MOUNT + kernel.cgroup("/ebbtide-test")


@pytest.fixture
def real() -> Iterator[Place]:
    tree = Tree()
    mount = cgroup.mount(tree)
    if not mount or os.geteuid() != 0:
        pytest.skip("needs root and cgroup v2 with a memory controller")
    tree.write(mount + "/cgroup.subtree_control", "+memory")
    directory = f"{mount}/ebbtide-test-{os.getpid()}"
    os.mkdir(directory)
    yield tree, directory
    os.rmdir(directory)


def answer(place: Place, name: str, text: str) -> str | int | None:
    tree, directory = place
    try:
        tree.write(f"{directory}/{name}", text)
        return None if name == "memory.reclaim" else tree.read(f"{directory}/{name}").strip()
    except KernelError as error:
        return error.errno


def check(place: Place) -> None:
    """All of the table at once, so that a real kernel needs one cgroup for it."""
    tree, directory = place
    exists = {name for name, _, _ in WRITES if tree.exists(f"{directory}/{name}")}
    asked = [row for row in WRITES if row[0] in exists or not row[0].startswith("memory.zswap")]

    assert [(name, text, answer(place, name, text)) for name, text, _ in asked] == asked


def check_fresh(place: Place) -> None:
    tree, directory = place
    there = {name: value for name, value in FRESH.items() if tree.exists(f"{directory}/{name}")}
    root = directory.rpartition("/")[0]

    assert {name: tree.read(f"{directory}/{name}").strip() for name in there} == there
    assert "memory.max" in there
    assert [name for name in NOT_ON_THE_ROOT if tree.exists(f"{root}/{name}")] == []
    assert tree.read(directory + "/cgroup.events") == "populated 0\nfrozen 0\n"
    with pytest.raises(KernelError) as caught:
        tree.read(directory + "/memory.reclaim")
    assert caught.value.errno == errno.EINVAL


def test_fake_writes(fake: Place) -> None:
    check(fake)


def test_real_writes(real: Place) -> None:
    check(real)


def test_fake_is_fresh(fake: Place) -> None:
    check_fresh(fake)


def test_real_is_fresh(real: Place) -> None:
    check_fresh(real)
