"""The only door to /proc and /sys.

Production passes "/", a DaemonSet "/host", tests a folder or pyfakefs, `--root` a captured tree. Paths are absolute
inside the tree ("/proc/meminfo"). Every method raises one of the five errors of `sysfs.errors`.
"""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sysfs import errors

_T = TypeVar("_T")


class Tree:
    def __init__(self, root: str | Path = "/") -> None:
        self.root = str(root).rstrip("/")

    def path(self, path: str) -> str:
        """Where `path` of this tree really is, for the few system calls that need a name."""
        return self.root + path

    def read(self, path: str) -> str:
        """The whole file as text; bytes that are no UTF-8 (process and file names) become replacement characters."""
        return self.read_bytes(path).decode(errors="replace")

    def read_bytes(self, path: str) -> bytes:
        def read() -> bytes:
            with open(self.path(path), "rb", buffering=0) as file:
                return file.read() or b""

        return _said(read, path)

    def write(self, path: str, text: str) -> None:
        """Write `text` in one write(2), as kernel files want it, never creating a file."""

        def write() -> None:
            descriptor = os.open(self.path(path), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            with open(descriptor, "wb", buffering=0) as file:
                file.write(text.encode())

        _said(write, path)

    def open(self, path: str, *, write: bool = False) -> io.FileIO:
        """An unbuffered file for bulk reads (pagemap, bitmaps); the caller closes it."""
        return _said(lambda: io.FileIO(self.path(path), "r+" if write else "r"), path)

    def stream(self, path: str) -> io.FileIO:
        """An unbuffered file whose `read` gives None instead of waiting; the caller closes it."""
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        return _said(lambda: io.FileIO(os.open(self.path(path), flags), "r"), path)

    def list(self, path: str) -> tuple[str, ...]:
        """Names in a directory, sorted."""
        return _said(lambda: tuple(sorted(os.listdir(self.path(path)))), path)

    def folders(self, path: str) -> tuple[str, ...]:
        """Names of the directories in a directory, sorted; links to directories are not counted."""

        def names() -> tuple[str, ...]:
            with os.scandir(self.path(path)) as entries:
                return tuple(sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False)))

        return _said(names, path)

    def make_folder(self, path: str) -> None:
        """In the few places where a directory is an object of the kernel's, such as an instance of tracefs."""
        _said(lambda: os.mkdir(self.path(path)), path)

    def remove_folder(self, path: str) -> None:
        """The object goes with all of its files."""
        _said(lambda: os.rmdir(self.path(path)), path)

    def exists(self, path: str) -> bool:
        return os.path.exists(self.path(path))

    def inode(self, path: str) -> int:
        return _said(lambda: os.stat(self.path(path)).st_ino, path)

    def link(self, path: str) -> str:
        """What a symbolic link such as /proc/PID/exe points to."""
        return _said(lambda: os.readlink(self.path(path)), path)


def _said(call: Callable[[], _T], path: str) -> _T:
    try:
        return call()
    except OSError as error:
        raise errors.of(error, path) from error
