"""inotify as a doorbell: something in these directories changed, go and look. What changed is not passed on.

A directory that does not exist yet is watched through its nearest existing parent. Events may be lost (queue overflow,
other file systems): the loop's resync looks anyway.
"""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

_READS = frozenset({"opened", "closed_no_write"})  # our own looks must not wake us


class Watch:
    """Rings `wake` on every change in the directories, until closed; `ignore` names files that we write there."""

    def __init__(
        self, directories: Iterable[str | Path], wake: Callable[[], None], *, ignore: Iterable[str] = ()
    ) -> None:
        self._directories = [Path(directory) for directory in directories]
        self._handler = _Doorbell(wake, frozenset(ignore))
        self._observer = Observer()
        self._watched: set[tuple[str, int]] = set()
        self._observer.start()
        self.refresh()

    def refresh(self) -> None:
        """Follow directories that have come or gone since the last call; cheap, called once a cycle."""
        wanted = {_identity(_nearest(directory)) for directory in self._directories}
        if wanted == self._watched:
            return
        self._observer.unschedule_all()
        self._watched = set()
        for directory, inode in sorted(wanted):
            try:
                self._observer.schedule(self._handler, directory, recursive=False)
            except OSError:
                continue  # vanished meanwhile, or no inotify watch left: the resync looks anyway
            self._watched.add((directory, inode))

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()


class _Doorbell(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None], ignore: frozenset[str]) -> None:
        super().__init__()
        self._wake = wake
        self._ignore = ignore

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in _READS or self._is_ours(event):
            return
        self._wake()

    def _is_ours(self, event: FileSystemEvent) -> bool:
        """A file of ours, the scratch file that becomes it, or the directory's own time stamp that moved with it.

        Moving a file away is news, whatever its new name; so is Kubernetes' swap of `..data`.
        """
        if event.is_directory and event.event_type == "modified":
            return True
        names = [os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path) if path]
        return all(name in self._ignore or _is_scratch(name) for name in names)


def _is_scratch(name: str) -> bool:
    """As files.write_atomically and records.write call what is not complete yet; editors' swap files look the same."""
    return name.startswith(".") and not name.startswith("..")


def _nearest(directory: Path) -> Path:
    while not directory.is_dir() and directory != directory.parent:
        directory = directory.parent
    return directory


def _identity(directory: Path) -> tuple[str, int]:
    """Path and inode: a folder that was removed and made again has lost its watch."""
    try:
        return str(directory), directory.stat().st_ino
    except OSError:
        return str(directory), 0
