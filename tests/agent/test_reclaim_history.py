"""What is kept of what was seen."""

import errno
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.agentconfig import AgentTask, Slo
from reconciler.engine.accessed import AccessedRow, AccessedTable
from sysfs import errors
from tests.agent.fake_workload import KERNEL_BYTES, MIB
from tests.agent.reclaim_run import HOUR, TASK, a_gigabyte, configured, started

# -- history -----------------------------------------------------------------------------------------------------------


def test_the_history_outlives_the_daemon(tmp_path: Path) -> None:
    run = started(a_gigabyte(), configured(slo=Slo.PROMOTION), state_dir=tmp_path)
    run.pass_by(HOUR)
    before = run.part.history("id-1")
    run.part.stop()

    again = started(run.fake, configured(slo=Slo.PROMOTION), state_dir=tmp_path)
    again.pass_by(130)
    after = again.part.history("id-1")

    assert len(before["columns"]["when"]) >= 59
    assert after["columns"]["when"][: len(before["columns"]["when"])] == before["columns"]["when"]
    assert (after["name"], after["slo"], after["ages_from"]) == ("shop/cart/db", "promotion", "mglru")
    json.dumps(after)


@pytest.mark.parametrize("text", ["", "{", '{"version": 1}', '{"version": 9, "workload": "id-1", "columns": {}}', "[]"])
def test_a_broken_history_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "id-1.json").write_text(text)
    run = started(a_gigabyte(), state_dir=tmp_path)
    run.pass_by(130)
    run.part.stop()

    assert json.loads((tmp_path / "history" / "id-1.json").read_text())["workload"] == "id-1"


def test_names_of_strangers_stay_inside(tmp_path: Path) -> None:
    task = replace(TASK, workload="../../etc/passwd")
    run = started(a_gigabyte(), AgentTask(reclaims=(task,)), state_dir=tmp_path)
    run.pass_by(130)
    run.part.stop()

    assert [path.name[:4] for path in tmp_path.rglob("*.json")] == ["sha-"]


def test_a_tracker_knows_ages_where_the_kernel_has_no_generations() -> None:
    fake = a_gigabyte()
    reading = fake.read

    def read(path: str) -> str:
        if path.endswith("lru_gen"):
            raise errors.of(OSError(errno.ENOENT, "No such file"), path)
        return reading(path)

    fake.read = read  # type: ignore[method-assign]

    def accessed(workload: str, limits: Any) -> AccessedTable:
        assert workload == "id-1"
        row = AccessedRow(pid=7, at_least=120.0, below=0.0, pages=0, bytes=80 * MIB, percent=1.0, swapped_pages=1024)
        return AccessedTable(rows=(row,), tracker="damon")

    run = started(fake, accessed=accessed)
    run.pass_by(130)
    history = run.part.history("id-1")

    assert history["ages_from"] == "damon"
    assert history["columns"]["cold"][-1][3] == 76 * MIB


def test_nothing_is_known_of_others() -> None:
    with pytest.raises(LookupError, match="no `reclaim:`"):
        started(a_gigabyte()).part.history("other")


def test_the_fake_counts_what_the_kernel_counts() -> None:
    assert a_gigabyte().usage == 1000 * MIB + KERNEL_BYTES
