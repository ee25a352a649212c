"""Figures of each workload over time, in bounded memory: an hour in steps of 15 s, a day in steps of ten minutes.

Pure. A workload costs 15 KiB when both tables are full; they grow as time goes, so a thousand new ones cost little.
Amounts are kept in KiB. The node is the workload "": its row is the sum over all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reconciler.report import EngineReport, Report, WorkloadReport

EVERY_S, MOST_FINE = 15.0, 240
COARSE_S, MOST_COARSE = 600.0, 144
NODE = ""
SIZES = ("usage", "swap", "tracked", "idle", "away", "out", "back")  # bytes to the outside
ROW = np.dtype([("when", np.float64), *((name, np.uint32) for name in SIZES), ("stall", np.float32)])
assert ROW.itemsize == 40
_UNIT = 1024
_MOST = 2**32 - 1  # 4 TiB, in units
Rows = NDArray[np.void]


@dataclass(slots=True)
class Trend:
    """Of one workload. `stall` is the share of time, in percent, in which tasks waited for memory."""

    fine: Rows = field(default_factory=lambda: np.zeros(0, ROW))
    coarse: Rows = field(default_factory=lambda: np.zeros(0, ROW))
    stalled_us: int | None = None  # so far, at the last row
    at: float = 0.0


@dataclass(slots=True)
class Trends:
    """One thread adds, others ask: tables are replaced as wholes."""

    known: dict[str, Trend] = field(default_factory=dict)
    _at: float = float("-inf")

    def due(self, now: float) -> bool:
        """`now`: seconds of the wall clock, which may be set back."""
        return not 0 <= now - self._at < EVERY_S

    def add(self, report: Report, stalled_us: Mapping[str, int], now: float) -> None:
        """A row for each workload; `stalled_us` by id, NODE among them, of those whose pressure is accounted."""
        self._at = now
        rows = {row.id: _sizes(row) for row in report.workloads}
        rows[NODE] = [sum(column) for column in zip(*rows.values(), strict=True)] if rows else [0] * len(SIZES)
        self.known = {key: self.known.get(key) or Trend() for key in rows}
        made = np.zeros(len(rows), ROW)
        made["when"] = now
        kib = np.clip(np.array([*rows.values()], np.int64) // _UNIT, 0, _MOST)
        for index, name in enumerate(SIZES):
            made[name] = kib[:, index]
        for index, (key, trend) in enumerate(self.known.items()):
            _append(trend, made[index : index + 1], stalled_us.get(key), now)

    def stalls(self) -> dict[str, float]:
        """The mean of the last hour, percent, by workload."""
        return {
            key: round(float(trend.fine["stall"].mean()), 3) for key, trend in self.known.items() if len(trend.fine)
        }

    def document(self, workload: str) -> dict[str, Any]:
        """Columns, bytes: `fine` and `coarse`. LookupError for a workload that is not known."""
        trend = self.known.get(workload)
        if trend is None:
            raise LookupError(f"nothing is known of {workload} yet")
        return {"fine": _columns(trend.fine), "coarse": _columns(trend.coarse)}


def _sizes(row: WorkloadReport) -> list[int]:
    engine = row.engine or EngineReport(tracker="")
    saved = row.saved
    known = (row.usage_bytes, row.swap_bytes, engine.tracked_bytes, engine.idle_bytes)
    return [*known, saved.away_bytes, saved.out_bytes, saved.back_bytes]


def _append(trend: Trend, made: Rows, stalled_us: int | None, now: float) -> None:
    """`made`: one row."""
    if stalled_us is not None and trend.stalled_us is not None and now > trend.at:
        made["stall"] = max(stalled_us - trend.stalled_us, 0) / (now - trend.at) / 1e4
    trend.stalled_us, trend.at = stalled_us, now
    trend.fine = np.concatenate([trend.fine, made])[-MOST_FINE:]
    if not len(trend.coarse) or not 0 <= now - float(trend.coarse["when"][-1]) < COARSE_S:
        trend.coarse = np.concatenate([trend.coarse, made])[-MOST_COARSE:]


def _columns(rows: Rows) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {"when": [round(at, 3) for at in rows["when"].tolist()]}
    found |= {f"{name}_bytes": (rows[name].astype(np.int64) * _UNIT).tolist() for name in SIZES}
    found["stall_percent"] = [round(each, 3) for each in rows["stall"].tolist()]
    return found
