"""The idle page bitmap: one bit a physical page (Documentation/admin-guide/mm/idle_page_tracking.rst).

Writing ones marks pages idle, an access clears the mark. Only pages on an LRU list carry it, and of a huge page or
large folio only its head: /proc/kpageflags says where the head of a tail is. Bits of pages that are not asked about
are never written, because a neighbour may belong to somebody else who is waiting for it.
"""

import os
from collections.abc import Iterator
from itertools import pairwise
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sysfs import errors
from sysfs.tree import Tree

BITMAP, FLAGS = "/sys/kernel/mm/page_idle/bitmap", "/proc/kpageflags"
_LRU, _TAIL = np.uint64(1 << 5), np.uint64(1 << 16)
_SMALL_BLOCK = 16  # pages; folios are naturally aligned, and most are no longer than this
_AT_ONCE = 1 << 15  # pages whose flags are held at a time while heads are looked for
# Where memory does not end with a whole word of the bitmap, the kernel takes marks for the last pages but never shows
# them: nobody can say that they were accessed.
_UNKNOWN, _NOTHING = np.uint64(2**64 - 1), np.uint64(0)
_GAP = 8  # unwanted words that are cheaper to read than another system call

Pages = NDArray[np.uint64]


class PageIdle:
    """The bitmap and the page flags, open."""

    def __init__(self, tree: Tree, page_size: int = 4096) -> None:
        self._block = page_size // 8  # pages of the longest folio: what a page of page table entries maps
        self._bitmap = tree.open(BITMAP, write=True)
        try:
            self._flags = tree.open(FLAGS)
        except errors.KernelError:
            self._bitmap.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bitmap.close()
        self._flags.close()

    def accessed(self, pages: Pages) -> tuple[NDArray[np.bool_], Pages]:
        """For each page whether it was accessed; of those that were, the page (head) that carries the mark."""
        found = ~self._idle(pages)
        heads, on_lru = self._heads(pages[found])
        others = heads != pages[found]
        truly = on_lru.copy()
        truly[others] &= ~self._idle(heads[others])
        found[found] = truly
        return found, heads[truly]

    def marked(self, pages: Pages) -> NDArray[np.bool_]:
        """Which pages' marks stand now, their own or, of tails, their heads'. Pages off the lists carry none."""
        found = self._idle(pages)
        others = np.flatnonzero(~found)
        heads, on_lru = self._heads(pages[others])
        found[others] = on_lru & (heads != pages[others])
        tails = others[found[others]]
        found[tails] = self._idle(heads[found[others]])
        return found

    def mark(self, pages: Pages) -> None:
        """Mark pages idle; marks on tails and on pages off the lists are ignored by the kernel."""
        words, values = _words(np.unique(pages))
        for first, last in _together(words, gap=0):
            _write(self._bitmap.fileno(), values[first:last].tobytes(), int(words[first]) * 8)

    def mark_heads(self, pages: Pages) -> None:
        """Mark pages, and for tails their heads."""
        heads, on_lru = self._heads(pages)
        self.mark(heads[on_lru])

    def _idle(self, pages: Pages) -> NDArray[np.bool_]:
        words = pages >> np.uint64(6)
        bits = np.uint64(1) << (pages & np.uint64(63))
        idle: NDArray[np.bool_] = (self._gather(self._bitmap.fileno(), words, beyond=_UNKNOWN) & bits) != 0
        return idle

    def _heads(self, pages: Pages) -> tuple[Pages, NDArray[np.bool_]]:
        """Each page's head (itself, if it is no tail), and whether that is on an LRU list."""
        mine, back = np.unique(pages, return_inverse=True)
        heads, flags = self._resolve(mine, self._gather(self._flags.fileno(), mine))
        return heads[back], (flags[back] & _LRU) != 0

    def _resolve(self, pages: Pages, flags: Pages) -> tuple[Pages, Pages]:
        """Heads of sorted pages: mostly they are among them, else ever larger surroundings are read."""
        index = np.arange(len(pages))
        nearest = _before(flags)
        beside = (pages - pages[nearest]).astype(np.int64) == index - nearest  # nothing is missing in between
        found = ((flags[nearest] & _TAIL) == 0) & beside
        heads, flags = pages[nearest], flags[nearest]
        for size in (_SMALL_BLOCK, self._block):
            missing = np.flatnonzero(~found)
            for some in _by_blocks(missing, pages, size):
                heads[some], flags[some] = self._within_blocks(pages[some], size)
            found[missing] = (flags[missing] & _TAIL) == 0
        return heads, flags

    def _within_blocks(self, pages: Pages, size: int) -> tuple[Pages, Pages]:
        """The nearest page before each that is no tail, or its block's first page if all are."""
        blocks = np.unique(pages // np.uint64(size))
        around = np.add.outer(blocks * np.uint64(size), np.arange(size).astype(np.uint64)).ravel()
        flags = self._gather(self._flags.fileno(), around).reshape(-1, size)
        row, column = np.searchsorted(blocks, pages // np.uint64(size)), (pages % np.uint64(size)).astype(np.intp)
        head = _before(flags)[row, column]
        return blocks[row] * np.uint64(size) + head.astype(np.uint64), flags[row, head]

    def _gather(self, descriptor: int, words: Pages, beyond: np.uint64 = _NOTHING) -> Pages:
        """The 64-bit words with these indexes, read in runs; `beyond` is what lies beyond the end of the file."""
        wanted, back = np.unique(words, return_inverse=True)
        values = np.full(len(wanted), beyond, np.uint64)
        for first, last in _together(wanted, _GAP):
            start = int(wanted[first])
            data = np.frombuffer(_read(descriptor, (int(wanted[last - 1]) - start + 1) * 8, start * 8), np.uint64)
            index = (wanted[first:last] - np.uint64(start)).astype(np.intp)
            within = index < len(data)
            values[first:last][within] = data[index[within]]
        return values[back]


def is_idle(tree: Tree, frame: int) -> bool:
    """Whether one page frame carries the mark; tails of huge pages never do."""
    with tree.open(BITMAP) as bitmap:
        data = _read(bitmap.fileno(), 8, _word_at(frame))
    if len(data) < 8:
        raise errors.Gone(None, f"no page frame {frame} on this machine", BITMAP)
    return bool(int.from_bytes(data, "little") >> (frame & 63) & 1)


def mark_one(tree: Tree, frame: int) -> None:
    """Mark one page frame idle, and none of its neighbours."""
    with tree.open(BITMAP, write=True) as bitmap:
        _write(bitmap.fileno(), (1 << (frame & 63)).to_bytes(8, "little"), _word_at(frame))


def _word_at(frame: int) -> int:
    """The offset of a frame's word in the bitmap."""
    return frame >> 6 << 3


def _by_blocks(index: NDArray[np.intp], pages: Pages, size: int) -> list[NDArray[np.intp]]:
    """Sorted pages in groups of so many blocks that their flags are not too many; a block is in one group only."""
    if not len(index):
        return []
    _, block = np.unique(pages[index] // np.uint64(size), return_inverse=True)
    group = block // (_AT_ONCE // size)
    return np.split(index, np.flatnonzero(np.diff(group)) + 1)


def _before(flags: Pages) -> NDArray[np.intp]:
    """For each page the index (in its row) of the nearest one up to it that is no tail, 0 if there is none."""
    index = np.where((flags & _TAIL) == 0, np.arange(flags.shape[-1]), 0)
    result: NDArray[np.intp] = np.maximum.accumulate(index, axis=-1)
    return result


def _words(pages: Pages) -> tuple[Pages, Pages]:
    """Bitmap words of sorted pages, with exactly their bits set."""
    words, first = np.unique(pages >> np.uint64(6), return_index=True)
    if not len(words):
        return words, words
    return words, np.bitwise_or.reduceat(np.uint64(1) << (pages & np.uint64(63)), first)


def _together(sorted_words: Pages, gap: int) -> Iterator[tuple[int, int]]:
    """Index ranges of words that lie next to each other, give or take `gap`, and at most 64 Ki words long."""
    if not len(sorted_words):
        return
    far = np.flatnonzero(np.diff(sorted_words) > gap + 1) + 1
    edges = [0, *far.tolist(), len(sorted_words)]
    for first, last in pairwise(edges):
        yield from ((at, min(at + 65536, last)) for at in range(first, last, 65536))


def _read(descriptor: int, size: int, offset: int) -> bytes:
    """Whole words; sysfs answers one page at a time, and nothing beyond the end of memory."""
    pieces, done = [], 0
    try:
        while done < size and (more := os.pread(descriptor, size - done, offset + done)):
            pieces.append(more)
            done += len(more)
    except OSError as error:
        raise errors.of(error, BITMAP) from error
    return b"".join(pieces)[: done // 8 * 8]


def _write(descriptor: int, data: bytes, offset: int) -> None:
    try:
        while data and (written := os.pwrite(descriptor, data, offset)):  # 0: it took the last word, which is not whole
            data, offset = data[written:], offset + written
    except OSError as error:
        raise errors.of(error, BITMAP) from error
