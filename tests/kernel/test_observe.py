"""What observe() sees of a kernel, also of one that changes while it is looked at."""

import errno

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler import observe
from reconciler.actions import BaselineEntry
from reconciler.model import Knob, ObservedWorkload
from tests.kernel.fake import MOUNT, FakeKernel
from tests.kernel.faults import FaultyTree, First


@pytest.fixture
def kernel(fs: FakeFilesystem) -> FakeKernel:
    kernel = FakeKernel(fs, swap=1 << 20, lacks=("memory.zswap.max", "memory.zswap.writeback"))
    kernel.process(70, kernel.cgroup("/pods/one", memory_max="64M"), anon=8192)
    return kernel


def entry(path: str, knob: Knob) -> dict[tuple[str, Knob], BaselineEntry]:
    old = BaselineEntry(workload="w", cgroup=path, inode=9, knob=knob, original="max", written="0")
    return {(path, knob): old}


def test_all_knobs_that_exist(kernel: FakeKernel) -> None:
    kernel.page_out(70, 4096)
    seen = observe.observe(kernel.tree, kernel.features(), {"w": "/pods/one"}, {})

    assert (seen.swap_total_bytes, seen.swap_free_bytes) == (1 << 20, (1 << 20) - 4096)
    assert seen.workloads["w"] == ObservedWorkload(
        inode=kernel.tree.inode(MOUNT + "/pods/one"),
        knobs={
            "memory.min": "0",
            "memory.low": "0",
            "memory.high": "max",
            "memory.max": "67108864",
            "memory.swap.high": "max",
            "memory.swap.max": "max",
            "memory.oom.group": "0",
        },
        populated=True,
        usage_bytes=4096,
        swap_bytes=4096,
    )


def test_only_what_was_asked_for_and_what_was_written(kernel: FakeKernel) -> None:
    baseline = entry("/pods/one", Knob.SWAP_MAX)
    seen = observe.observe(kernel.tree, kernel.features(), {"w": "/pods/one"}, baseline, {"w": [Knob.MEMORY_HIGH]})

    assert seen.workloads["w"].knobs == {"memory.high": "max", "memory.swap.max": "max"}
    assert seen.strays == {}


def test_strays_are_what_only_the_baseline_knows(kernel: FakeKernel) -> None:
    kernel.cgroup("/old", memory_swap_max="0")
    baseline = {**entry("/old", Knob.SWAP_MAX), **entry("/gone", Knob.MEMORY_HIGH)}
    seen = observe.observe(kernel.tree, kernel.features(), {"w": "/pods/one"}, baseline)

    assert seen.strays["/old"].knobs == {"memory.swap.max": "0"}
    assert seen.strays["/old"].inode == kernel.tree.inode(MOUNT + "/old")
    assert not seen.strays["/old"].populated
    assert seen.strays["/gone"] == ObservedWorkload(inode=0, populated=False)


def test_an_unreadable_knob_is_said(kernel: FakeKernel) -> None:
    kernel.fail("/pods/one", "memory.max", errno.EIO)
    kernel.fail("/pods/one", "cgroup.events", errno.EIO)
    seen = observe.observe(kernel.tree, kernel.features(), {"w": "/pods/one"}, {}).workloads["w"]

    assert list(seen.unreadable) == ["memory.max"]
    assert seen.populated


def test_a_cgroup_that_is_made_again_while_we_look_is_gone(kernel: FakeKernel) -> None:
    def again() -> None:
        kernel.kill("/pods/one")
        kernel.cgroup("/pods/one")

    tree = FaultyTree(kernel.tree, {-3: First(again)})
    seen = observe.observe(tree, kernel.features(), {"w": "/pods/one"}, {})

    assert seen.workloads["w"].inode == 0


@pytest.mark.parametrize("read", range(-1, -14, -1))
def test_a_cgroup_may_vanish_at_any_moment(kernel: FakeKernel, read: int) -> None:
    tree = FaultyTree(kernel.tree, {read: First(lambda: kernel.kill("/pods/one"))})
    seen = observe.observe(tree, kernel.features(), {"w": "/pods/one"}, {}).workloads["w"]

    assert (seen.inode == 0) == bool(kernel.groups.get("/pods/one") is None)
