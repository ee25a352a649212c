"""STATE/workloads.d: the only reader and writer of workload records.

A record may name any cgroup of the machine, so it is believed only if nobody but root (or who runs us) could have
written it. Nothing is synced to disk: a record of `ebbtide nri` is worth nothing after a reboot, and a rename is
never seen half done by a process of the same boot. So writing one takes well under a millisecond.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress

from reconciler import inventory
from reconciler.model import Problem, Severity, Workload

FOLDER = "workloads.d"
SUFFIXES = (".json", ".yaml", ".yml")
_LARGEST = 1 << 20
_OURS = re.compile(r"([0-9a-f]{64})\.json\Z")  # container ids, and nobody calls a file of theirs that


def folder(state_dir: str) -> str:
    return os.path.join(state_dir, FOLDER)


def read_all(state_dir: str, boot_id: str) -> tuple[tuple[Workload, ...], tuple[Problem, ...]]:
    """Records that hold on this boot, in the order of their file names, and what is wrong with the others."""
    workloads: list[Workload] = []
    problems: list[Problem] = []
    for path in _paths(state_dir):
        found = read(path)
        if isinstance(found, Workload):
            workloads.append(found)
        else:
            problems.extend(found)
    return tuple(one for one in workloads if one.boot_id in ("", boot_id)), (*problems, *_strangers(state_dir))


def read(path: str) -> Workload | tuple[Problem, ...]:
    """One record, or why there is none; a file that vanished meanwhile is neither: an empty tuple."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            refused = _refusal(os.fstat(descriptor))
            data = b"" if refused else file.read(_LARGEST + 1)
    except FileNotFoundError:
        return ()
    except OSError as error:
        return (Problem(where=path, message=f"cannot be read: {error.strerror}", hint="a record is an ordinary file"),)
    return (Problem(where=path, message=refused, hint=_HINT),) if refused else _parsed(path, data)


def write(state_dir: str, workload: Workload) -> str:
    """Put the record there, or replace it, in one step; gives back its path."""
    path = path_of(state_dir, workload.id)
    os.makedirs(folder(state_dir), mode=0o700, exist_ok=True)
    fresh = os.path.join(folder(state_dir), f".{workload.id}.new")
    with suppress(FileNotFoundError):  # of a writer that was killed; a link there is removed, never followed
        os.unlink(fresh)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(inventory.render(workload).encode())
    os.rename(fresh, path)
    return path


def remove(state_dir: str, workload_id: str) -> bool:
    """Remove the record that `ebbtide nri` wrote for this id; whether there was one."""
    try:
        os.unlink(path_of(state_dir, workload_id))
    except FileNotFoundError:
        return False
    return True


def prune(state_dir: str, keep: frozenset[str], boot_id: str) -> tuple[str, ...]:
    """Remove records of `ebbtide nri` that are not in `keep` or are of another boot; the ids that went."""
    gone = []
    for path in _paths(state_dir):
        ident = _stale(path, keep, boot_id)
        if ident and remove(state_dir, ident):
            gone.append(ident)
    return tuple(gone)


def _stale(path: str, keep: frozenset[str], boot_id: str) -> str:
    """The id to remove, if any. A person's file, even a broken one, is a person's to remove."""
    found = read(path)
    if not isinstance(found, Workload):
        ours = _OURS.match(os.path.basename(path))
        return ours[1] if ours and ours[1] not in keep else ""
    stale = found.id not in keep or found.boot_id != boot_id
    return found.id if stale and found.writer == inventory.WRITER else ""


def path_of(state_dir: str, workload_id: str) -> str:
    """Where the plugin keeps this id; ValueError if it is no id, for it becomes a file name."""
    if not inventory.ID.match(workload_id):
        raise ValueError(f"{workload_id!r} cannot be the name of a record")
    return os.path.join(folder(state_dir), f"{workload_id}.json")


_HINT = "records are obeyed as root: chown root FILE; chmod go-w FILE; or remove it"


def _refusal(status: os.stat_result) -> str:
    if not stat.S_ISREG(status.st_mode):
        return "is not an ordinary file"
    if status.st_uid not in (0, os.geteuid()):
        return f"belongs to user {status.st_uid}, not to root or to who runs this"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"can be written by others (mode {stat.S_IMODE(status.st_mode):04o})"
    return ""


def _parsed(path: str, data: bytes) -> Workload | tuple[Problem, ...]:
    if len(data) > _LARGEST:
        return (Problem(where=path, message="is larger than 1 MiB", hint="no record is; remove it"),)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return (Problem(where=path, message=f"is not UTF-8 at byte {error.start}", hint="save it as UTF-8"),)
    return inventory.parse(text, path)


def _paths(state_dir: str) -> Iterator[str]:
    """Files that could be records. Names with a leading dot are half-written ones, or an editor's."""
    try:
        names = sorted(os.listdir(folder(state_dir)))
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if not name.startswith(".") and name.endswith(SUFFIXES):
            yield os.path.join(folder(state_dir), name)


def _strangers(state_dir: str) -> tuple[Problem, ...]:
    """Files in the folder that nothing here reads, so that nobody waits for them to work."""
    read_ones = set(_paths(state_dir))
    with suppress(FileNotFoundError, NotADirectoryError):
        return tuple(
            Problem(
                where=os.path.join(folder(state_dir), name),
                message="is not read: a record's name ends in .json, .yaml or .yml",
                hint="rename it, or remove it",
                severity=Severity.WARNING,
            )
            for name in sorted(os.listdir(folder(state_dir)))
            if not name.startswith(".") and os.path.join(folder(state_dir), name) not in read_ones
        )
    return ()
