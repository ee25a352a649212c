"""The fake kernel itself: what it refuses, how it reacts, and that faults come where they were ordered."""

import errno
import os

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from sysfs import cgroup, pressure, process, swap
from sysfs.errors import Busy, Gone, KernelError, Rejected
from sysfs.tree import Tree
from tests.kernel.fake import MOUNT, FakeKernel
from tests.kernel.fake_damon import ADMIN, STAT, FakeDamon
from tests.kernel.faults import Dies, Fails, FaultyTree, First, Killed
from tests.kernel.state import Write

MIB = 1 << 20


@pytest.fixture
def kernel(fs: FakeFilesystem) -> FakeKernel:
    return FakeKernel(fs, swap=64 * MIB)


def test_what_the_code_under_test_sees(kernel: FakeKernel) -> None:
    path = kernel.cgroup("/pods/one", memory_max="64M")
    kernel.process(70, path, anon=MIB, file=MIB, comm="a (b)")
    kernel.page_out(70, MIB // 2)
    kernel.stall(path, 5, 2)
    directory = MOUNT + path

    assert cgroup.mount(kernel.tree) == MOUNT
    assert cgroup.knob_names(kernel.tree, MOUNT) >= {"memory.max", "memory.swap.max"}
    assert cgroup.processes(kernel.tree, MOUNT + "/pods") == (70,)
    assert cgroup.path_of_process(kernel.tree, 70) == path
    assert cgroup.usage_bytes(kernel.tree, directory) == MIB * 3 // 2
    assert cgroup.swap_bytes(kernel.tree, MOUNT + "/pods") == MIB // 2
    assert cgroup.populated(kernel.tree, MOUNT + "/pods")
    assert cgroup.limits(kernel.tree, directory).memory_bytes == 64 * MIB
    assert pressure.read(kernel.tree, MOUNT + "/pods/memory.pressure") == pressure.Pressure(some_us=5, full_us=2)
    assert swap.read(kernel.tree).free_bytes == 64 * MIB - MIB // 2
    assert process.facts(kernel.tree, 70).comm == "a (b)"
    assert process.status(kernel.tree, 70)["VmSwap"] == MIB // 2


def test_writes_are_written_down_and_refused_ones_change_nothing(kernel: FakeKernel) -> None:
    path = kernel.cgroup("/a", memory_high="1M")
    kernel.tree.write(MOUNT + "/a/memory.high", "4097")
    with pytest.raises(Rejected):
        kernel.tree.write(MOUNT + "/a/memory.high", "lots")

    assert kernel.knob(path, "memory.high") == "4096"
    assert kernel.writes == [
        Write(f"{MOUNT}/a/memory.high", "4097"),
        Write(f"{MOUNT}/a/memory.high", "lots", errno.EINVAL),
    ]


def test_any_other_door_meets_the_same_kernel(kernel: FakeKernel) -> None:
    """Verbs of the command line make a Tree of their own."""
    kernel.cgroup("/a", memory_high="1048576")
    tree = Tree(kernel.root)
    tree.write(MOUNT + "/a/memory.high", "7")
    assert kernel.knob("/a", "memory.high") == "0"
    tree.write(MOUNT + "/a/memory.high", "9000")
    with pytest.raises(Rejected):
        tree.write(MOUNT + "/a/memory.high", "lots")

    assert tree.read(MOUNT + "/a/memory.high") == "8192\n"


def test_a_cgroup_goes_and_another_takes_its_path(kernel: FakeKernel) -> None:
    kernel.cgroup("/pods/one")
    kernel.process(70, "/pods/one")
    before = kernel.tree.inode(MOUNT + "/pods/one")
    with pytest.raises(OSError, match="busy"):
        kernel.remove("/pods/one")
    kernel.kill("/pods/one")
    with pytest.raises(Gone):
        kernel.tree.read(MOUNT + "/pods/one/memory.max")
    with pytest.raises(Gone):
        process.facts(kernel.tree, 70)
    kernel.cgroup("/pods/one")

    assert kernel.tree.inode(MOUNT + "/pods/one") != before
    assert os.path.isdir(kernel.tree.path(MOUNT + "/pods/one"))


def test_limits_below_the_usage_reclaim(kernel: FakeKernel) -> None:
    path = kernel.cgroup("/a")
    kernel.process(70, path, anon=8 * MIB, file=4 * MIB)
    kernel.tree.write(MOUNT + "/a/memory.high", "6M")

    assert kernel.usage(path) == 6 * MIB
    assert kernel.swapped(path) == 2 * MIB
    assert cgroup.events(kernel.tree, MOUNT + path)["high"] == 1


def test_swap_max_stops_swapping_out(kernel: FakeKernel) -> None:
    path = kernel.cgroup("/a", memory_swap_max="0")
    kernel.process(70, path, anon=8 * MIB)

    assert kernel.page_out(70, MIB) == 0
    with pytest.raises(Busy):
        kernel.tree.write(MOUNT + "/a/memory.reclaim", "1M")
    kernel.set(path, "memory.swap.max", "max")
    kernel.tree.write(MOUNT + "/a/memory.reclaim", "1M")
    assert kernel.swapped(path) == MIB
    kernel.page_in(70, MIB)
    assert cgroup.stat(kernel.tree, MOUNT + path)["workingset_refault_anon"] == 256


def test_impossible_trees_are_refused(kernel: FakeKernel) -> None:
    kernel.cgroup("/pods/one", memory_max="1M", memory_swap_max="1M")

    for pid, path, facts in [
        (70, "/none", {}),
        (70, "/pods", {}),
        (70, "/pods/one", {"anon": 2 * MIB}),
        (70, "/pods/one", {"swap": 2 * MIB}),
    ]:
        with pytest.raises(ValueError, match="impossible"):
            kernel.process(pid, path, **facts)
    kernel.process(70, "/pods/one")
    with pytest.raises(OSError, match="busy"):
        kernel.cgroup("/pods/one/two")


def test_a_kernel_that_lacks_files(fs: FakeFilesystem) -> None:
    kernel = FakeKernel(fs, lacks=("memory.zswap.max", "memory.swap.max", "memory.swap.current"))
    kernel.cgroup("/a")

    assert not kernel.features().knobs & {"memory.zswap.max", "memory.swap.max"}
    assert not kernel.features().works("swap")
    with pytest.raises(Gone):
        kernel.tree.write(MOUNT + "/a/memory.swap.max", "0")


def test_processes_move(kernel: FakeKernel) -> None:
    kernel.cgroup("/a")
    kernel.cgroup("/b")
    kernel.process(70, "/a")
    kernel.tree.write(MOUNT + "/b/cgroup.procs", "70")

    assert cgroup.processes(kernel.tree, MOUNT + "/a") == ()
    assert cgroup.path_of_process(kernel.tree, 70) == "/b"


def test_another_boot(kernel: FakeKernel) -> None:
    boot = kernel.tree.read("/proc/sys/kernel/random/boot_id")
    kernel.process(70, kernel.cgroup("/pods/one"))
    kernel.reboot()

    assert kernel.tree.read("/proc/sys/kernel/random/boot_id") != boot
    assert kernel.tree.folders(MOUNT) == ()
    assert kernel.processes == {}


def test_ordered_errors(kernel: FakeKernel) -> None:
    kernel.cgroup("/a")
    kernel.fail("/a", "memory.max", errno.EIO, times=2)
    with pytest.raises(Busy):
        kernel.tree.read(MOUNT + "/a/memory.max")
    with pytest.raises(Busy):
        kernel.tree.write(MOUNT + "/a/memory.max", "1M")
    kernel.tree.write(MOUNT + "/a/memory.max", "1M")

    assert kernel.knob("/a", "memory.max") == str(MIB)


def test_faults_come_where_they_were_ordered(kernel: FakeKernel) -> None:
    kernel.cgroup("/a")
    high = MOUNT + "/a/memory.high"
    gone = First(lambda: kernel.kill("/a"))
    tree = FaultyTree(kernel.tree, {2: Fails(errno.EBUSY), 3: Dies(), 4: Dies(after=True), 5: gone, -1: Fails(5)})
    with pytest.raises(Busy):
        tree.read(high)
    tree.write(high, "1M")
    with pytest.raises(Busy):
        tree.write(high, "2M")
    with pytest.raises(Killed):
        tree.write(high, "3M")
    assert tree.read(high) == f"{MIB}\n"
    with pytest.raises(Killed):
        tree.write(high, "4M")
    assert kernel.knob("/a", "memory.high") == str(4 * MIB)
    with pytest.raises(Gone):
        tree.write(high, "5M")
    assert (tree.writes, tree.reads) == (5, 2)


@pytest.fixture
def damon(kernel: FakeKernel) -> FakeDamon:
    return FakeDamon(kernel)


def refused(kernel: FakeKernel, path: str, text: str) -> int:
    with pytest.raises(KernelError) as caught:
        kernel.tree.write(path, text)
    return caught.value.errno or 0


def test_kdamonds_are_made_started_and_stopped(kernel: FakeKernel, damon: FakeDamon) -> None:
    kernel.tree.write(f"{ADMIN}/nr_kdamonds", "2")
    state = f"{ADMIN}/1/state"

    assert refused(kernel, state, "off") == errno.EINVAL
    assert refused(kernel, state, "on") == errno.EINVAL
    assert refused(kernel, f"{ADMIN}/1/contexts/nr_contexts", "2") == errno.EINVAL
    kernel.tree.write(f"{ADMIN}/1/contexts/nr_contexts", "1")
    kernel.tree.write(state, "on\n")
    assert kernel.tree.read(state) == "off\n", "vaddr without targets ends at once"
    kernel.tree.write(f"{ADMIN}/1/contexts/0/operations", "paddr")
    kernel.tree.write(state, "on\n")
    assert kernel.tree.read(state) == "on\n"
    assert kernel.tree.read(f"{ADMIN}/1/pid") != "-1\n"
    assert refused(kernel, state, "on") == errno.EBUSY
    assert refused(kernel, f"{ADMIN}/nr_kdamonds", "1") == errno.EBUSY
    assert refused(kernel, STAT, "Y") == errno.EBUSY
    kernel.tree.write(state, "off")
    assert refused(kernel, state, "off") == errno.EPERM
    assert refused(kernel, f"{ADMIN}/nr_kdamonds", "-1") == errno.EINVAL
    kernel.tree.write(f"{ADMIN}/nr_kdamonds", "0")
    assert kernel.tree.folders(ADMIN) == ()


def test_damon_stat_keeps_everybody_out(kernel: FakeKernel, damon: FakeDamon) -> None:
    damon.stat = True
    kernel.tree.write(f"{ADMIN}/nr_kdamonds", "1")
    kernel.tree.write(f"{ADMIN}/0/contexts/nr_contexts", "1")

    assert refused(kernel, f"{ADMIN}/0/state", "on") == errno.EBUSY
    kernel.tree.write(STAT, "N")
    kernel.tree.write(f"{ADMIN}/0/state", "on")


def test_one_lock_for_all_of_damon(kernel: FakeKernel, damon: FakeDamon) -> None:
    damon.foreign()
    damon.in_flight = True

    with pytest.raises(Busy):
        kernel.tree.read(f"{ADMIN}/0/state")
    assert kernel.tree.read(f"{ADMIN}/nr_kdamonds") == "1\n"
    assert kernel.writes == []
