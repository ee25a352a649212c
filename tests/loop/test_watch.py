"""inotify as a doorbell, on a real folder: pyfakefs knows nothing of inotify."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from watchdog.events import (
    DirCreatedEvent,
    DirModifiedEvent,
    FileClosedNoWriteEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileOpenedEvent,
    FileSystemEvent,
)

from reconciler.watch import Watch, _Doorbell

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


def test_a_folder_that_was_made_again_is_followed_again(tmp_path: Path, watch: Watch, rung: threading.Event) -> None:
    (tmp_path / "conf.d").rename(tmp_path / "old")
    (tmp_path / "conf.d").mkdir()
    watch.refresh()
    rung.clear()

    (tmp_path / "conf.d/a.yaml").write_text("x")

    assert rung.wait(LONG)


@pytest.mark.parametrize(
    ("event", "rings"),
    [
        (FileModifiedEvent("/run/ebbtide/paused"), True),
        (FileDeletedEvent("/etc/nri/conf.d/a.yaml"), True),
        (FileMovedEvent("/etc/nri/conf.d/.a.swp", "/etc/nri/conf.d/a.yaml"), True),
        (DirCreatedEvent("/etc/nri/conf.d"), True),
        (FileMovedEvent("/etc/nri/conf.d/a.yaml", "/etc/nri/conf.d/.a.yaml.off"), True),
        (FileMovedEvent("/etc/nri/conf.d/..data_tmp", "/etc/nri/conf.d/..data"), True),
        (FileOpenedEvent("/etc/nri/conf.d/a.yaml"), False),
        (FileClosedNoWriteEvent("/etc/nri/conf.d/a.yaml"), False),
        (FileCreatedEvent("/run/ebbtide/.status.json.x1"), False),
        (FileMovedEvent("/run/ebbtide/.status.json.x1", "/run/ebbtide/status.json"), False),
        (DirModifiedEvent("/run/ebbtide"), False),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bool) else str(value),
)
def test_our_own_files_and_reading_do_not_ring(event: FileSystemEvent, rings: bool) -> None:
    rung: list[str] = []

    _Doorbell(lambda: rung.append("rung"), frozenset({"status.json"})).on_any_event(event)

    assert bool(rung) is rings
