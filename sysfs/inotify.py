"""Which files and directories changed: inotify(7), one descriptor for any number of them.

The kernel gives every user few descriptors (fs.inotify.max_user_instances, 128) and many watches
(fs.inotify.max_user_watches), so one descriptor serves a whole process.
"""

import ctypes
import os
import select
import struct
from collections.abc import Iterator

from sysfs import errors
from sysfs.tree import Tree

# include/uapi/linux/inotify.h
MODIFIED, MOVED_HERE, CREATED, DELETED, DELETED_SELF = 0x2, 0x80, 0x100, 0x200, 0x400
ONLY_DIRECTORIES = 0x01000000
IGNORED = 0x8000  # the watch is gone: its file was removed
OVERFLOW = -1  # the number that stands for "events were lost, anything may have changed"

FILE = MODIFIED | DELETED_SELF
DIRECTORY = CREATED | MOVED_HERE | DELETED | DELETED_SELF | ONLY_DIRECTORIES

_EVENT = struct.Struct("iIII")
_BUFFER = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


class Inotify:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._descriptor = _checked(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK), "inotify")
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def add(self, path: str, mask: int) -> int:
        """The watch's number; the same again for what is watched already."""
        name = os.fsencode(self._tree.path(path))
        return _checked(_libc.inotify_add_watch(self._descriptor, name, ctypes.c_uint32(mask)), path)

    def remove(self, number: int) -> None:
        """A watch that the kernel has already taken away is no error."""
        _libc.inotify_rm_watch(self._descriptor, number)

    def wait(self) -> tuple[tuple[int, int], ...]:
        """(Number, mask) of what happened, once something has; nothing if somebody called `interrupt`."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._bell, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        return () if self._bell in ready else tuple(_events(os.read(self._descriptor, _BUFFER)))

    def interrupt(self) -> None:
        """Let `wait` return, now and ever after."""
        os.eventfd_write(self._bell, 1)

    def close(self) -> None:
        """Nobody may be in `wait` any more."""
        os.close(self._descriptor)
        os.close(self._bell)


def _events(data: bytes) -> Iterator[tuple[int, int]]:
    position = 0
    while position < len(data):
        number, mask, _, length = _EVENT.unpack_from(data, position)
        yield number, mask
        position += _EVENT.size + length


def _checked(result: int, path: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise errors.of(OSError(number, os.strerror(number)), path)
    return result
