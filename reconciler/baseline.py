"""STATE/baseline.json: the original of everything before our first write, on disk before that write.

It survives kill -9 at any instant (atomic rename, fsync of file and folder). It names its boot: after a reboot there
are other cgroups, and the file is ignored. A file that cannot be understood is set aside, never overwritten.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.actions import BaselineEntry, ForgetOriginal, RestoreKnob, SaveOriginal
from reconciler.files import write_atomically
from reconciler.model import Knob, Problem, Severity

VERSION = 1
Key = tuple[str, Knob]


class Baseline:
    def __init__(self, state_dir: str | Path, boot_id: str) -> None:
        self.path = Path(state_dir) / "baseline.json"
        self.boot_id = boot_id
        self.entries: dict[Key, BaselineEntry] = {}
        self.problems: tuple[Problem, ...] = ()
        self._aside: Path | None = None
        self._load()

    def save(self, actions: Iterable[SaveOriginal]) -> None:
        """Remember; OSError when the disk refuses, and then nothing may be written to the kernel."""
        entries = {(action.cgroup, action.knob): _entry(action) for action in actions}
        self._store(self.entries | entries)

    def forget(self, actions: Iterable[RestoreKnob | ForgetOriginal]) -> None:
        """Drop what has been given back."""
        gone = {(action.cgroup, action.knob) for action in actions}
        self._store({key: entry for key, entry in self.entries.items() if key not in gone})

    def _store(self, entries: Mapping[Key, BaselineEntry]) -> None:
        if entries == self.entries:
            return
        document = {
            "version": VERSION,
            "boot_id": self.boot_id,
            "entries": [asdict(entry) for _, entry in sorted(entries.items())],
        }
        if self._aside is not None and self.path.exists():
            os.replace(self.path, self._aside)
        self._aside = None
        write_atomically(self.path, json.dumps(document, indent=1), durable=True)
        self.entries = dict(entries)

    def _load(self) -> None:
        try:
            document = json.loads(self.path.read_text())
            entries = _entries(document)
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError) as error:
            self._not_understood(error)
            return
        if document["boot_id"] == self.boot_id:
            self.entries = {(entry.cgroup, entry.knob): entry for entry in entries}

    def _not_understood(self, error: Exception) -> None:
        """Said now, moved before the first write of our own: a reader such as `ebbtide plan` changes nothing."""
        self._aside = self.path.with_suffix(".unreadable")
        problem = Problem(
            where=str(self.path),
            message=f"cannot be understood ({error}), so values written before now cannot be restored",
            hint=f"it is moved to {self._aside} before anything is written; compare by hand, then delete it",
            severity=Severity.WARNING,
        )
        self.problems = (problem,)


def _entries(document: dict[str, Any]) -> list[BaselineEntry]:
    if document["version"] != VERSION:
        raise ValueError(f"it has version {document['version']}, this Ebbtide reads {VERSION}")
    return [BaselineEntry(**{**entry, "knob": Knob(entry["knob"])}) for entry in document["entries"]]


def _entry(action: SaveOriginal) -> BaselineEntry:
    return BaselineEntry(**asdict(action))
