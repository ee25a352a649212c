"""STATE/rendered/NAMESPACE/POD/CONTAINER/{config.yaml,output}: what each workload runs with, to read.

The names come from strangers: one that is not plainly a file name is replaced by the record's id, and nothing here is
ever followed through a link. The folder is 0700 and ours alone.
"""

import dataclasses
import mmap
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from reconciler.files import write_atomically
from reconciler.memtierd import native
from reconciler.model import Desired, DesiredWorkload, Workload

_PLAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")
BY_ID, NODE = ".id", ".node"  # beside namespaces, whose names never begin with a dot
LARGEST_OUTPUT = 1 << 20  # bytes; the older half goes when it is reached


def folder(state_dir: Path, workload: Workload) -> Path:
    """Where this workload's files are."""
    names = (workload.namespace, workload.pod, workload.container)
    if not workload.container or not all(_PLAIN.fullmatch(name) for name in names):
        names = (BY_ID, re.sub(r"[^A-Za-z0-9._-]", "_", workload.id).lstrip("."), "")
    return state_dir.joinpath("rendered", *names)


def config(wanted: DesiredWorkload) -> str:
    """What it runs with, as YAML for people."""
    document: dict[str, Any] = {
        "workload": wanted.workload.name,
        "id": wanted.workload.id,
        "class": wanted.class_name,
        "mode": str(wanted.mode),
        "cgroup": wanted.workload.cgroup,
        "memory": {str(knob): value for knob, value in wanted.knobs.items()},
    }
    if wanted.engine is not None:
        task = dataclasses.asdict(wanted.engine)
        document["engine"] = _plain({**task, "config": native.mapping(wanted.engine.config, mmap.PAGESIZE)})
    return yaml.safe_dump(document, sort_keys=False)


class Rendered:
    """Keeps the files as they should be. Errors are let go: a failing disk must not stop the loop."""

    def __init__(self, state_dir: Path) -> None:
        self._top = state_dir / "rendered"
        self._state_dir = state_dir
        self._written: dict[Path, DesiredWorkload] = {}
        self._stale = set(_existing(self._top))  # of the daemon before us

    def reconcile(self, desired: Desired) -> None:
        """Write what changed, remove what no longer runs; what is as before costs nothing."""
        managed = (wanted for wanted in desired.workloads.values() if wanted.class_name or wanted.knobs)
        wanted_folders = {folder(self._state_dir, wanted.workload): wanted for wanted in managed}
        for path in (self._written.keys() | self._stale) - wanted_folders.keys():
            shutil.rmtree(path, ignore_errors=True)
            _remove_empty(path.parent, self._top)
        self._stale = set()
        self._written = {
            path: wanted
            for path, wanted in wanted_folders.items()
            if self._written.get(path) == wanted or _write(path / "config.yaml", config(wanted))
        }


def node_output(state_dir: Path) -> Path:
    """Where the output of the node's routines is."""
    return state_dir / "rendered" / NODE / "output"


def append_output(state_dir: Path, workload: Workload, text: str) -> None:
    """Add a routine's output to the workload's file, keeping its size bounded."""
    append(folder(state_dir, workload) / "output", text)


def append(path: Path, text: str) -> None:
    """Add to a file; the older half goes when it has become too large."""
    try:
        before = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        before = ""
    if len(before) > LARGEST_OUTPUT:
        before = before[len(before) // 2 :].partition("\n")[2]
    _write(path, before + text)


def _write(path: Path, text: str) -> bool:
    """Whether it is there now."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, text)
    except OSError:
        return False
    return True


def _existing(top: Path) -> Iterator[Path]:
    for found, _, files in os.walk(top):
        if "config.yaml" in files:
            yield Path(found)


def _remove_empty(path: Path, top: Path) -> None:
    while path != top:
        try:
            path.rmdir()
        except OSError:
            return
        path = path.parent


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, str) else value
