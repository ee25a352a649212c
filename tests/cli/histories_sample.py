"""An hour in the life of a workload, as the daemon answers `Heatmap`: made by the code that keeps it."""

from typing import Any

import numpy as np

from reconciler.engine.heathistory import EVERY_S, HeatHistory, Looked
from reconciler.engine.regions import REGION, Regions
from reconciler.report import EngineReport, Report, SavedReport, WorkloadReport
from reconciler.trends import Trends

PAGE, WINDOW = 4096, 512
SIZE = PAGE * WINDOW
BEGIN = 1_764_057_600.0  # 2025-11-25 08:00:00 UTC
MOMENTS = 240
LOW, HIGH = 0x55D000000000, 0x7F1000000000
MIB = 1 << 20


def tick(moment: int) -> int:
    """Deciseconds of the engine's clock."""
    return 1000 + moment * 150


def regions(moment: int) -> Regions:
    """A heap of 64 MiB that is hot at its beginning; a cache of 192 MiB, later 256, through which a scan wanders."""
    heap, cache = 32, 96 if moment < 120 else 128
    made = np.zeros(heap + cache, REGION)
    made["start"] = [LOW + n * SIZE for n in range(heap)] + [HIGH + n * SIZE for n in range(cache)]
    made["pages"] = made["present"] = WINDOW
    now = tick(moment)
    used = np.zeros(len(made), np.bool_)
    used[:8] = True
    used[8:16] = moment % 8 < 4
    used[heap + moment * 96 // MOMENTS : heap + moment * 96 // MOMENTS + 6] = True
    used[heap + 96 :] |= moment < 130
    made["changed"] = np.where(used, now, 0)
    return made


def document(moments: int = MOMENTS, *, tracked: bool = True) -> dict[str, Any]:
    """What the daemon answers after so many moments."""
    heat, trends = HeatHistory(PAGE), Trends()
    for moment in range(moments):
        table = regions(moment)
        looked = Looked(identity=(4711, 1, ()), regions=table, looked=tick(moment))
        if tracked:
            heat.sample([looked], moment * EVERY_S)
        used = int((table["changed"] == tick(moment)).sum()) * SIZE
        add(trends, moment, len(table) * SIZE, used, tracked=tracked)
    end = max(moments - 1, 0) * EVERY_S
    picture = heat.document(end, BEGIN + end) if tracked else {}
    return {"sizes": trends.document("w"), "map": picture}


def add(trends: Trends, moment: int, whole: int, used: int, *, tracked: bool) -> None:
    away = min(moment * MIB, whole - used) if moment > 20 else 0
    engine = EngineReport(tracker="idlepage", tracked_bytes=whole, idle_bytes=whole - used) if tracked else None
    row = WorkloadReport(
        id="w",
        name="shop/cart-1/db",
        class_name="cold",
        state="converged",
        usage_bytes=whole - away + 30 * MIB,
        swap_bytes=away,
        engine=engine,
        saved=SavedReport(away_bytes=away, out_bytes=away + 20 * MIB, back_bytes=min(moment, 20) * MIB),
    )
    stalled = {"w": moment * 40_000 + (moment > 100) * 3_000_000, "": moment * 90_000}
    trends.add(Report(workloads=(row,)), stalled, BEGIN + moment * EVERY_S)
