"""/proc/PID/pagemap in bulk: 8 bytes a page (Documentation/admin-guide/mm/pagemap.rst).

Two ways to the same value: the PAGEMAP_SCAN ioctl (Linux 6.7), which returns runs of pages with equal properties and
skips what was never touched, or reads of 1 MiB. Absent pages cost nothing with the first and 8 bytes with the second.
"""

import fcntl
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sysfs import errors
from sysfs.tree import Tree

Entries = NDArray[np.uint64]

PRESENT, SWAPPED, FILE = np.uint64(1 << 63), np.uint64(1 << 62), np.uint64(1 << 61)
EXCLUSIVE, SOFT_DIRTY = np.uint64(1 << 56), np.uint64(1 << 55)
PFN = np.uint64((1 << 55) - 1)

# Categories of a run; the numbers are PAGEMAP_SCAN's (include/uapi/linux/fs.h).
IS_FILE, IS_PRESENT, IS_SWAPPED, IS_ZERO, IS_HUGE, IS_SOFT_DIRTY = 1 << 2, 1 << 3, 1 << 4, 1 << 5, 1 << 6, 1 << 7
_ANY, _SAID = IS_PRESENT | IS_SWAPPED, IS_PRESENT | IS_SWAPPED | IS_FILE | IS_ZERO
_PAGEMAP_SCAN = 0xC0606610
_SCAN = struct.Struct("=12Q")
_REGION = np.dtype([("start", np.uint64), ("end", np.uint64), ("categories", np.uint64)])
_ROOM = 16384  # runs per call

READ_BYTES = 1 << 20
SPAN_LIMIT = 1 << 38  # of address space in one mapping that reads can look at (seconds); scans have no limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Pages that hold something, in ascending order: half-open address ranges with their categories."""

    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    categories: NDArray[np.uint64]

    def having(self, wanted: int, without: int = 0) -> "Runs":
        mask = ((self.categories & np.uint64(wanted)) == wanted) & ((self.categories & np.uint64(without)) == 0)
        return Runs(start=self.start[mask], end=self.end[mask], categories=self.categories[mask])

    def between(self, low: np.uint64, high: np.uint64) -> "Runs":
        """Those that reach into [low, high), whole; a view, not a copy."""
        first = np.searchsorted(self.end, low, side="right")
        last = np.searchsorted(self.start, high, side="left")
        rows = slice(int(first), int(last))
        return Runs(start=self.start[rows], end=self.end[rows], categories=self.categories[rows])


class Pagemap:
    """An open pagemap. It belongs to the memory that the process had when it was opened."""

    def __init__(self, tree: Tree, pid: int, page_size: int = 4096) -> None:
        self.path = f"/proc/{pid}/pagemap"
        self.page_size = page_size
        self._file = tree.open(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def entries(self, start: int, end: int) -> Entries:
        """One entry a page; shorter where the address space ends."""
        offset = start // self.page_size * 8
        return np.frombuffer(self._read(offset, end // self.page_size * 8 - offset), np.uint64)

    def chunks(self, start: int, end: int) -> Iterator[tuple[int, Entries]]:
        """Pieces of at most READ_BYTES as (first address, entries)."""
        step = READ_BYTES // 8 * self.page_size
        for address in range(start, end, step):
            yield address, self.entries(address, min(address + step, end))

    def _read(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._file.fileno(), size, offset)
        except OSError as error:
            raise errors.of(error, self.path) from error
        return data[: len(data) // 8 * 8]

    def scan(self, start: int, end: int, *, dirty: bool = False) -> Runs:
        """Runs by the ioctl; `Unsupported` or `Rejected` where the kernel has no PAGEMAP_SCAN or no such category."""
        found, at = [], start
        while at < end:
            runs, at = self._scan_some(at, end, _SAID | (IS_SOFT_DIRTY | IS_HUGE if dirty else 0))
            found.append(runs)
        return _runs(np.concatenate(found) if found else np.empty(0, _REGION))

    def _scan_some(self, start: int, end: int, said: int) -> tuple[NDArray[np.void], int]:
        room = np.empty(_ROOM, _REGION)
        argument = bytearray(_SCAN.pack(_SCAN.size, 0, start, end, 0, room.ctypes.data, _ROOM, 0, 0, 0, _ANY, said))
        try:
            count = fcntl.ioctl(self._file, _PAGEMAP_SCAN, argument)
        except InterruptedError:  # Python repeats interrupted reads by itself, but not ioctls
            return room[:0], start
        except OSError as error:
            raise errors.of(error, f"{self.path} (PAGEMAP_SCAN)") from error
        return room[:count], _SCAN.unpack(argument)[4]

    def read_runs(self, start: int, end: int) -> Runs:
        """The same runs by reading; the zero page shows as present here, without IS_ZERO."""
        pieces = [_of_entries(at, entries, self.page_size) for at, entries in self.chunks(start, end)]
        return _runs(np.concatenate(pieces) if pieces else np.empty(0, _REGION))


def _runs(table: NDArray[np.void]) -> Runs:
    return Runs(start=table["start"], end=table["end"], categories=table["categories"])


def _of_entries(address: int, entries: Entries, page_size: int) -> NDArray[np.void]:
    """Run lengths of what the entries say: compared as bytes, translated only where a run begins."""
    said = (entries >> np.uint64(61)).astype(np.uint8)
    said |= ((entries >> np.uint64(52)) & np.uint64(8)).astype(np.uint8)
    edges = np.flatnonzero(np.append(True, said[1:] != said[:-1])) if len(said) else np.empty(0, np.intp)
    table = np.empty(len(edges), _REGION)
    table["start"] = address + edges * page_size
    table["end"] = address + np.append(edges[1:], len(entries)) * page_size
    table["categories"] = _CATEGORIES[said[edges]]
    kept: NDArray[np.void] = table[(table["categories"] & np.uint64(_ANY)) != 0]
    return kept


# By soft-dirty, present, swapped, file (from the highest of four bits).
_CATEGORIES = np.array(
    [
        (code & 8) // 8 * IS_SOFT_DIRTY
        | (code & 4) // 4 * IS_PRESENT
        | (code & 2) // 2 * IS_SWAPPED
        | (code & 1) * IS_FILE
        for code in range(16)
    ],
    np.uint64,
)


def merge(many: list[Runs]) -> Runs:
    """Runs of consecutive ranges as one value."""
    if not many:
        return _runs(np.empty(0, _REGION))
    return Runs(
        start=np.concatenate([runs.start for runs in many]),
        end=np.concatenate([runs.end for runs in many]),
        categories=np.concatenate([runs.categories for runs in many]),
    )
