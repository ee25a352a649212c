"""`ebbtide journal`: what was done, for people and for programs."""

import json
from pathlib import Path

import jsonschema
import pytest

from reconciler.actions import Outcome, Result
from reconciler.cli import main
from reconciler.journal import Journal
from tests.unit.test_journal import RESTORE, WRITE

SCHEMA = json.loads((Path(__file__).parents[2] / "schema/journal.schema.json").read_text())


def kept(folder: Path) -> list[str]:
    journal = Journal(folder)
    journal.outcomes([Outcome(action=WRITE, result=Result.DONE)], 7)
    journal.outcomes([Outcome(action=RESTORE, result=Result.BUSY, message="later")], 8)
    journal.write(
        [{"workload": "x", "action": "page-out", "what": "memory", "before": 0, "after": 3 << 20, "bytes": 3}]
    )
    return ["--state-dir", str(folder), "--run-dir", str(folder)]


def test_a_line_for_each_action(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["journal", *kept(tmp_path)], {}) == 0

    lines = [line.split()[2:] for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == ["w", "write", "memory.high", "max", "100", "done", "somebody", "else's", "value"]
    assert lines[2] == ["w", "restore", "memory.high", "100", "max", "busy", "later"]
    assert lines[3] == ["x", "page-out", "memory", "0B", "3M", "-", "-"]


def test_only_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = kept(tmp_path)
    assert main.main(["journal", *common, "w", "-n", "1", "-o", "json"], {}) == 0

    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert [entry["action"] for entry in document["entries"]] == ["restore"]
    assert main.main(["journal", *common, "nobody"], {}) == 4


def test_all_that_is_written_keeps_to_the_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["journal", *kept(tmp_path), "-o", "json"], {}) == 0

    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, SCHEMA)
    assert len(document["entries"]) == 3


def test_before_anything_was_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["journal", "--state-dir", str(tmp_path), "--run-dir", str(tmp_path)], {}) == 0

    assert capsys.readouterr().out == "nothing was done yet\n"
