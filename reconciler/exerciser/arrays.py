"""Arrays of memory: each a mapping of its own, 2 MiB aligned, that can grow in its place, and be given back."""

import contextlib
import ctypes
import os
import time

from reconciler import exercise
from reconciler.exerciser.windows import Span, whole

CHUNK = 1 << 20  # whole ranges are copied in pieces of this size
ROOM = 8  # a growing array has address space for so many times its first size

_scratch = ctypes.create_string_buffer(CHUNK)
_random = ctypes.create_string_buffer(os.urandom(2 * CHUNK))


class Array:
    """`start` to `start + size`, whole pages; of a file that is its own if it has a path, else anonymous and filled."""

    def __init__(self, size: int, *, path: str = "", hugepages: str = "inherit", grows: bool = False) -> None:
        size = whole((0, size), exercise.PAGE)[1]
        most = size * ROOM if grows else size
        self._reserved = most + 2 * exercise.ALIGN
        self._raw = exercise.reserve(self._reserved)
        self.start, self.size, self.most = exercise.aligned(self._raw), 0, most
        self._advice, self._path = exercise.ADVICE.get(hugepages), path
        self._made = bool(path) and exercise.make_file(path, size)
        if path:
            exercise.map_file(path, self.start, self.start + size, writable=True)
            self.size = size
        else:
            self.grow(size)

    @property
    def end(self) -> int:
        return self.start + self.size

    def grow(self, more: int) -> Span:
        """The addresses that were added; a new mapping beside an old one of the same kind is one with it."""
        low, high = self.end, min(self.end + whole((0, more), exercise.PAGE)[1], self.start + self.most)
        if low < high:
            exercise.map_anonymous(low, high, self._advice)
            self.size += high - low
        return low, high

    def read(self, span: Span) -> None:
        """One byte of every page."""
        exercise.read_pages(self.start + span[0], self.start + span[1])

    def write(self, span: Span) -> None:
        exercise.write_pages(self.start + span[0], self.start + span[1])

    def read_bytes(self, span: Span) -> None:
        """Every byte."""
        for low in range(*span, CHUNK):
            ctypes.memmove(_scratch, self.start + low, min(CHUNK, span[1] - low))

    def write_bytes(self, span: Span) -> None:
        """Random bytes, other ones each time: same bytes would compress well."""
        source = ctypes.addressof(_random) + time.monotonic_ns() % CHUNK
        for low in range(*span, CHUNK):
            ctypes.memmove(self.start + low, source, min(CHUNK, span[1] - low))

    def free(self) -> None:
        exercise.libc.munmap(self._raw, self._reserved)
        self.remove_file()

    def remove_file(self) -> None:
        """If it was made here."""
        if self._made:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
