"""swapon(2), swapoff(2), and what a file system is asked before a file on it can hold swap.

swapoff brings everything that is in the area back before it returns, which may take minutes, and only a signal stops
it: then the area is in use as before. So this module is also a program that does nothing else; killing it is that
signal (`python -m sysfs.swapping PATH`; it says the errno, 0 for none).
"""

import array
import ctypes
import errno
import fcntl
import os
import sys
from collections.abc import Sequence

from sysfs import errors

_PREFER, MOST_PRIORITY = 0x8000, 0x7FFF  # SWAP_FLAG_PREFER, SWAP_FLAG_PRIO_MASK
_GETFLAGS, _SETFLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS; declared as long, they move an int
_COMPRESSED, _NO_COW = 0x4, 0x800000  # FS_COMPR_FL, FS_NOCOW_FL
_STATFS_BYTES = 512  # more than any architecture's struct statfs

EXT, XFS, BTRFS = 0xEF53, 0x58465342, 0x9123683E
SWAPPABLE = {EXT: "ext4", XFS: "xfs", BTRFS: "btrfs"}  # include/uapi/linux/magic.h
_OTHERS = {
    0x01021994: "tmpfs",
    0x858458F6: "ramfs",
    0x794C7630: "overlayfs",
    0x6969: "nfs",
    0xFF534D42: "cifs",
    0xFE534D42: "smb2",
    0x01021997: "9p",
    0x65735546: "fuse or virtiofs",
    0x2FC12FC1: "zfs",
    0xF2F52010: "f2fs",
    0xCA451A4E: "bcachefs",
    0x00C36400: "ceph",
    0x73717368: "squashfs",
    0xE0F5E1E2: "erofs",
    0x4D44: "vfat",
    0x2011BAB0: "exfat",
    0x9660: "iso9660",
}

_libc = ctypes.CDLL(None, use_errno=True)
_reserve = getattr(_libc, "fallocate64", _libc.fallocate)


def on(path: str, priority: int = -1) -> None:
    """Use the area; its header must be there. Areas of higher priority are filled first; -1 = the kernel's choice."""
    flags = _PREFER | min(priority, MOST_PRIORITY) if priority >= 0 else 0
    _checked(_libc.swapon(os.fsencode(path), flags), f"{path} (swapon)")


def off(path: str) -> None:
    """Bring back all that is in it, then use it no more. `Busy`: interrupted, or memory is short; all is as before."""
    _checked(_libc.swapoff(os.fsencode(path)), f"{path} (swapoff)")


def reserve(descriptor: int, size: int) -> None:
    """Give the file that many bytes of disk without writing them; `Unsupported` where the file system cannot."""
    _checked(_reserve(descriptor, 0, ctypes.c_int64(0), ctypes.c_int64(size)), "fallocate")


def magic(descriptor: int) -> int:
    """The number of the kind of file system that an open file is on: statfs(2)'s f_type."""
    found = ctypes.create_string_buffer(_STATFS_BYTES)
    _checked(_libc.fstatfs(descriptor, found), "fstatfs")
    return ctypes.c_ulong.from_buffer(found).value & 0xFFFFFFFF


def file_system(number: int) -> str:
    """Its name, for people."""
    return SWAPPABLE.get(number) or _OTHERS.get(number) or f"a file system of kind {number:#x}"


def stop_copying(descriptor: int) -> None:
    """Have btrfs write this file, which must still be empty, in place and uncompressed, as swap needs it."""
    flags = array.array("i", [0, 0])
    try:
        fcntl.ioctl(descriptor, _GETFLAGS, flags)
        flags[0] = flags[0] & ~_COMPRESSED | _NO_COW
        fcntl.ioctl(descriptor, _SETFLAGS, flags)
    except OSError as error:
        raise errors.of(error, "FS_IOC_SETFLAGS") from error


def _checked(result: int, path: str) -> None:
    if result < 0:
        code = ctypes.get_errno()
        raise errors.of(OSError(code, os.strerror(code)), path)


def main(arguments: Sequence[str]) -> int:
    try:
        off(arguments[0])
    except errors.KernelError as error:
        sys.stdout.write(f"{error.errno or errno.EIO}\n")
        return 1
    sys.stdout.write("0\n")
    return 0


if __name__ == "__main__":
    _libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL: the one signal that nobody can have blocked
    sys.exit(main(sys.argv[1:]))
