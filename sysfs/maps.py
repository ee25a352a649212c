"""What a process has mapped, as columns: /proc/PID/maps, and from mountinfo which files are not on a local disk.

A mapping is listed whether its pages are present, swapped out or never touched, so nothing disappears from view
when it has been paged out completely (numa_maps loses it).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from sysfs.errors import KernelError
from sysfs.tree import Tree

_LINE = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) ([0-9a-f]+:[0-9a-f]+) (\d+) *(.*)$", re.MULTILINE)
_MEMORY_ONLY = {"tmpfs", "devtmpfs", "ramfs", "hugetlbfs", "devpts", "proc", "sysfs"}
_REMOTE = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "coda", "lustre", "gpfs", "beegfs", "orangefs"}
_REMOTE |= {"fuse", "fuseblk", "virtiofs", "gfs2", "ocfs2"}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """Device numbers, as maps writes them, of file systems that keep no files on a disk of this machine."""

    in_memory: frozenset[bytes] = frozenset()  # tmpfs and its like, and those that have no pages at all
    remote: frozenset[bytes] = frozenset()  # a server answers, or does not: opening a file there may wait for ever

    def __or__(self, other: "Devices") -> "Devices":
        return Devices(in_memory=self.in_memory | other.in_memory, remote=self.remote | other.remote)


NO_DEVICES = Devices()


def read(tree: Tree, pid: int, devices: Devices = NO_DEVICES) -> Maps:
    text = tree.read_bytes(f"/proc/{pid}/maps")
    rows = [
        (int(start, 16), int(end, 16), int(offset, 16), kind)
        for start, end, flags, offset, device, inode, name in _LINE.findall(text)
        if (kind := _kind(flags, inode, name, device in devices.in_memory))
        and not (kind == Kind.FILE and device in devices.remote)
    ]
    table = np.array(rows, np.uint64).reshape(-1, 4)
    return Maps(start=table[:, 0], end=table[:, 1], offset=table[:, 2], kind=table[:, 3].astype(np.uint8))


def section(tree: Tree, pid: int, name: str) -> list[tuple[int, int]]:
    """Mappings that are the "heap" (brk), or "anonymous" in the narrow sense: of no file, neither heap nor stack."""
    text = tree.read_bytes(f"/proc/{pid}/maps")
    return [
        (int(start, 16), int(end, 16))
        for start, end, flags, _, _, inode, label in _LINE.findall(text)
        if flags[3:] == b"p" and inode == b"0" and _SECTIONS[name](label)
    ]


_SECTIONS: Mapping[str, Callable[[bytes], bool]] = {
    "heap": lambda label: label == b"[heap]",
    "anonymous": lambda label: not label or label.startswith(b"[anon:"),
}


def _kind(flags: bytes, inode: bytes, name: bytes, in_memory: bool) -> int:  # noqa: FBT001 (a column, not a switch)
    if flags[:2] == b"--" or name.startswith(_SPECIAL):
        return 0
    if inode == b"0":
        return Kind.ANON if flags[3:] == b"p" else 0
    if in_memory or name.startswith(_INTERNAL):
        return 0
    return Kind.ANON if flags[3:] == b"p" and flags[1:2] == b"w" else Kind.FILE


def devices(tree: Tree, pid: int) -> Devices:
    """Of the file systems that a process sees. Layers of an overlay are seen by process 1 only."""
    try:
        lines = tree.read(f"/proc/{pid}/mountinfo").splitlines()
    except KernelError:  # the process may be of another mount namespace that hides it; the names still help
        return NO_DEVICES
    mounts = [(head.split(" ")[2], tail.split(" ")[0]) for head, _, tail in (line.partition(" - ") for line in lines)]
    return Devices(
        in_memory=frozenset(_as_in_maps(device) for device, kind in mounts if kind in _MEMORY_ONLY),
        remote=frozenset(_as_in_maps(device) for device, kind in mounts if kind.partition(".")[0] in _REMOTE),
    )


def _as_in_maps(device: str) -> bytes:
    major, _, minor = device.partition(":")
    return f"{int(major):02x}:{int(minor):02x}".encode()
