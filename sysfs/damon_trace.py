"""DAMON's snapshots from the trace event damon_aggregated, for kernels before 6.2, which have no others.

An instance of its own (Documentation/trace/ftrace.rst) shares nothing with other users of tracing. Only one kdamond's
events come into it, into a buffer that keeps the newest few aggregation intervals; it is read without waiting.
"""

import re
from contextlib import suppress

import numpy as np

from sysfs.damon import Snapshot, snapshot
from sysfs.errors import Gone, KernelError, Unsupported
from sysfs.tree import Tree

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_EVENT = "events/damon/damon_aggregated/enable"
_RECORD_BYTES = 64  # of a region in the ring buffer, rounded up
_INTERVALS = 4  # that the buffer holds
_CHUNK = 1 << 20
_POINTER = 1 << 32
# "<task>-<pid> [cpu] ... damon_aggregated: target_id=0 nr_regions=10 4096-8192: 5 3"; no age before Linux 5.17.
_LINE = re.compile(
    rb"damon_aggregated: target_id=(\d+) nr_regions=(\d+) (\d+)-(\d+): (\d+)(?: (\d+))?\s*$", re.MULTILINE
)


class Trace:
    def __init__(self, tree: Tree, name: str, thread: int, regions: int) -> None:
        """`thread` is the kdamond's process id, `regions` how many regions it may have."""
        self._tree, self._file = tree, None
        place = next((place for place in PLACES if tree.exists(f"{place}/instances")), "")
        if not place:
            raise Unsupported(None, "is not mounted: mount -t tracefs none /sys/kernel/tracing", PLACES[0])
        self._folder = f"{place}/instances/{name}"
        remove(tree, name)  # left behind by a process that was killed
        tree.make_folder(self._folder)
        try:
            tree.write(f"{self._folder}/buffer_size_kb", str(max(64, regions * _RECORD_BYTES * _INTERVALS >> 10)))
            tree.write(f"{self._folder}/set_event_pid", str(thread))
            tree.write(f"{self._folder}/{_EVENT}", "1")
            self._file = tree.stream(f"{self._folder}/trace_pipe")
        except BaseException:
            self.close()
            raise

    def read(self) -> dict[int, Snapshot]:
        """The newest complete snapshot of each target since the last call, by its number in the context."""
        text = bytearray()
        while self._file is not None and (chunk := self._file.read(_CHUNK)):
            text += chunk
        return parse(bytes(text))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        with suppress(KernelError):
            self._tree.remove_folder(self._folder)


def remove(tree: Tree, name: str) -> None:
    """The instance of that name, if there is one."""
    for place in PLACES:
        with suppress(Gone):
            tree.remove_folder(f"{place}/instances/{name}")


def parse(text: bytes) -> dict[int, Snapshot]:
    """The last complete batch of each target: `nr_regions` lines that follow each other."""
    rows = np.array([[int(word or 0) for word in found] for found in _LINE.findall(text)], np.uint64).reshape(-1, 6)
    seen = list(dict.fromkeys(rows[:, 0].tolist()))
    # Before about 6.2 a target's id may be a pointer: then its place counts, for targets come in their order.
    numbers = {each: each if each < _POINTER else at for at, each in enumerate(seen)}
    return {number: batch for each, number in numbers.items() if (batch := _last(rows[rows[:, 0] == each])) is not None}


def _last(rows: np.ndarray) -> Snapshot | None:
    """Of one target. A batch begins where the address falls back; the last one may still be on its way."""
    starts = np.flatnonzero(np.append(True, rows[1:, 2] <= rows[:-1, 2]))
    for begin, end in zip(starts[::-1].tolist(), [*starts[1:].tolist(), len(rows)][::-1], strict=True):
        if end - begin == int(rows[begin, 1]):
            return snapshot(rows[begin:end, 2:6].tolist())
    return None
