"""What a tracker saw, look by look, kept on request: the prompt's `tracker -dump raw start|new|stop`."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.processes import Process
from reconciler.engine.trackers.tracker import Seen

HEAD = f"{'timestamp':>20}{'pid':>10}{'addr':>17}{'pages':>9}{'accs':>9}{'writes':>9}"
_MOST_ROWS = 1 << 20  # 28 bytes each; then the older half goes
_ROW = np.dtype(
    [
        ("at", np.int64),  # nanoseconds since 1970
        ("pid", np.int32),
        ("start", np.uint64),
        ("pages", np.uint32),
        ("accesses", np.uint32),
        ("writes", np.uint32),
    ]
)
USAGE = "raw start|new|stop: record what each scan sees; print what is new; end"


@dataclass(slots=True)
class Recording:
    """Bounded, and empty until somebody starts it. One thread adds, others ask: the list is replaced as a whole."""

    wall_clock_ns: Callable[[], int] = time.time_ns
    _rows: "list[NDArray[np.void]] | None" = None
    _lost: int = 0

    def add(self, known: Process, seen: Seen) -> None:
        rows = self._rows
        if rows is None:
            return
        table = np.empty(len(known.regions), _ROW)
        table["at"], table["pid"] = self.wall_clock_ns(), known.pid
        table["start"], table["pages"] = known.regions["start"], known.regions["pages"]
        table["accesses"], table["writes"] = seen.accesses, seen.writes
        rows.append(table)
        while sum(map(len, rows)) > _MOST_ROWS and len(rows) > 1:
            self._lost += len(rows.pop(0))

    def answer(self, word: str) -> str:
        match word:
            case "start":
                self._rows, self._lost = [], 0
                return "recording raw memory access events"
            case "stop":
                self._rows = None
                return "recording ended"
            case "new" if self._rows is None:
                return "nothing is recorded: `tracker -dump raw start` begins"
            case "new":
                rows, self._rows = self._rows, []
                lost, self._lost = self._lost, 0
                return "\n".join([*_lost(lost), HEAD, *(line for table in rows or [] for line in _lines(table))])
            case _:
                return USAGE


def _lines(table: NDArray[np.void]) -> list[str]:
    return [
        f"{at:>20}{pid:>10}{start:>17x}{pages:>9}{accesses:>9}{writes:>9}"
        for at, pid, start, pages, accesses, writes in table.tolist()
    ]


def _lost(rows: int) -> list[str]:
    return [f"{rows} older rows were dropped: ask more often"] if rows else []
