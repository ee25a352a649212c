"""Marks in STATE/released.d: workloads that an administrator took back with `ebbtide release`.

A mark is an empty file named after the workload's id (percent-encoded, so that no id can leave the folder); the mark
"*" means all. They outlive the daemon and a reboot, until `ebbtide resume` removes them.
"""

import contextlib
import os
from urllib.parse import quote, unquote

ALL = "*"
FOLDER = "released.d"


def read(state_dir: str) -> frozenset[str]:
    """Ids of released workloads."""
    try:
        return frozenset(map(unquote, os.listdir(f"{state_dir}/{FOLDER}")))
    except FileNotFoundError:
        return frozenset()


def mark(state_dir: str, workload: str) -> None:
    os.makedirs(f"{state_dir}/{FOLDER}", mode=0o700, exist_ok=True)
    os.close(os.open(_path(state_dir, workload), os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def unmark(state_dir: str, workload: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_path(state_dir, workload))


def _path(state_dir: str, workload: str) -> str:
    return f"{state_dir}/{FOLDER}/{quote(workload, safe=ALL).replace('.', '%2E')}"
