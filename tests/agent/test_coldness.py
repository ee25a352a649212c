"""Ages of memory: what the kernel's generations say beyond four of them, what-if tables, and sizes that fit."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent import coldness, generations
from reconciler.agent.coldness import EDGES, MOST_ROWS, UNKNOWN, amounts
from reconciler.agent.generations import Border, Ledger

MIB = 1 << 20
AT_120 = EDGES.index(120.0)


def row(n: int = 0, **values: Any) -> coldness.Rows:
    """One minute; `cold` and `promoted` as one number for all thresholds."""
    return coldness.row(**{"when": 1e9 + 60 * n, "seconds": 60.0, "usage": 1000 * MIB, "fixed": 10 * MIB, **values})


def history(*found: coldness.Rows) -> coldness.Rows:
    return np.concatenate(found)


# -- generations -------------------------------------------------------------------------------------------------------


def test_a_generation_ends_where_the_next_one_begins() -> None:
    found = generations.ledger([(4, 300.0, 70), (5, 200.0, 20), (6, 60.0, 5), (7, 1.0, 900)], now=1000.0)

    assert found == Ledger(
        borders=(
            Border(number=5, at=800.0, older=70),
            Border(number=6, at=940.0, older=90),
            Border(number=7, at=999.0, older=95),
        ),
        total=995,
    )
    aged = generations.amounts([found], 1000.0, fresh=1.0)
    assert [*zip(aged.ages, aged.sizes, strict=True)] == [(200, 70), (60, 20), (1, 5), (0, 900)]


def test_borders_that_the_kernel_forgot_go_on() -> None:
    before = generations.ledger([(4, 300.0, 100), (5, 200.0, 100), (6, 60.0, 0), (7, 1.0, 0)], now=1000.0)
    after = generations.ledger([(5, 260.0, 160), (6, 120.0, 0), (7, 61.0, 0), (8, 1.0, 40)], now=1060.0)

    found = generations.continued(before, after, 1060.0)

    assert [each.number for each in found.borders] == [5, 6, 7, 8]
    assert found.borders[0] == Border(number=5, at=800.0, older=92), "40 were used, mostly of the younger half"
    gone = generations.continued(before, after, 1060.0, evicted=40)
    assert gone.borders[0].older == 60, "reclaim takes the oldest"


def test_several_generations_may_have_come_since() -> None:
    before = generations.ledger([(4, 300.0, 100), (5, 200.0, 100), (6, 60.0, 50), (7, 1.0, 50)], now=1000.0)
    after = generations.ledger([(11, 40.0, 250), (12, 20.0, 0), (13, 1.0, 50)], now=1060.0)

    found = generations.continued(before, after, 1060.0)

    assert [each.number for each in found.borders] == [5, 6, 7, 12, 13]
    assert [each.older for each in found.borders] == sorted(each.older for each in found.borders)
    assert found.borders[0].older > 90
    assert found.borders[2].older < 250


def test_a_border_just_behind_another_one_holds_what_is_before_a_long_gap() -> None:
    """As seen on 6.12: the cgroup was filled within seconds after it was made, then aged each minute."""
    before = generations.ledger([(3, 126.0, 202), (4, 120.0, 0), (5, 60.0, 0), (6, 0.0, 50)], now=1000.0)
    before = generations.continued(Ledger(borders=(Border(number=2, at=873.0, older=66),), total=252), before, 1000.0)
    after = generations.ledger([(4, 180.0, 202), (5, 120.0, 0), (6, 60.0, 0), (7, 0.0, 50)], now=1060.0)

    found = generations.amounts([generations.continued(before, after, 1060.0)], 1060.0, fresh=0.0)

    assert found.cold(np.array([120.0, 165.0])).tolist() == [202, 202], "nothing was used"


def test_hours_of_aging_leave_few_borders() -> None:
    known = Ledger()
    for n in range(2000):
        now = 60.0 * n
        ages = [(n + k, 60.0 * (3 - k), size) for k, size in enumerate((500 * MIB, 0, 0, 100 * MIB))]
        known = generations.continued(known, generations.ledger(ages, now), now)
    aged = generations.amounts([known], 60.0 * 1999, fresh=0)

    assert len(known.borders) < 150
    assert coldness.cold(aged).tolist() == [500 * MIB] * len(EDGES), "idle for hours, and known to be"


@given(st.lists(st.tuples(st.floats(0, 1e5), st.integers(0, 1 << 50)), max_size=12))
def test_less_is_older(pairs: list[tuple[float, int]]) -> None:
    found = amounts(pairs).cold(np.array(EDGES)).tolist()

    assert found == sorted(found, reverse=True)
    assert all(0 <= size <= sum(size for _, size in pairs) for size in found)


# -- promotions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "evicted", "expected"),
    [
        ([(260.0, 100), (0.0, 50)], 0, 0),
        ([(260.0, 60), (0.0, 90)], 0, 40),
        ([(260.0, 60), (0.0, 50)], 40, 0),
        ([(260.0, 60), (0.0, 50)], 30, 10),
        ([(250.0, 100), (0.0, 50)], 0, 0),  # a look that came late
    ],
)
def test_what_was_cold_and_is_not_any_more(after: list[tuple[float, int]], evicted: int, expected: int) -> None:
    before = amounts([(200.0, 100), (0.0, 50)])

    found = coldness.promoted(before, amounts(after), 60.0, evicted)

    assert found[AT_120] == expected
    assert found[-1] == UNKNOWN, "ages did not reach so far back"


def test_uses_that_nobody_noticed_are_not_none() -> None:
    looks = amounts([(200.0, 100)]), amounts([(260.0, 100)], fresh=260.0)

    assert set(coldness.promoted(*looks, 60.0, 0).tolist()) == {UNKNOWN}
    assert set(coldness.promoted(None, looks[0], 60.0, 0).tolist()) == {UNKNOWN}
    assert set(coldness.cold(looks[1]).tolist()) == {UNKNOWN}


def test_tables_are_cut_where_they_are_compared() -> None:
    limits = coldness.limits(60.0)

    assert {*EDGES} < {*limits}
    assert limits[0] == limits[-1] == 0.0
    assert [*limits[1:-1]] == sorted(limits[1:-1])


# -- what if -----------------------------------------------------------------------------------------------------------


def test_what_each_threshold_would_bring() -> None:
    cold = [800, 700, 650, 600, 500, 400, 300, 200, 100, 0]
    used = [50, 20, 10, 4, 2, 1, 0, 0, 0, 0]
    minutes = [
        row(n, cold=[size * MIB for size in cold], promoted=[size * MIB for size in used], refaulted=MIB)
        for n in range(10)
    ]

    found = coldness.what_if(history(*minutes))

    at = found[AT_120]
    assert (at.threshold_s, at.saved_bytes, at.refaults_per_minute) == (120.0, 600 * MIB, 5 * MIB)
    assert at.percent_per_minute == pytest.approx(100 * 5 / 400)
    assert [each.saved_bytes // MIB for each in found] == cold


def test_where_promotions_are_unknown_savings_are_still_known() -> None:
    found = coldness.what_if(history(row(cold=MIB)))

    assert (found[0].saved_bytes, found[0].refaults_per_minute, found[0].percent_per_minute) == (MIB, None, None)
    assert coldness.best(found, 100.0) is None


def test_nothing_known_no_rows() -> None:
    assert coldness.what_if(coldness.nothing()) == ()
    assert coldness.what_if(history(row(), row(1))) == ()


@pytest.mark.parametrize(("percent", "threshold"), [(100.0, 10.0), (1.0, 120.0), (0.3, 600.0), (0.0, 1800.0)])
def test_the_best_saves_most_within_the_target(percent: float, threshold: float) -> None:
    used = [50, 20, 10, 4, 2, 1, 0, 0, 0, 0]
    found = coldness.what_if(history(row(cold=500 * MIB, promoted=[size * MIB for size in used])))

    best = coldness.best(found, percent)

    assert best is not None
    assert best.threshold_s == threshold


# -- sizes that fit ----------------------------------------------------------------------------------------------------


def test_the_footprint_counts_where_it_was_reached_and_what_is_used_elsewhere() -> None:
    lately = row(cold=700 * MIB)  # 300 MiB were used within two minutes
    reached = row(1, usage=320 * MIB, at_footprint=True, memory_percent=0.04, footprint=305 * MIB, cold=300 * MIB)
    unknown = row(2)

    assert (coldness.needed(history(lately, reached, unknown)) // MIB).tolist() == [300, 320]
    assert (coldness.needed(history(unknown, unknown)) // MIB).tolist() == [1000, 1000]


def test_request_and_limit_with_their_evidence() -> None:
    quiet = [row(n, usage=300 * MIB, at_footprint=True, memory_percent=0.05, cold=0) for n in range(96)]
    peaks = [row(96 + n, usage=600 * MIB, at_footprint=True, memory_percent=0.09, cold=0) for n in range(4)]

    found = coldness.right_size(history(*quiet, *peaks))

    assert (found.request_bytes // MIB, found.limit_bytes // MIB) == (315, 720)
    evidence = found.evidence
    assert (evidence.rows, evidence.hours) == (100, 1.65)
    assert (evidence.need_p50 // MIB, evidence.need_p95 // MIB, evidence.need_max // MIB) == (300, 300, 600)
    assert (evidence.memory_percent_max, evidence.footprint_percent) == (0.09, 100.0)
    assert evidence.notes == ("less than a day is known: what happens once a day may be missing",)


def test_what_cannot_leave_has_to_fit() -> None:
    found = coldness.right_size(history(*(row(n, cold=950 * MIB, fixed=800 * MIB) for n in range(3))))

    assert found.evidence.need_max == 800 * MIB
    assert found.limit_bytes == 960 * MIB
    assert "never reached: what was used within two minutes" in found.evidence.notes[-1]


def test_a_day_is_remembered_and_no_more() -> None:
    kept = coldness.nothing()
    for n in range(MOST_ROWS + 5):
        kept = coldness.appended(kept, row(n))

    assert len(kept) == MOST_ROWS
    assert kept["when"][0] == 1e9 + 300
    assert coldness.right_size(kept).evidence.notes == (
        "the footprint was never reached: all memory in use counts, which is too much",
    )


def test_nothing_to_go_by() -> None:
    with pytest.raises(ValueError, match="nothing is known yet"):
        coldness.right_size(coldness.nothing())


def test_columns_there_and_back() -> None:
    before = history(row(cold=MIB, promoted=5), row(1, at_footprint=True))

    assert (coldness.rows(coldness.document(before)) == before).all()
    assert len(coldness.rows(coldness.document(coldness.nothing()))) == 0


@pytest.mark.parametrize("columns", [{}, {"when": [1.0]}, {"when": [1.0], "seconds": ["x"]}, {"when": 3}])
def test_columns_of_somebody_else(columns: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no history"):
        coldness.rows(columns)
