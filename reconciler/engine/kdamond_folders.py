"""RUN/memtierd/*: what engines beside the daemon have borrowed, in a folder each, locked by the process that it is of.

`ebbtide memtierd` may run many times at once, and nothing stays of it. A folder that nobody has locked is of one that
was killed; whoever starts next gives back what its record says.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from reconciler.engine.kdamond_record import NOTHING, Record
from reconciler.engine.kdamonds import Kdamonds
from sysfs import boot
from sysfs.tree import Tree

NAME = "memtierd"


@contextmanager
def own(tree: Tree, run_dir: str | Path) -> Iterator[Kdamonds]:
    """Kdamonds that the next start gives back should this process be killed. Whoever uses them closes them."""
    top = Path(run_dir) / NAME
    top.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    top.mkdir(mode=0o700, exist_ok=True)
    with _locked(top):  # or somebody takes the new folder for an abandoned one
        _sweep(tree, top)
        folder = Path(tempfile.mkdtemp(dir=top, prefix=f"{os.getpid()}-"))
        held = _lock(folder)
    try:
        yield Kdamonds(tree, _record(tree, folder))
    finally:
        _remove_if_empty(tree, folder)
        os.close(held)


def recover(tree: Tree, run_dir: str | Path) -> None:
    """Give back what those had taken who were killed; what cannot be given back now stays recorded."""
    top = Path(run_dir) / NAME
    if top.is_dir():
        with _locked(top):
            _sweep(tree, top)


def _sweep(tree: Tree, top: Path) -> None:
    for folder in sorted(top.iterdir()):
        with suppress(BlockingIOError, NotADirectoryError):
            held = _lock(folder, fcntl.LOCK_NB)
            try:
                Kdamonds(tree, _record(tree, folder)).recover()
                _remove_if_empty(tree, folder)
            finally:
                os.close(held)


def _record(tree: Tree, folder: Path) -> Record:
    return Record(folder, boot.boot_id(tree))


def _remove_if_empty(tree: Tree, folder: Path) -> None:
    """What an earlier boot has left says nothing any more, either."""
    if _record(tree, folder).load() == NOTHING:
        shutil.rmtree(folder)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    held = _lock(folder)
    try:
        yield
    finally:
        os.close(held)


def _lock(folder: Path, flags: int = 0) -> int:
    """A descriptor that holds the lock until it is closed or the process ends, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | flags)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
