"""move_pages(2): statuses after the kernel gave up, and what it says on the running kernel."""

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from sysfs import errors, numa, process
from sysfs.move_pages import MovePages
from sysfs.process_memory import ProcessMemory
from sysfs.tree import Tree
from tests.engine.fake_process import BASE, PAGE, FakeKernel, FakeProcess


def addresses(*pages: int) -> NDArray[np.uint64]:
    return np.uint64(BASE) + np.array(pages, np.uint64) * np.uint64(PAGE)


@pytest.fixture
def moved(kernel: FakeKernel) -> MovePages:
    kernel.nodes.add(0, 1000, (10,), cpu=True)
    kernel.nodes.add(1, 1000, (20, 10))
    process = FakeProcess(kernel.root, 50).map(0, 4096).present(0, 100).present(50, 52, bits=0)
    kernel.add(process)
    return kernel.doors.pages(50)


def test_pages_move_and_say_where_they_are(kernel: FakeKernel, moved: MovePages) -> None:
    assert moved.move(addresses(*range(40)), 1).tolist() == [1] * 40
    assert moved.locate(addresses(39, 40, 200)).tolist() == [1, 0, -errno.ENOENT]


def test_every_page_has_its_own_status(kernel: FakeKernel, moved: MovePages) -> None:
    kernel.nodes.busy[3] = 1

    assert moved.move(addresses(1, 3, 50, 200, 5), 1).tolist() == [1, -errno.EBUSY, -errno.EACCES, -errno.ENOENT, 1]


def test_pages_behind_one_that_does_not_move_are_tried_all_the_same(kernel: FakeKernel, moved: MovePages) -> None:
    """The kernel gives up there: it neither says what became of the batch nor looks at the rest."""
    kernel.nodes.pinned = {4, 61}
    status = moved.move(addresses(2, 3, 4, 5, 50, 60, 61, 51, 70), 1).tolist()
    busy, shared = -errno.EBUSY, -errno.EACCES

    assert status == [1, 1, busy, 1, shared, 1, busy, shared, 1]
    assert moved.locate(addresses(4, 61, 70)).tolist() == [0, 0, 1]


def test_a_node_that_is_full(kernel: FakeKernel, moved: MovePages) -> None:
    kernel.nodes.add(2, 3, (20, 20, 10))
    full = -errno.ENOMEM

    assert moved.move(addresses(*range(6)), 2).tolist() == [2, 2, 2, full, full, full]


def test_more_pages_than_one_call_takes(kernel: FakeKernel) -> None:
    kernel.nodes.add(0, 100_000, (10,))
    kernel.nodes.add(1, 100_000, (20, 10))
    number = 40_000
    process = FakeProcess(kernel.root, 50, pages=np.zeros(number, np.uint64)).map(0, number).present(0, number)
    kernel.add(process)
    kernel.nodes.pinned = {20_000}
    status = kernel.doors.pages(50).move(addresses(*range(number)), 1)

    assert np.flatnonzero(status != 1).tolist() == [20_000]
    assert max(pages for _, pages, _ in kernel.nodes.calls) < number


def test_errors_of_the_whole_call(kernel: FakeKernel, moved: MovePages) -> None:
    with pytest.raises(errors.Rejected, match="node 9 is not online or has no memory"):
        moved.move(addresses(1), 9)
    kernel.processes[50].allowed = "0"
    with pytest.raises(errors.Refused, match="cpuset does not allow node 1"):
        moved.move(addresses(1), 1)
    kernel.processes[50].exit()
    with pytest.raises(errors.Gone):
        moved.locate(addresses(1))


# -- on the running kernel -------------------------------------------------------------------------------------------


@pytest.fixture
def own() -> Iterator[NDArray[np.uint64]]:
    """Addresses of eight pages of ours: the last two were never touched."""
    with mmap.mmap(-1, 8 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory[: 6 * mmap.PAGESIZE] = b"x" * 6 * mmap.PAGESIZE
        view = ctypes.c_char.from_buffer(memory)
        start = ctypes.addressof(view)
        del view
        yield np.arange(start, start + 8 * mmap.PAGESIZE, mmap.PAGESIZE).astype(np.uint64)


def ours() -> MovePages:
    try:
        MovePages(os.getpid()).locate(np.empty(0, np.uint64))
    except errors.Unsupported as error:
        pytest.skip(f"no move_pages here: {error}")
    return MovePages(os.getpid())


def test_this_kernel_says_where_pages_are(own: NDArray[np.uint64]) -> None:
    status = ours().locate(own)
    here = {node.number for node in numa.memory(Tree("/"))} or {0}

    assert set(status[:6].tolist()) <= here
    assert set(status[6:].tolist()) <= {-errno.ENOENT, -errno.EFAULT}


def test_moving_to_where_they_are_changes_nothing(own: NDArray[np.uint64]) -> None:
    pages = ours()
    node = int(pages.locate(own)[0])
    before = pages.locate(own[:6])
    status = pages.move(own, node)

    assert status[:6][before == node].tolist() == before[before == node].tolist()
    assert (status[6:] < 0).all()
    assert pages.locate(own[:6])[before == node].tolist() == before[before == node].tolist()


def test_this_kernel_refuses_a_node_that_it_has_not(own: NDArray[np.uint64]) -> None:
    with pytest.raises(errors.Rejected, match="node 1000 is not online"):
        ours().move(own, 1000)


def test_this_kernel_does_not_move_pages_of_nobody(own: NDArray[np.uint64]) -> None:
    with pytest.raises(errors.Gone):
        MovePages(2**22 + 1).locate(own)


def test_our_memory_is_allowed_somewhere() -> None:
    allowed = process.memory_nodes(Tree("/"), os.getpid())

    assert allowed >= {node.number for node in numa.memory(Tree("/"))} or allowed


def test_touching_passes_over_holes(own: NDArray[np.uint64]) -> None:
    """The address space below has nothing mapped; what is behind it is read all the same."""
    with ProcessMemory(Tree("/"), os.getpid(), mmap.PAGESIZE) as memory:
        memory.touch(0, 4 * mmap.PAGESIZE)
        memory.touch(int(own[6]), int(own[7]) + mmap.PAGESIZE)
