"""Pages idle regions out: at most so many bytes a second, and believes nothing that it has not seen.

Candidates wait in a queue, longest idle first. A step takes as much as the bucket allows, lists the pages that can
leave now (present, mapped by this process only, of the region's own kind), advises them, and looks again: anonymous
pages must have become swap entries, file pages must have left the page cache. What stayed is advised once more in the
same step (pages rest in per-CPU batches for a moment); what stays then is left to a later turn of the policy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import processes, regions
from reconciler.engine.bucket import Bucket
from reconciler.engine.policies.policy import Move
from reconciler.engine.processes import Process
from reconciler.engineconfig import MoverConfig
from sysfs import advise, pagemap, residency
from sysfs.errors import Gone, KernelError
from sysfs.maps import Kind
from sysfs.pagemap import Pagemap
from sysfs.tree import Tree

MIB = 1 << 20
ATTEMPTS = 2
_STEP_REGIONS = 512
_PIECE_PAGES = 1 << 17  # of address space, looked at together: 1 MiB of pagemap
_TRIES_MAX = np.uint8(255)

Mask = NDArray[np.bool_]
Target = Callable[[int], advise.Target]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Of one step, in bytes."""

    advised: int = 0
    left: int = 0  # verified


@dataclass(slots=True)
class _Batch:
    """Pages of neighbouring regions, and what became of them."""

    start: int
    entries: NDArray[np.uint64]
    wanted: Mask
    left: Mask = field(init=False)

    def __post_init__(self) -> None:
        self.left = np.zeros(len(self.wanted), np.bool_)


class Mover:
    def __init__(
        self,
        tree: Tree,
        config: MoverConfig,
        page_size: int,
        clock: Callable[[], float],
        target: Target = advise.Target,
    ) -> None:
        self._tree, self._page_size, self._target = tree, page_size, target
        self.trouble = ""  # why the kernel refused a page-out last
        self.interval = config.interval_ms / 1000
        rate = config.bandwidth_mib * MIB
        self._bucket = Bucket(rate, rate * max(2 * self.interval, 0.25), clock)
        self._queue = np.empty(0, _QUEUED)

    def replace(self, moves: Sequence[Move]) -> None:
        """A new queue."""
        pieces = [_queued(move) for move in moves]
        queue = np.concatenate(pieces) if pieces else np.empty(0, _QUEUED)
        self._queue = queue[np.argsort(queue["order"], kind="stable")]

    def keep(self, moves: Sequence[Move]) -> None:
        """Drop what is not wanted any more; called after each look."""
        kept = np.zeros(len(self._queue), np.bool_)
        for move in moves:
            kept |= (self._queue["pid"] == move.pid) & np.isin(self._queue["start"], move.start)
        self._queue = self._queue[kept]

    def pending(self) -> int:
        return len(self._queue)

    def wait(self) -> float:
        """Seconds until the next step."""
        return max(self.interval, self._bucket.wait())

    def step(self, known: Mapping[int, Process], stopped: Callable[[], bool]) -> Moved:
        """Move as much as is allowed now."""
        budget = self._bucket.level()
        if budget < 0 or not len(self._queue):
            return Moved()
        sizes = np.cumsum(self._queue["bytes"][:_STEP_REGIONS])
        number = int(np.searchsorted(sizes, budget, side="left")) + 1
        taken, self._queue = self._queue[:number], self._queue[number:]
        results = [
            self._of_process(known[pid], np.sort(taken["start"][taken["pid"] == pid]))
            for pid in np.unique(taken["pid"]).tolist()
            if pid in known and not stopped()
        ]
        moved = Moved(advised=sum(r.advised for r in results), left=sum(r.left for r in results))
        self._bucket.spend(moved.advised)
        return moved

    def _of_process(self, known: Process, starts: NDArray[np.uint64]) -> Moved:
        index = np.searchsorted(known.regions["start"], starts)
        index = index[index < len(known.regions)]
        index = index[np.isin(known.regions["start"][index], starts)]
        if not len(index):
            return Moved()
        try:
            with self._target(known.pid) as target, Pagemap(self._tree, known.pid, self._page_size) as opened:
                if not processes.is_still(self._tree, known):  # asked after opening: from here on it is nobody else
                    return Moved()
                return self._of_regions(known, index, target, opened)
        except Gone:  # exited or exec'ed meanwhile
            return Moved()
        except KernelError as error:  # a security module may forbid one process; the others go on
            self.trouble = str(error)
            tries = known.regions["tries"]
            tries[index] = np.minimum(tries[index], _TRIES_MAX - 1) + np.uint8(1)
            return Moved()

    def _of_regions(self, known: Process, index: NDArray[np.intp], target: advise.Target, opened: Pagemap) -> Moved:
        rows, advised = known.regions[index], 0
        gone = np.zeros(len(rows), np.uint32)
        for ranges in self._pieces(rows, known):
            listed = [(start, opened.entries(start, end)) for start, end in ranges]
            batches = [_Batch(start, entries, self._can_leave(rows, start, entries)) for start, entries in listed]
            advised += self._advise(known, batches, target, opened)
            gone += self._gone(rows, batches)
        _book(known.regions, index, gone)
        left = int(gone.sum()) * self._page_size
        known.figures.moved(advised, left)
        return Moved(advised=advised, left=left)

    def _pieces(self, rows: regions.Regions, known: Process) -> Iterator[list[tuple[int, int]]]:
        """Address ranges of the regions, so many at a time that what is read of them stays small."""
        together, size, most = list[tuple[int, int]](), 0, _PIECE_PAGES * self._page_size
        # One mapping a range: the kernel refuses all of a range that begins in, say, a locked mapping.
        for start, end in regions.spans(rows, self._page_size, known.mapped.start):
            for at in range(start, end, most):
                stop = min(at + most, end)
                if size + stop - at > most:
                    yield together
                    together, size = [], 0
                together.append((at, stop))
                size += stop - at
        yield together

    def _advise(self, known: Process, batches: list[_Batch], target: advise.Target, opened: Pagemap) -> int:
        """Ask for what can leave, look, and ask once more for what stayed; returns bytes."""
        advised = 0
        for _ in range(ATTEMPTS):
            remaining = [self._runs(batch) for batch in batches]
            starts = np.concatenate([runs[0] for runs in remaining])
            if not len(starts):
                break
            ends = np.concatenate([runs[1] for runs in remaining])
            advised = max(advised, target.page_out(starts, ends))
            for batch in batches:
                self._verify(known, batch, opened)
        return advised

    def _can_leave(self, rows: regions.Regions, start: int, entries: NDArray[np.uint64]) -> Mask:
        """Present, mapped nowhere else, and of the region's own kind (which also leaves out the zero page)."""
        is_file = (entries & pagemap.FILE) != 0
        owner = np.searchsorted(rows["start"], self._addresses(start, len(entries)), side="right") - 1
        of_kind = is_file == (rows["kind"][owner] == Kind.FILE)
        needed = pagemap.PRESENT | pagemap.EXCLUSIVE
        result: Mask = ((entries & needed) == needed) & of_kind
        return result

    def _addresses(self, start: int, number: int) -> NDArray[np.uint64]:
        return np.uint64(start) + np.arange(number).astype(np.uint64) * np.uint64(self._page_size)

    def _runs(self, batch: _Batch) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Address ranges of the pages that still should leave."""
        padded = np.concatenate(([False], batch.wanted & ~batch.left, [False]))
        edges = np.flatnonzero(padded[1:] != padded[:-1]).astype(np.uint64) * np.uint64(self._page_size)
        return np.uint64(batch.start) + edges[::2], np.uint64(batch.start) + edges[1::2]

    def _verify(self, known: Process, batch: _Batch, opened: Pagemap) -> None:
        size = len(batch.wanted)
        after = opened.entries(batch.start, batch.start + size * self._page_size)
        after = np.append(after, np.zeros(size - len(after), np.uint64))
        was_file = (batch.entries & pagemap.FILE) != 0
        unmapped = batch.wanted & was_file & ((after & pagemap.PRESENT) == 0)
        if unmapped.any():
            unmapped &= ~self._resident(known, batch.start, size)
        batch.left = (batch.wanted & ~was_file & ((after & pagemap.SWAPPED) != 0)) | unmapped

    def _resident(self, known: Process, start: int, pages: int) -> Mask:
        """Which pages of the address range are still in the page cache; unknown means they are."""
        result = np.ones(pages, np.bool_)
        for low, high, offset, at in self._file_parts(known, start, start + pages * self._page_size):
            first = (max(start, low) - start) // self._page_size
            size = min(start + pages * self._page_size, high) - max(start, low)
            try:
                found = residency.resident(self._tree, known.pid, (low, high), offset + at, size)
            except KernelError:
                continue
            result[first : first + len(found)] = found
        return result

    @staticmethod
    def _file_parts(known: Process, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """File mappings that overlap, as (start, end, file offset of start, bytes from start to the overlap)."""
        mapped = known.mapped
        first = int(np.searchsorted(mapped.end, start, side="right"))
        last = int(np.searchsorted(mapped.start, end, side="left"))
        for i in range(first, last):
            if mapped.kind[i] == Kind.FILE:
                low = int(mapped.start[i])
                yield low, int(mapped.end[i]), int(mapped.offset[i]), max(start - low, 0)

    def _gone(self, rows: regions.Regions, batches: list[_Batch]) -> NDArray[np.uint32]:
        """Pages of each region that left."""
        addresses = np.concatenate([self._addresses(b.start, len(b.left))[b.left] for b in batches])
        owner = np.searchsorted(rows["start"], addresses, side="right") - 1
        return np.bincount(owner, minlength=len(rows)).astype(np.uint32)


def _book(mine: regions.Regions, index: NDArray[np.intp], gone: NDArray[np.uint32]) -> None:
    mine["present"][index] -= np.minimum(gone, mine["present"][index])
    mine["swapped"][index] += np.where(mine["kind"][index] == Kind.ANON, gone, 0).astype(np.uint32)
    mine["out"][index] += gone
    again = np.minimum(mine["tries"][index], _TRIES_MAX - 1) + np.uint8(1)
    mine["tries"][index] = np.where(gone > 0, 0, again)


_QUEUED = np.dtype([("pid", np.int32), ("start", np.uint64), ("bytes", np.int64), ("order", np.uint32)])


def _queued(move: Move) -> NDArray[np.void]:
    table = np.empty(len(move.start), _QUEUED)
    table["pid"], table["start"], table["order"] = move.pid, move.start, move.order
    table["bytes"] = move.size
    return table
