"""The idle bitmap: exactly our bits, and the heads of huge pages."""

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sysfs.page_idle import PageIdle
from tests.engine.fake_process import FRAMES, FakeKernel

LRU, HEAD, TAIL = 1 << 5, 1 << 15, 1 << 16


def pages(*numbers: int) -> NDArray[np.uint64]:
    return np.array(numbers, np.uint64)


def flags(folios: dict[int, int], off_list: tuple[int, ...] = ()) -> NDArray[np.uint64]:
    """Page flags with folios (head -> pages) and pages that are on no list."""
    table = np.full(FRAMES, LRU, np.uint64)
    for head, size in folios.items():
        table[head] = LRU | HEAD
        table[head + 1 : head + size] = TAIL
    table[list(off_list)] = 0
    return table


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path)


def test_only_the_bits_of_our_pages_are_written(kernel: FakeKernel) -> None:
    kernel.idle_bitmap()
    mine = pages(3, 64, 65, 127, 4000, 8191)
    with PageIdle(kernel.tree) as idle:
        idle.mark(mine)

    assert kernel.idle() == set(mine.tolist())


def test_accessed_pages_are_found_and_named_for_the_next_round(kernel: FakeKernel) -> None:
    kernel.idle_bitmap()
    mine = pages(*range(100, 200), *range(7000, 7100))
    with PageIdle(kernel.tree) as idle:
        idle.mark(mine)
        kernel.access(150, 160)
        found, again = idle.accessed(mine)

    assert mine[found].tolist() == again.tolist() == list(range(150, 160))


@pytest.mark.parametrize(("head", "size"), [(512, 512), (1024, 16), (1040, 4), (7680, 512)])
def test_a_tail_takes_the_mark_of_its_head(kernel: FakeKernel, head: int, size: int) -> None:
    kernel.idle_bitmap(flags({head: size}))
    mine = np.arange(head, head + size).astype(np.uint64)
    with PageIdle(kernel.tree) as idle:
        idle.mark_heads(mine)
        quiet, _ = idle.accessed(mine)
        assert kernel.idle() == {head}
        kernel.access(head, head + 1)
        used, again = idle.accessed(mine[1:])

    assert not quiet.any()
    assert used.all(), "also a region that holds only tails is in use"
    assert set(again.tolist()) == {head}


@pytest.mark.parametrize(("head", "size"), [(2048, 2048), (4096 + 16, 16)])
def test_larger_pages_have_longer_folios(kernel: FakeKernel, head: int, size: int) -> None:
    """With pages of 16 KiB a huge page is 2048 of them."""
    kernel.idle_bitmap(flags({head: size}))
    with PageIdle(kernel.tree, page_size=16384) as idle:
        idle.mark_heads(pages(head + size - 1))

    assert kernel.idle() == {head}


def test_scattered_tails_need_little_memory(kernel: FakeKernel) -> None:
    """One tail in each of many folios, as the page cache has them: their surroundings are not all held at once."""
    number, size = 2048, 512
    kernel.idle_bitmap()
    table = np.full((number, size), TAIL, np.uint64)
    table[:, 0] = LRU | HEAD
    (kernel.root / "proc/kpageflags").write_bytes(table.tobytes())
    (kernel.root / "sys/kernel/mm/page_idle/bitmap").write_bytes(bytes(number * size // 8))
    heads = np.arange(number).astype(np.uint64) * np.uint64(size)
    with PageIdle(kernel.tree) as idle:
        tracemalloc.start()
        found, again = idle.accessed(heads + np.uint64(size - 1))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert found.all()
    assert again.tolist() == heads.tolist()
    assert peak < table.nbytes


def test_pages_on_no_list_say_nothing(kernel: FakeKernel) -> None:
    kernel.idle_bitmap(flags({}, off_list=(9,)))
    with PageIdle(kernel.tree) as idle:
        found, again = idle.accessed(pages(8, 9))

    assert (found.tolist(), again.tolist()) == ([True, False], [8])


def test_frames_beyond_the_end_of_memory_say_nothing(kernel: FakeKernel) -> None:
    kernel.idle_bitmap()
    with PageIdle(kernel.tree) as idle:
        found, _ = idle.accessed(pages(FRAMES + 1000))

    assert not found.any()


def test_a_mark_stands_until_the_page_is_accessed(kernel: FakeKernel) -> None:
    """Tails look at their heads; a page off the lists carries no mark, so nobody knows that it is idle."""
    kernel.idle_bitmap(flags({512: 4, 1024: 4}, off_list=(30,)))
    mine = pages(29, 30, 31, 512, 513, 515, 1025)
    with PageIdle(kernel.tree) as idle:
        idle.mark(pages(29, 512, 1024))
        kernel.access(1024, 1025)

        assert idle.marked(mine).tolist() == [True, False, False, True, True, True, False]
        assert idle.marked(mine[:0]).tolist() == []


def test_memory_that_ends_within_a_word(kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel handles such a word, and says that it wrote or read nothing."""
    kernel.idle_bitmap()
    path = kernel.root / "sys/kernel/mm/page_idle/bitmap"
    path.write_bytes(path.read_bytes()[:-8])
    whole = FRAMES - 64
    write = os.pwrite

    def written(descriptor: int, data: bytes, offset: int) -> int:
        return write(descriptor, data[: max(whole // 8 - offset, 0)], offset)

    monkeypatch.setattr(os, "pwrite", written)
    with PageIdle(kernel.tree) as idle:
        idle.mark(pages(whole - 70, whole - 1, whole, FRAMES - 1))
        kernel.access(whole - 1, whole)
        found, again = idle.accessed(pages(whole - 70, whole - 1, whole, FRAMES - 1))

    assert found.tolist() == [False, True, False, False]
    assert again.tolist() == [whole - 1]


@pytest.mark.parametrize("missing", [3, 70, 200])
def test_tails_of_idle_huge_pages_find_their_heads(kernel: FakeKernel, missing: int) -> None:
    """The heads are not among the pages that are looked at; many blocks at a time."""
    kernel.idle_bitmap(flags(dict.fromkeys(range(512, FRAMES, 512), 512)))
    heads = range(512, FRAMES, 512)
    mine = pages(*[head + tail for head in heads for tail in range(1, missing)])
    with PageIdle(kernel.tree) as idle:
        idle.mark_heads(mine)
        kernel.access(1024, 1025)
        found, again = idle.accessed(mine)

    assert set((mine[found] // np.uint64(512)).tolist()) == {2}
    assert set(again.tolist()) == {1024}
