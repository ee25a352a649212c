"""inotify as a doorbell, on a real folder: pyfakefs knows nothing of inotify."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.watch import Watch

LONG = 60.0


@pytest.fixture
def rung() -> threading.Event:
    return threading.Event()


@pytest.fixture
def watch(tmp_path: Path, rung: threading.Event) -> Iterator[Watch]:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "run").mkdir()
    folders = [tmp_path / "conf.d", tmp_path / "run", tmp_path / "later/conf.d"]
    found = Watch(folders, rung.set, ignore=["status.json"])
    yield found
    found.close()


def test_a_new_a_changed_and_a_removed_file_ring(tmp_path: Path, watch: Watch, rung: threading.Event) -> None:
    path = tmp_path / "conf.d/a.yaml"
    for change in (lambda: path.write_text("x"), lambda: path.write_text("y"), path.unlink):
        rung.clear()
        change()
        assert rung.wait(LONG)


def test_a_folder_that_comes_later_is_noticed_and_then_followed(
    tmp_path: Path, watch: Watch, rung: threading.Event
) -> None:
    (tmp_path / "later/conf.d").mkdir(parents=True)
    assert rung.wait(LONG)
    watch.refresh()
    rung.clear()

    (tmp_path / "later/conf.d/a.yaml").write_text("x")

    assert rung.wait(LONG)


def test_our_own_files_and_reading_do_not_ring(tmp_path: Path, watch: Watch, rung: threading.Event) -> None:
    path = tmp_path / "conf.d/a.yaml"
    path.write_text("x")
    assert rung.wait(LONG)
    marker = tmp_path / "conf.d/marker.yaml"
    marker.write_text("")
    watch.refresh()
    rung.clear()
    seen: list[str] = []
    watch._handler._wake = lambda: seen.append("rung")

    (tmp_path / "run/.status.json.x").write_text("x")
    (tmp_path / "run/.status.json.x").rename(tmp_path / "run/status.json")
    path.read_text()
    watch._handler._wake = rung.set
    (tmp_path / "run/paused").write_text("")  # comes after the others, and in their order

    assert rung.wait(LONG)
    assert seen == []
