"""Whether pages of mapped files are in memory: mincore(2) over a mapping of our own of the same file.

A page that only lost its mapping (it is absent from pagemap, RSS shrinks) may still be in the page cache: a dirty
file, one that others map, one on tmpfs. The file is reached through /proc/PID/map_files, so that names, namespaces
and deleted files do not matter. Our mapping is never touched: it costs address space only.
"""

import ctypes
import mmap
import os

import numpy as np
from numpy.typing import NDArray

from sysfs import errors
from sysfs.tree import Tree

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]
_FAILED = ctypes.c_void_p(-1).value


def resident(tree: Tree, pid: int, mapping: tuple[int, int], offset: int, size: int) -> NDArray[np.bool_]:
    """For `size` bytes at `offset` of the file mapped at `mapping` (start, end of the VMA): page in memory or not."""
    path = f"/proc/{pid}/map_files/{mapping[0]:x}-{mapping[1]:x}"
    try:
        descriptor = os.open(tree.path(path), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise errors.of(error, path) from error
    try:
        return _mincore(descriptor, offset, size, path)
    finally:
        os.close(descriptor)


def _mincore(descriptor: int, offset: int, size: int, path: str) -> NDArray[np.bool_]:
    address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, offset)
    if address == _FAILED:
        raise _last_error(path)
    try:
        found = np.zeros(-(-size // mmap.PAGESIZE), np.uint8)
        if _libc.mincore(address, size, found.ctypes.data):
            raise _last_error(path)
    finally:
        _libc.munmap(address, size)
    result: NDArray[np.bool_] = (found & 1) != 0
    return result


def _last_error(path: str) -> errors.KernelError:
    code = ctypes.get_errno()
    return errors.of(OSError(code, os.strerror(code)), f"{path} (mincore)")
