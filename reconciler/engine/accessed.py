"""The table "time since last access": how much memory was last used how long ago, as memtierd prints it.

Rows are [at_least, below) in seconds; an upper bound of 0 is infinity. Counted are pages that hold data, in memory or
in swap, not address space.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.policies.policy import View
from reconciler.engine.regions import Regions
from reconciler.report import AgeBin

Looked = tuple[Regions, int]  # with the time of the last look
ALL = 0  # stands for all processes together
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
USAGE = """dump accessed TIMESPEC,TIMESPEC[,TIMESPEC]... [PID[,PID]]
        Examples:
            dump accessed 0,0.5s,1s,2s,4s,10s,1m"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessedRow:
    pid: int  # ALL = of all processes
    at_least: float  # seconds
    below: float  # seconds, 0 = no end
    pages: int
    bytes: int
    percent: float  # of the process's data
    swapped_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessedTable:
    rows: tuple[AccessedRow, ...] = ()
    tracker: str = ""
    amounts: tuple[AgeBin, ...] = ()  # how much memory is how old, from MGLRU: without addresses, and page-exact

    def amount_lines(self) -> list[str]:
        """A table of its own, youngest first: cgroups and nodes added up where they are equally old."""
        sums: dict[int, list[int]] = {}
        for each in self.amounts:
            row = sums.setdefault(each.age_ms, [0, 0, 0])
            row[0] += each.anon_pages
            row[1] += each.file_pages
            row[2] += each.size_bytes
        head = "lastaccs>=[s]  anon[pages]  file[pages]   mem[G]"
        rows = [
            f"{age / 1000:13.3f} {anon:12d} {file:12d} {size / (1 << 30):8.3f}"
            for age, (anon, file, size) in sorted(sums.items())
        ]
        return ["table: amounts of memory by time since last access (MGLRU)", head, *rows] if rows else []

    def text(self) -> str:
        """Exactly memtierd's table."""
        head = "     pid lastaccs>=[s] lastaccs<[s]    pages   mem[G] pidmem[%]"
        return "\n".join(["table: time since last access", head, *(_line(row) for row in self.rows)])


def _line(row: AccessedRow) -> str:
    who = str(row.pid) if row.pid != ALL else "all"
    gigabytes = row.bytes / (1 << 30)
    return f"{who:>8} {row.at_least:13.3f} {row.below:12.3f} {row.pages:8d} {gigabytes:8.3f} {row.percent:9.2f}"


def table(processes: Mapping[int, Looked], limits: Sequence[float], page_size: int, tracker: str = "") -> AccessedTable:
    """Rows for each pair of neighbouring limits; of all processes together first, if there are several."""
    rows: list[AccessedRow] = []
    if len(processes) > 1:
        rows += _rows(ALL, [processes[pid] for pid in sorted(processes)], limits, page_size)
    for pid in sorted(processes):
        rows += _rows(pid, [processes[pid]], limits, page_size)
    return AccessedTable(rows=tuple(rows), tracker=tracker)


def _rows(pid: int, whose: Sequence[Looked], limits: Sequence[float], page_size: int) -> list[AccessedRow]:
    idle = np.concatenate([regions.idle_time(mine, looked) for mine, looked in whose]) / 10
    mine = np.concatenate([each for each, _ in whose])
    data = regions.data_pages(mine)
    total = int(data.sum())
    found = []
    for low, high in pairwise(limits):
        mask: NDArray[np.bool_] = (idle >= low) & ((idle < high) if high else True)
        pages = int(data[mask].sum())
        found.append(
            AccessedRow(
                pid=pid,
                at_least=low,
                below=high,
                pages=pages,
                bytes=pages * page_size,
                percent=100 * pages / total if total else 0.0,
                swapped_pages=pages - int(mine["present"][mask].sum()),
            )
        )
    return found


def limits_of(text: str) -> tuple[float, ...]:
    """Seconds of "0,1m,30m,2h,0"; ValueError says what is wrong."""
    limits = tuple(_seconds(part.strip()) for part in text.split(","))
    if len(limits) < 2:
        raise ValueError("too few TIMESPECs for printing amount of memory between TIMESPECs")
    return limits


def _seconds(text: str) -> float:
    unit = next((unit for unit in _UNITS if text.endswith(unit)), "")
    try:
        return float(text.removesuffix(unit)) * _UNITS.get(unit, 1.0)
    except ValueError:
        raise ValueError(f"invalid TIMESPEC {text!r}: a number with one of {', '.join(_UNITS)}") from None


def dump(words: Sequence[str], view: View, configured: Mapping[str, int]) -> str:
    """The answer to `policy -dump WORDS`; without limits those of the configuration (milliseconds by name) are used."""
    if not words or words[0] != "accessed":
        return USAGE
    arguments = " ".join(words[1:]).split()
    looked = {pid: (seat.regions, seat.looked) for pid, seat in view.seats.items()}
    if not arguments:
        limits = sorted({0.0, *(limit / 1000 for limit in configured.values())})
        said = ", ".join(f"{name} {limit} ms" for name, limit in configured.items())
        return f"using limits from configuration: {said}\n" + table(looked, (*limits, 0.0), view.page_size).text()
    try:
        pids = {int(pid) for pid in ",".join(arguments[1:]).split(",") if pid}
        chosen = {pid: each for pid, each in looked.items() if not pids or pid in pids}
        return table(chosen, limits_of(arguments[0]), view.page_size).text()
    except ValueError as error:
        return str(error)
