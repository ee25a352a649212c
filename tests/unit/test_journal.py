"""Every action with before and after, in bounded space."""

from pathlib import Path

from reconciler import journal, ledger
from reconciler.actions import Outcome, RestoreKnob, Result, SaveOriginal, WriteKnob
from reconciler.journal import Journal
from reconciler.ledger import Ledger
from reconciler.model import Knob
from tests.unit.test_ledger import report, row

WRITE = WriteKnob(workload="w", cgroup="/a", inode=3, knob=Knob.MEMORY_HIGH, value="100", seen="max", foreign=True)
SAVE = SaveOriginal(workload="w", cgroup="/a", inode=3, knob=Knob.MEMORY_HIGH, original="max", written="100")
RESTORE = RestoreKnob(workload="w", cgroup="/a", inode=3, knob=Knob.MEMORY_HIGH, original="max", expected=("100", "50"))


def test_before_and_after_of_each_write(tmp_path: Path) -> None:
    kept = Journal(tmp_path)
    kept.outcomes([Outcome(action=SAVE, result=Result.DONE), Outcome(action=WRITE, result=Result.DONE)], 7)
    kept.outcomes([Outcome(action=RESTORE, result=Result.BUSY, message="later")], 8)

    first, second = journal.read(tmp_path)

    assert {**first, "time": ""} == {
        "time": "",
        "cycle": 7,
        "workload": "w",
        "action": "write",
        "what": "memory.high",
        "cgroup": "/a",
        "before": "max",
        "after": "100",
        "foreign": True,
        "result": "done",
    }
    assert [second[key] for key in ("action", "before", "after", "result", "message")] == [
        "restore",
        "100",
        "max",
        "busy",
        "later",
    ]


def test_what_left_memory_and_what_came_back(tmp_path: Path) -> None:
    before = ledger.look(Ledger(), report(row(paged_out_bytes=10)), 1.0, first=True)
    after = ledger.look(before, report(row(paged_out_bytes=30, came_back_bytes=5)), 2.0)

    Journal(tmp_path).moved(before, after)
    Journal(tmp_path).moved(after, after)

    told = [(entry["action"], entry["before"], entry["after"], entry["bytes"]) for entry in journal.read(tmp_path)]
    assert told == [("page-out", 10, 30, 20), ("came-back", 0, 5, 5)]


def test_space_is_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    kept = Journal(tmp_path, most_bytes=1000)
    for cycle in range(200):
        kept.outcomes([Outcome(action=WRITE, result=Result.DONE)], cycle)

    cycles = [entry["cycle"] for entry in journal.read(tmp_path)]
    assert cycles == list(range(cycles[0], 200))
    assert sum(path.stat().st_size for path in (tmp_path / "journal").iterdir()) <= 2000


def test_lines_that_a_crash_cut_off_are_left_out(tmp_path: Path) -> None:
    Journal(tmp_path).outcomes([Outcome(action=WRITE, result=Result.DONE)], 1)
    with (tmp_path / "journal/actions.jsonl").open("a") as file:
        file.write('{"time": "2026-')
    Journal(tmp_path).write([{"cycle": 2}])

    assert [entry.get("cycle") for entry in journal.read(tmp_path)] == [1]


def test_a_full_disk_costs_only_the_journal(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("no folder")

    Journal(tmp_path).outcomes([Outcome(action=WRITE, result=Result.DONE)], 1)

    assert (tmp_path / "journal").read_text() == "no folder"
