"""Figures over time: columns, steps, bounds."""

import pytest

from reconciler.report import EngineReport, Report, SavedReport, WorkloadReport
from reconciler.trends import COARSE_S, EVERY_S, MOST_COARSE, MOST_FINE, NODE, SIZES, Trends

MIB = 1 << 20


def row(name: str = "w", usage: int = 10 * MIB) -> WorkloadReport:
    engine = EngineReport(tracker="damon", tracked_bytes=8 * MIB, idle_bytes=2 * MIB)
    saved = SavedReport(away_bytes=3 * MIB, out_bytes=5 * MIB, back_bytes=2 * MIB)
    return WorkloadReport(
        id=name, name=name, class_name="c", state="converged", usage_bytes=usage, engine=engine, saved=saved
    )


def test_a_workload_and_the_node() -> None:
    trends = Trends()
    trends.add(Report(workloads=(row(), row("x", 6 * MIB))), {}, 1000.0)

    fine = trends.document("w")["fine"]
    assert fine == {
        "when": [1000.0],
        "usage_bytes": [10 * MIB],
        "swap_bytes": [0],
        "tracked_bytes": [8 * MIB],
        "idle_bytes": [2 * MIB],
        "away_bytes": [3 * MIB],
        "out_bytes": [5 * MIB],
        "back_bytes": [2 * MIB],
        "stall_percent": [0.0],
    }
    assert trends.document(NODE)["fine"]["usage_bytes"] == [16 * MIB]
    assert trends.document(NODE)["coarse"]["away_bytes"] == [6 * MIB]


def test_an_empty_node_has_a_row_too() -> None:
    trends = Trends()
    trends.add(Report(), {}, 1000.0)

    assert trends.document(NODE)["fine"]["usage_bytes"] == [0]


def test_stall_is_a_share_of_the_time_between_rows() -> None:
    trends = Trends()
    for stalled, now in ((5_000_000, 1000.0), (8_000_000, 1015.0), (8_000_000, 1030.0)):
        trends.add(Report(workloads=(row(),)), {"w": stalled}, now)

    assert trends.document("w")["fine"]["stall_percent"] == [0.0, 20.0, 0.0]


def test_both_tables_have_bounds_and_whoever_is_gone_goes() -> None:
    trends = Trends()
    rows = int(COARSE_S / EVERY_S) * (MOST_COARSE + 5)
    for number in range(rows):
        trends.add(Report(workloads=(row(),)), {}, EVERY_S * number)

    found = trends.document("w")
    assert (len(found["fine"]["when"]), len(found["coarse"]["when"])) == (MOST_FINE, MOST_COARSE)
    assert found["coarse"]["when"][1] - found["coarse"]["when"][0] == COARSE_S
    trends.add(Report(), {}, EVERY_S * rows)
    with pytest.raises(LookupError, match="nothing is known of w yet"):
        trends.document("w")


@pytest.mark.parametrize(("now", "due"), [(1014.9, False), (1015.0, True), (999.0, True)])
def test_due_also_when_the_clock_is_set_back(now: float, due: bool) -> None:
    trends = Trends()
    assert trends.due(1000.0)
    trends.add(Report(), {}, 1000.0)

    assert trends.due(now) is due


def test_what_is_too_large_for_a_column_is_the_largest() -> None:
    trends = Trends()
    trends.add(Report(workloads=(row(usage=1 << 60),)), {}, 1000.0)

    assert trends.document("w")["fine"]["usage_bytes"] == [(2**32 - 1) * 1024]
    assert len(SIZES) == 7
