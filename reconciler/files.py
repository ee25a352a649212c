"""Files of our own: written whole or not at all, or only ever appended to."""

import errno
import os
import stat
import tempfile
from pathlib import Path


def write_atomically(path: Path, text: str | bytes, *, mode: int = 0o600, durable: bool = False) -> None:
    """Replace `path` by rename, so that no reader ever sees half of it; `durable` survives a power cut, too."""
    descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            file.write(text if isinstance(text, bytes) else text.encode())
            file.flush()
            os.fchmod(file.fileno(), mode)
            if durable:
                os.fsync(file.fileno())
        os.replace(scratch, path)
    except BaseException:
        os.unlink(scratch)
        raise
    if durable:
        _sync_folder(path.parent)


def open_to_append(path: str) -> int:
    """A descriptor of a plain file that is ours, made if it is missing; OSError says why there is none.

    Never through a symbolic link, and never into somebody else's file: that is how a user of a shared folder would
    have root write for them. A pipe without a reader does not hang us.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink == 1:
        return descriptor
    os.close(descriptor)
    raise PermissionError(errno.EPERM, "is no plain file of ours with one name", path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
