"""Marks in STATE/released.d: workloads that an administrator took back with `ebbtide release`.

A mark is an empty file named after the workload's id, percent-encoded so that no id can leave the folder; the file
`all` stands for every workload. Marks outlive the daemon and a reboot, until `ebbtide resume` removes them.
"""

import contextlib
import os
from urllib.parse import quote, unquote

ALL = "*"
FOLDER = "released.d"


def read(state_dir: str | os.PathLike[str]) -> frozenset[str]:
    """Ids of released workloads; "*" = all."""
    try:
        names = [name for name in os.listdir(os.path.join(state_dir, FOLDER)) if not name.startswith(".")]
    except FileNotFoundError:
        return frozenset()
    return frozenset(ALL if name == "all" else unquote(name) for name in names)


def mark(state_dir: str | os.PathLike[str], workload: str) -> None:
    os.makedirs(os.path.join(state_dir, FOLDER), mode=0o700, exist_ok=True)
    path = os.path.join(state_dir, FOLDER, _name(workload))
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))


def unmark(state_dir: str | os.PathLike[str], workload: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(state_dir, FOLDER, _name(workload)))


def _name(workload: str) -> str:
    if workload == ALL:
        return "all"
    encoded = quote(workload, safe="")
    return encoded if encoded != "all" and not encoded.startswith(".") else f"%{ord(encoded[0]):02X}{encoded[1:]}"
