"""What a process has mapped, as columns: /proc/PID/maps, and from mountinfo which files live in memory only.

A mapping is listed whether its pages are present, swapped out or never touched, so nothing disappears from view
when it has been paged out completely (numa_maps loses it).
"""

import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sysfs.errors import KernelError
from sysfs.tree import Tree

_LINE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)$", re.MULTILINE)
_MEMORY_ONLY = {"tmpfs", "devtmpfs", "ramfs", "hugetlbfs", "devpts", "proc", "sysfs"}
_INTERNAL = (b"/memfd:", b"/SYSV", b"/dev/zero", b"/anon_hugepage", b"/dev/", b"anon_inode:", b"socket:", b"/drm")
_SPECIAL = (b"[vvar", b"[vdso", b"[vsyscall", b"[vectors", b"[uprobes")


class Kind(IntEnum):
    """What moves with a mapping's pages. Anything else (shared memory, devices, PROT_NONE) is not listed at all."""

    ANON = 1  # private and writable: pages of its own, which go to swap
    FILE = 2  # pages of a disk file, which go back to it


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """Mappings in ascending order."""

    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    offset: NDArray[np.uint64]  # of the file
    kind: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.start)


def read(tree: Tree, pid: int, memory_only: frozenset[bytes] = frozenset()) -> Maps:
    """`memory_only`: device numbers of tmpfs and its like, see `devices_in_memory`."""
    text = tree.read_bytes(f"/proc/{pid}/maps")
    rows = [
        (int(start, 16), int(end, 16), int(offset, 16), kind)
        for start, end, flags, offset, device, inode, name in _LINE.findall(text)
        if (kind := _kind(flags, device in memory_only, inode, name))
    ]
    table = np.array(rows, np.uint64).reshape(-1, 4)
    return Maps(start=table[:, 0], end=table[:, 1], offset=table[:, 2], kind=table[:, 3].astype(np.uint8))


def _kind(flags: bytes, in_memory: bool, inode: bytes, name: bytes) -> int:  # noqa: FBT001 (a column, not a switch)
    if flags[:2] == b"--" or name.startswith(_SPECIAL):
        return 0
    if inode == b"0":
        return Kind.ANON if flags[3:] == b"p" else 0
    if in_memory or name.startswith(_INTERNAL):
        return 0
    return Kind.ANON if flags[3:] == b"p" and flags[1:2] == b"w" else Kind.FILE


def devices_in_memory(tree: Tree, pid: int) -> frozenset[bytes]:
    """Device numbers, as maps writes them, of file systems that keep their files in memory or have no pages at all."""
    try:
        lines = tree.read(f"/proc/{pid}/mountinfo").splitlines()
    except KernelError:  # the process may be of another mount namespace that hides it; the names still help
        return frozenset()
    mounts = (line.partition(" - ") for line in lines)
    return frozenset(_as_in_maps(head.split(" ")[2]) for head, _, tail in mounts if tail.split(" ")[0] in _MEMORY_ONLY)


def _as_in_maps(device: str) -> bytes:
    major, _, minor = device.partition(":")
    return f"{int(major):02x}:{int(minor):02x}".encode()
