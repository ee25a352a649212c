"""process_madvise(2) on another process through a pidfd, which can never mean another process that got the same pid.

The kernel's answer is bytes advised, not bytes gone: look again afterwards.
"""

import ctypes
import os
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sysfs import errors

WILLNEED, PAGEOUT = 3, 21  # MADV_*
_PROCESS_MADVISE = 440  # the same number on every architecture that has it (Linux 5.10)
_IOV_MAX = 1024
_CALL_BYTES = 1 << 30  # the kernel caps one call near 2 GiB

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Target:
    """A process, held by a pidfd. Compare its start time after opening: then it is the one you meant."""

    def __init__(self, pid: int) -> None:
        self.path = f"process {pid}"
        try:
            self._descriptor = os.pidfd_open(pid)
        except OSError as error:
            raise errors.of(error, f"{self.path} (pidfd_open)") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        os.close(self._descriptor)

    def page_out(self, start: NDArray[np.uint64], end: NDArray[np.uint64]) -> int:
        """Ranges that the kernel refuses (mlocked, gone) are skipped. Returns bytes advised."""
        return self._advise(PAGEOUT, start, end)

    def bring_back(self, start: NDArray[np.uint64], end: NDArray[np.uint64]) -> int:
        """Begin to read these ranges from swap; a page is the process's again once it is touched. Bytes advised."""
        return self._advise(WILLNEED, start, end)

    def _advise(self, advice: int, start: NDArray[np.uint64], end: NDArray[np.uint64]) -> int:
        vectors = np.empty((len(start), 2), np.uint64)
        vectors[:, 0], vectors[:, 1] = start, end - start
        done, first = 0, 0
        while first < len(vectors):
            batch = vectors[first : first + _batch(vectors[first:, 1])]
            advised = self._call(advice, batch)
            done += max(advised, 0)
            if advised == int(batch[:, 1].sum()):
                first += len(batch)
            else:
                first = self._follow_up(vectors, first, max(advised, 0))
        return done

    @staticmethod
    def _follow_up(vectors: NDArray[np.uint64], first: int, advised: int) -> int:
        """After a short answer: the vector that stopped the call is skipped, the ones before it are done."""
        ends = np.cumsum(vectors[first:, 1])
        return first + int(np.searchsorted(ends, advised, side="right")) + 1

    def _call(self, advice: int, batch: NDArray[np.uint64]) -> int:
        """Bytes advised, 0 when the very first vector is refused; raises when the process or the right is gone."""
        block = np.ascontiguousarray(batch)
        pointer = ctypes.c_void_p(block.ctypes.data)
        result = int(_libc.syscall(_PROCESS_MADVISE, self._descriptor, pointer, ctypes.c_size_t(len(block)), advice, 0))
        if result >= 0:
            return result
        code = ctypes.get_errno()
        error = errors.of(OSError(code, os.strerror(code)), f"{self.path} (process_madvise)")
        if isinstance(error, errors.Rejected | errors.Busy):  # EINVAL: mlocked or special; ENOMEM: unmapped meanwhile
            return 0
        raise error


def _batch(lengths: NDArray[np.uint64]) -> int:
    """How many vectors fit into one call."""
    total = np.cumsum(lengths[:_IOV_MAX])
    return max(int(np.searchsorted(total, _CALL_BYTES, side="right")), 1)
