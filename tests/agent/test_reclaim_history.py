"""What is kept of what was seen."""

import errno
import io
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reconciler.agent import coldness
from reconciler.agent.reclaim_history import MOST_FILES, Store
from reconciler.agentconfig import AgentTask, Slo
from reconciler.engine.accessed import AccessedRow, AccessedTable
from sysfs import errors
from tests.agent.fake_workload import KERNEL_BYTES, MIB
from tests.agent.reclaim_run import HOUR, TASK, a_gigabyte, configured, started


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


def packed(**arrays: Any) -> bytes:
    kept = io.BytesIO()
    np.savez_compressed(kept, **arrays)
    return kept.getvalue()


BROKEN = {
    "empty": b"",
    "text": b"{}",
    "half": packed(workload=np.array("id-1"), rows=coldness.row())[:-40],
    "another's": packed(workload=np.array("id-2"), rows=coldness.row()),
    "other columns": packed(workload=np.array("id-1"), rows=np.zeros(3)),
    "no columns": packed(workload=np.array("id-1")),
    "one array": b"\x93NUMPY",
}


@pytest.mark.parametrize("kept", BROKEN.values(), ids=BROKEN)
def test_a_broken_history_is_as_good_as_none(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "history").mkdir()
    (tmp_path / "history" / "id-1.npz").write_bytes(kept)
    run = started(a_gigabyte(), state_dir=tmp_path)
    run.pass_by(130)
    run.part.stop()

    assert len(Store(tmp_path).load("id-1")) == 2
    assert [path.name for path in (tmp_path / "history").iterdir()] == ["id-1.npz"]


def test_it_is_saved_now_and_then_and_when_the_workload_goes(tmp_path: Path) -> None:
    run = started(a_gigabyte(), state_dir=tmp_path)
    run.pass_by(700)
    assert len(Store(tmp_path).load("id-1")) == 10

    run.pass_by(120)
    run.part.change(AgentTask())
    run.part.run(run.fake.now)
    assert len(Store(tmp_path).load("id-1")) == 13


def test_the_oldest_files_make_room(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (tmp_path / "history").mkdir()
    for n in range(MOST_FILES + 3):
        (tmp_path / "history" / f"w{n}.npz").write_bytes(b"")
        os.utime(tmp_path / "history" / f"w{n}.npz", (n, n))
    (tmp_path / "history" / ".w1.npz.x1").write_bytes(b"half")
    store.prune()

    left = {path.name for path in (tmp_path / "history").iterdir()}
    assert left == {f"w{n}.npz" for n in range(3, MOST_FILES + 3)}


def test_a_daemon_that_runs_for_months_keeps_no_more_files_than_one_that_has_just_begun(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for n in range(MOST_FILES + 3):
        store.save(f"job-{n}", coldness.row())
        os.utime(tmp_path / "history" / f"job-{n}.npz", (n + 1, n + 1))

    left = {path.name for path in (tmp_path / "history").iterdir()}
    assert left == {f"job-{n}.npz" for n in range(3, MOST_FILES + 3)}


def test_a_day_of_minutes_is_small(tmp_path: Path) -> None:
    rows = np.concatenate([coldness.row(when=1e9 + n, usage=n * n, cold=n) for n in range(coldness.MOST_ROWS)])
    Store(tmp_path).save("id-1", rows)

    assert (tmp_path / "history" / "id-1.npz").stat().st_size < 100_000
    assert (Store(tmp_path).load("id-1") == rows).all()


def test_at_its_floor_less_might_do() -> None:
    run = started(a_gigabyte(), configured(floor_bytes=900 * MIB))
    run.pass_by(HOUR / 2)
    columns = coldness.rows(run.part.history("id-1")["columns"])

    assert run.now.state == "at floor"
    assert not columns["at_footprint"].any()


def test_names_of_strangers_stay_inside(tmp_path: Path) -> None:
    task = replace(TASK, workload="../../etc/passwd")
    run = started(a_gigabyte(), AgentTask(reclaims=(task,)), state_dir=tmp_path)
    run.pass_by(130)
    run.part.stop()

    assert [path.name[:4] for path in tmp_path.rglob("*.npz")] == ["sha-"]


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
