"""STATE and RUN: our own folders, and the lock that lets one process manage what they name."""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import IO

PAUSED = "paused"  # in RUN
FOLDERS = ("workloads.d", "classes.d", "released.d", "rendered")


class AlreadyRunning(Exception):
    """Another process holds the lock of this state directory; its argument is that process's id, as text."""


def prepare(state_dir: Path, run_dir: Path) -> None:
    """Make the folders, for root (or who started us) alone; what else is there is left as it is."""
    for name in FOLDERS:
        (state_dir / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    run_dir.mkdir(mode=0o755, parents=True, exist_ok=True)


def take_lock(state_dir: Path) -> IO[str]:
    """Hold the lock until the file is closed or the process ends, however it ends."""
    file = open(state_dir / "lock", "a+", encoding="utf-8")  # noqa: SIM115  held beyond this function
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise AlreadyRunning(holder) from None
    sweep(state_dir)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def pause(run_dir: str | os.PathLike[str]) -> None:
    """Nothing is changed while this file is there; it outlives the daemon, and ends with the boot."""
    path = os.path.join(run_dir, PAUSED)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644))


def unpause(run_dir: str | os.PathLike[str]) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(run_dir, PAUSED))


def sweep(state_dir: Path) -> None:
    """Remove what a killed process left half written; only the holder of the lock writes such files here."""
    for scratch in state_dir.glob(".*.json.*"):
        scratch.unlink(missing_ok=True)
