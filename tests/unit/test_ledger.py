"""What was saved: sums that outlive loops, workloads and the daemon."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import books, ledger
from reconciler.ledger import MOST_GONE, Account, Counted, Ledger
from reconciler.report import (
    AgentReport,
    EngineReport,
    ReclaimedReport,
    ReclaimReport,
    Report,
    SavedReport,
    WorkloadReport,
)

MIB = 1 << 20


def row(name: str = "w", class_name: str = "cold", **engine: int) -> WorkloadReport:
    loop = EngineReport(tracker="damon", **engine)  # type: ignore[arg-type]
    return WorkloadReport(id=name, name=f"ns/{name}/c", class_name=class_name, state="converged", engine=loop)


def report(*rows: WorkloadReport) -> Report:
    return Report(workloads=rows)


def test_what_is_away_costs_nothing_for_as_long_as_it_is_away() -> None:
    first = ledger.look(Ledger(), report(row(paged_out_bytes=10 * MIB)), 1000.0, first=True)
    second = ledger.look(first, report(row(paged_out_bytes=10 * MIB, came_back_bytes=4 * MIB)), 1010.0)

    account = second.workloads["w"]
    assert account.total == Counted(out_bytes=10 * MIB, back_bytes=4 * MIB)
    assert account.avoided_byte_seconds == 6 * MIB * 10
    assert second.classes["cold"].total == account.total


def test_what_processes_had_away_when_they_ended_saves_nothing() -> None:
    gone = row(paged_out_bytes=10 * MIB, away_bytes=2 * MIB)
    first = ledger.look(Ledger(), report(gone), 1000.0, first=True)
    second = ledger.look(first, report(gone), 1010.0)

    assert second.workloads["w"].avoided_byte_seconds == 2 * MIB * 10


def swapping(swap: int, **engine: int) -> Report:
    return report(replace(row("w", "cold", **engine), swap_bytes=swap))


def test_what_an_earlier_loop_sent_away_is_saved_for_as_long_as_it_is_in_swap() -> None:
    first = ledger.look(Ledger(), swapping(9 * MIB, paged_out_bytes=8 * MIB, away_bytes=8 * MIB), 1000.0, first=True)
    anew = ledger.look(first, swapping(9 * MIB, paged_out_bytes=0, away_bytes=0), 1010.0)
    more = ledger.look(anew, swapping(9 * MIB, paged_out_bytes=3 * MIB, away_bytes=3 * MIB), 1020.0)
    back = ledger.look(more, swapping(4 * MIB, paged_out_bytes=3 * MIB, away_bytes=3 * MIB), 1030.0)
    full = ledger.look(back, swapping(9 * MIB, paged_out_bytes=3 * MIB, away_bytes=3 * MIB), 1040.0)

    # What is in swap beyond that is not ours: 1 MiB at first, 5 MiB at the end.
    assert [each.away["w"] // MIB for each in (first, anew, more, back, full)] == [8, 8, 9, 4, 4]


def test_and_so_is_what_an_earlier_daemon_sent_away(tmp_path: Path) -> None:
    before = ledger.look(Ledger(), swapping(8 * MIB, paged_out_bytes=8 * MIB, away_bytes=8 * MIB), 1000.0, first=True)
    books.store(tmp_path, before)
    after = ledger.look(books.load(tmp_path), swapping(7 * MIB, away_bytes=0), 2000.0, first=True)

    assert after.away["w"] == 7 * MIB
    assert ledger.look(after, swapping(0, away_bytes=0), 2010.0).away["w"] == 0


def test_a_report_is_told_what_was_saved() -> None:
    known = ledger.look(Ledger(), report(row(paged_out_bytes=10 * MIB, away_bytes=4 * MIB)), 1000.0, first=True)

    told = ledger.told(known, report(row(), row("new", "other")))

    assert told.workloads[0].saved == SavedReport(
        away_bytes=4 * MIB, out_bytes=10 * MIB, since="1970-01-01T00:16:40+00:00"
    )
    assert told.workloads[1].saved == SavedReport()
    assert [(each.name, each.saved.away_bytes) for each in told.classes] == [("cold", 4 * MIB)]


def test_a_loop_that_begins_anew_adds_to_what_was() -> None:
    before = ledger.look(Ledger(), report(row(paged_out_bytes=10)), 1000.0, first=True)
    after = ledger.look(before, report(row(paged_out_bytes=3)), 1005.0)

    assert after.workloads["w"].total.out_bytes == 13


def test_time_in_which_nobody_looked_does_not_count() -> None:
    before = ledger.look(Ledger(), report(row(paged_out_bytes=MIB)), 1000.0, first=True)

    slept = ledger.look(before, report(row(paged_out_bytes=MIB)), 1000.0 + 7200)
    backwards = ledger.look(before, report(row(paged_out_bytes=MIB)), 500.0)

    assert slept.workloads["w"].avoided_byte_seconds == 0
    assert backwards.workloads["w"].avoided_byte_seconds == 0


def test_what_the_agent_took_counts_beside_the_loop() -> None:
    probed = ReclaimedReport(
        workload="w", name="n", cgroup="/c", state="probing", taken_bytes=5 * MIB, refaulted_bytes=9 * MIB
    )
    told = replace(report(row(paged_out_bytes=MIB)), agent=AgentReport(reclaim=ReclaimReport(workloads=(probed,))))

    found = ledger.look(Ledger(), told, 1000.0, first=True)

    # Refaults are the kernel's own as well: no more came back than was taken.
    assert found.workloads["w"].total == Counted(out_bytes=6 * MIB, back_bytes=5 * MIB)


def test_workloads_that_went_are_remembered_up_to_a_bound() -> None:
    many = [row(f"w{number}", paged_out_bytes=1) for number in range(MOST_GONE + 50)]
    before = ledger.look(Ledger(), report(*many), 1000.0, first=True)
    after = ledger.look(before, report(row("new", paged_out_bytes=2)), 1005.0)

    assert len(after.workloads) == MOST_GONE + 1
    assert after.classes["cold"].total.out_bytes == MOST_GONE + 50 + 2


def test_workloads_without_a_class_have_no_account() -> None:
    assert ledger.look(Ledger(), report(row(class_name="")), 1.0).workloads == {}


@given(st.lists(st.lists(st.integers(0, 1 << 40), min_size=4, max_size=4), max_size=20))
def test_totals_never_fall(looks: list[list[int]]) -> None:
    at, known = 1000.0, Ledger()
    for out, back, brought, moved in looks:
        found = ledger.look(
            known,
            report(row(paged_out_bytes=out, came_back_bytes=back, brought_back_bytes=brought, moved_bytes=moved)),
            at,
        )
        old = known.classes.get("cold", Account(name="", class_name="")).total
        new = found.classes["cold"].total
        assert all(getattr(new, name) >= getattr(old, name) for name in Counted.__slots__)
        known, at = found, at + 5


def test_a_ledger_survives_the_daemon(tmp_path: Path) -> None:
    kept = ledger.look(Ledger(), report(row(paged_out_bytes=7)), 1000.0, first=True)
    books.store(tmp_path, kept)

    found = books.load(tmp_path)
    # The new daemon's loops count from zero.
    after = ledger.look(found, report(row(paged_out_bytes=2)), 2000.0, first=True)

    assert (found.workloads, found.classes) == (kept.workloads, kept.classes)
    assert after.workloads["w"].total.out_bytes == 9


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 2}', '{"version": 1, "workloads": {"a": 3}, "classes": {}}']
)
def test_a_ledger_that_cannot_be_understood_begins_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history/ledger.json").write_text(text)

    assert books.load(tmp_path) == Ledger()
