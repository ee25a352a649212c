"""/proc/PID/mem: reading a page there brings it into memory, as if the process itself had touched it (proc(5))."""

import errno
import os
from types import TracebackType
from typing import Self

from sysfs import errors
from sysfs.tree import Tree

_CHUNK = 256 << 10
_HOLES = {errno.EIO, errno.EFAULT}  # not mapped, not readable, or swap could not give it back


class ProcessMemory:
    """It belongs to the memory that the process had when this was opened."""

    def __init__(self, tree: Tree, pid: int, page_size: int = 4096) -> None:
        self.path = f"/proc/{pid}/mem"
        self._page_size = page_size
        self._file = tree.open(self.path)
        self._buffer = memoryview(bytearray(_CHUNK))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def touch(self, start: int, end: int) -> None:
        """Read every page from `start` to `end`; pages that cannot be read are passed over."""
        at = start
        while at < end:
            got = self._read(at, min(_CHUNK, end - at))
            at += max(got - got % self._page_size, self._page_size)

    def _read(self, at: int, size: int) -> int:
        try:
            return os.preadv(self._file.fileno(), [self._buffer[:size]], at)
        except OSError as error:
            if error.errno in _HOLES:
                return 0
            raise errors.of(error, self.path) from error
