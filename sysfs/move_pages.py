"""move_pages(2): on which memory node the pages of a process are, and a wish where they should be.

Every page has a status: the node that it is on (from 0), or a negative errno: -ENOENT (not present), -EFAULT (not
mapped, or the zero page), -EACCES (other processes map it too), -EBUSY (pinned or isolated just now), -ENOMEM (the node
has no room).

The kernel gives up at the first batch of which something could not move, says how many pages are left, and leaves
their statuses alone. So statuses begin as "not said": pages of a batch that failed are asked where they are, and the
rest is asked for again.
"""

import ctypes
import errno
import os
import platform

import numpy as np
from numpy.typing import NDArray

from sysfs import errors

Addresses = NDArray[np.uint64]
Statuses = NDArray[np.int32]

_NUMBER = {"x86_64": 279, "aarch64": 239, "riscv64": 239, "loongarch64": 239}.get(platform.machine(), 0)
_MOVE = 2  # MPOL_MF_MOVE: pages that only this process maps
_CHUNK = 1 << 14  # pages a call
NOT_SAID = np.int32(-(1 << 31))

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class MovePages:
    """Of one process. It is named by its pid only, so compare its identity just before."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.path = f"process {pid} (move_pages)"

    def locate(self, addresses: Addresses) -> Statuses:
        """The node of each page, or a negative errno. Needs the right to read the process (PTRACE_MODE_READ)."""
        status = np.full(len(addresses), NOT_SAID, np.int32)
        for at in range(0, len(addresses), _CHUNK):
            self._checked(addresses[at : at + _CHUNK], None, status[at : at + _CHUNK])
        return status

    def move(self, addresses: Addresses, node: int) -> Statuses:
        """Move pages to a node. Pages that the kernel could not move read -EBUSY, or -ENOMEM where the node is full.

        `Refused` without CAP_SYS_NICE or where the process's cpuset does not allow the node, `Rejected` for a node that
        is not online or has no memory, `Gone` when the process is.
        """
        status = np.full(len(addresses), NOT_SAID, np.int32)
        at = 0
        while at < len(addresses):
            part = slice(at, at + _CHUNK)
            at += self._move_some(addresses[part], node, status[part])
        return status

    def _move_some(self, addresses: Addresses, node: int, status: Statuses) -> int:
        """Returns how many pages were tried: all, or those before and of the batch at which the kernel gave up."""
        result = self._checked(addresses, np.full(len(addresses), node, np.int32), status)
        unsaid = np.flatnonzero(status == NOT_SAID)
        if not len(unsaid):
            return len(addresses)
        first = int(unsaid[0])
        said = np.flatnonzero(status[first:] != NOT_SAID)
        end = first + int(said[0]) if len(said) else len(addresses)
        where = self.locate(addresses[first:end])
        full = result == -errno.ENOMEM
        status[first:end] = np.where((where >= 0) & (where != node), -errno.ENOMEM if full else -errno.EBUSY, where)
        status[end:] = -errno.ENOMEM if full else NOT_SAID
        return len(addresses) if full else end

    def _checked(self, addresses: Addresses, nodes: Statuses | None, status: Statuses) -> int:
        """Pages that did not move, or -ENOMEM; every other error concerns the process or the node as a whole."""
        result = self._call(np.ascontiguousarray(addresses), nodes, status)
        if result >= 0 or (result == -errno.ENOMEM and nodes is not None):
            return result
        raise _error(-result, self.path, nodes)

    def _call(self, addresses: Addresses, nodes: Statuses | None, status: Statuses) -> int:
        """The system call: statuses are written where they are, the result is the kernel's, an error negative."""
        if not _NUMBER:
            return -errno.ENOSYS
        where = None if nodes is None else ctypes.c_void_p(nodes.ctypes.data)
        count, pages = ctypes.c_ulong(len(addresses)), ctypes.c_void_p(addresses.ctypes.data)
        result = int(
            _libc.syscall(
                ctypes.c_long(_NUMBER), self._pid, count, pages, where, ctypes.c_void_p(status.ctypes.data), _MOVE
            )
        )
        return result if result >= 0 else -ctypes.get_errno()


def _error(code: int, path: str, nodes: Statuses | None) -> errors.KernelError:
    node = f"node {nodes[0]}" if nodes is not None and len(nodes) else "the node"
    if code == errno.ENODEV:
        return errors.Rejected(code, f"{node} is not online or has no memory", path)
    if code == errno.EACCES:
        return errors.Refused(code, f"the process's cpuset does not allow {node}", path)
    return errors.of(OSError(code, os.strerror(code)), path)
