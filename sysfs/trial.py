"""Kernel features tried on a few pages of our own: the only proof that they work here.

Each trial returns what it saw and raises a KernelError (or `Failed`) with the reason if the feature does not work.
Nothing outside our own process is touched: idle bits are set for one own page, clear_refs is our own.
"""

import ctypes
import fcntl
import mmap
import os
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self

from sysfs import errors
from sysfs.tree import Tree

PAGE = mmap.PAGESIZE
BITMAP = "/sys/kernel/mm/page_idle/bitmap"
# More than the kernel gathers per CPU before it puts new pages on its lists (PAGEVEC_SIZE): the first ones are on them.
_COUNT = 128
_PRESENT, _SOFT_DIRTY, _PFN = 1 << 63, 1 << 55, (1 << 55) - 1  # Documentation/admin-guide/mm/pagemap.rst
_SCAN = 0xC0606610  # PAGEMAP_SCAN, Linux 6.7
_SCAN_PRESENT = 1 << 3
_MADV_COLD = 20
_PROCESS_MADVISE, _CACHESTAT = 440, 451  # the same on all architectures of generic numbers
_CAPABILITIES = {"CAP_DAC_OVERRIDE": 1, "CAP_DAC_READ_SEARCH": 2, "CAP_SYS_PTRACE": 19, "CAP_SYS_NICE": 23}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class Failed(errors.Unsupported):
    """The kernel accepted everything, but the effect was not there."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


class Scrap:
    """Written pages of our own, between guards, so that the kernel shows them as one VMA of their own."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, (_COUNT + 2) * PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with suppress(OSError):  # a kernel without transparent huge pages
            self._map.madvise(mmap.MADV_NOHUGEPAGE)
        self._view = (ctypes.c_char * len(self._map)).from_buffer(self._map)
        self.start = ctypes.addressof(self._view) + PAGE
        self.end = self.start + _COUNT * PAGE
        self._protect(self.start - PAGE, PAGE, 0)
        self._protect(self.end, PAGE, 0)
        self.write(_COUNT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        del self._view
        self._map.close()

    def write(self, pages: int) -> None:
        for number in range(pages):
            self._map[(number + 1) * PAGE] = 1

    def read(self, pages: int) -> int:
        """Touch the first pages so that the processor must note it.

        It notes nothing while it remembers the translation; a change of protection makes it forget.
        """
        self._protect(self.start, self.end - self.start, mmap.PROT_READ)
        self._protect(self.start, self.end - self.start, mmap.PROT_READ | mmap.PROT_WRITE)
        return sum(self._map[(number + 1) * PAGE] for number in range(pages))

    @staticmethod
    def _protect(start: int, length: int, protection: int) -> None:
        _checked(_libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(length), protection), "mprotect")


def pagemap(tree: Tree) -> str:
    with Scrap() as scrap:
        if not _entry(tree, scrap) & _PRESENT:
            raise Failed("/proc/self/pagemap shows a written page as not present")
    return "a written page shows as present"


def pagemap_pfn(tree: Tree) -> str:
    with Scrap() as scrap:
        _frame(tree, scrap)
    return "page frame numbers are shown"


def pagemap_scan(tree: Tree) -> str:
    region = (ctypes.c_uint64 * 3)()
    with Scrap() as scrap, _opened(tree, "/proc/self/pagemap") as file:
        where = (scrap.start, scrap.end, 0, ctypes.addressof(region), 1, 0)
        request = struct.pack("=12Q", 96, 0, *where, 0, _SCAN_PRESENT, 0, _SCAN_PRESENT)
        found = fcntl.ioctl(file, _SCAN, request)  # raises OSError, which `_opened` translates
        end = region[1]
        if len(found) != 96 or end != scrap.end:
            raise Failed(f"PAGEMAP_SCAN found pages up to {end:#x} instead of {scrap.end:#x}")
    return "PAGEMAP_SCAN finds written pages"


def idle_page(tree: Tree) -> str:
    with Scrap() as scrap, _opened(tree, BITMAP, write=True) as file:
        frame = _frame(tree, scrap)
        _idle_word(file, frame, write=True)
        if not _idle_word(file, frame):
            raise Failed(f"{BITMAP}: a page that was marked idle does not show as idle")
        scrap.read(1)
        if _idle_word(file, frame):
            raise Failed(f"{BITMAP}: a page that was read still shows as idle")
    return "marked idle, read, no longer idle"


def soft_dirty(tree: Tree) -> str:
    with Scrap() as scrap:
        tree.write("/proc/self/clear_refs", "4")
        before = _entry(tree, scrap) & _SOFT_DIRTY
        scrap.write(1)
        after = _entry(tree, scrap) & _SOFT_DIRTY
    if before or not after:
        raise Failed("clear_refs is accepted, but the soft-dirty bit does not follow writes")
    return "cleared, written, dirty again" + _only_own(tree)


def referenced(tree: Tree) -> str:
    with Scrap() as scrap:
        tree.write("/proc/self/clear_refs", "1")
        before = _referenced_bytes(tree, scrap)
        scrap.read(_COUNT // 2)
        after = _referenced_bytes(tree, scrap)
    if before or after != _COUNT // 2 * PAGE:
        raise Failed(
            f"smaps says {before} bytes referenced after clearing, {after} after {_COUNT // 2} pages were read"
        )
    return "cleared, read, counted exactly" + _only_own(tree)


def process_madvise(tree: Tree) -> str:
    with Scrap() as scrap:
        _advise(os.getpid(), scrap)
    lacking = _lacking(tree, "CAP_SYS_NICE", "CAP_SYS_PTRACE")
    if lacking:
        raise errors.Refused(1, f"works on ourselves only: {lacking} is missing", "process_madvise")
    return "works on ourselves, and the capabilities for others are there"


def mincore(tree: Tree) -> str:
    with _own_file() as (path, mapped):
        pages = (ctypes.c_ubyte * 1)()
        _checked(_libc.mincore(ctypes.c_void_p(mapped), ctypes.c_size_t(PAGE), pages), "mincore")
        if not pages[0] & 1:
            raise Failed(f"mincore does not see a page of {path} that was just read")
        with _opened(tree, _map_file(tree, mapped)):
            return "a page that was read shows as resident, /proc/PID/map_files opens"


def cachestat(_tree: Tree) -> str:
    span, counts = (ctypes.c_uint64 * 2)(0, PAGE), (ctypes.c_uint64 * 5)()
    with _own_file() as (path, _), open(path, "rb") as file:
        _checked(_libc.syscall(_CACHESTAT, file.fileno(), span, counts, 0), "cachestat")
    if not counts[0]:
        raise Failed(f"cachestat does not see a page of {path} that was just read")
    return "a page that was read shows as cached"


TRIALS: Mapping[str, Callable[[Tree], str]] = {
    "pagemap": pagemap,
    "pagemap-pfn": pagemap_pfn,
    "pagemap-scan": pagemap_scan,
    "idle-page": idle_page,
    "soft-dirty": soft_dirty,
    "referenced": referenced,
    "process-madvise": process_madvise,
    "mincore": mincore,
    "cachestat": cachestat,
}


def _entry(tree: Tree, scrap: Scrap) -> int:
    with _opened(tree, "/proc/self/pagemap") as file:
        os.lseek(file, scrap.start // PAGE * 8, os.SEEK_SET)
        return int.from_bytes(os.read(file, 8), sys.byteorder)


def _frame(tree: Tree, scrap: Scrap) -> int:
    frame = _entry(tree, scrap) & _PFN
    if not frame:
        raise errors.Refused(1, "page frame numbers are hidden: CAP_SYS_ADMIN is missing", "/proc/self/pagemap")
    return frame


def _idle_word(file: int, frame: int, *, write: bool = False) -> bool:
    """Set (only) this page's idle bit, or tell it; the file wants whole words at multiples of eight."""
    bit = 1 << frame % 64
    os.lseek(file, frame // 64 * 8, os.SEEK_SET)
    if write:
        os.write(file, bit.to_bytes(8, sys.byteorder))
        return True
    return bool(int.from_bytes(os.read(file, 8), sys.byteorder) & bit)


def _referenced_bytes(tree: Tree, scrap: Scrap) -> int:
    lines = iter(tree.read("/proc/self/smaps").splitlines())
    for line in lines:
        if line.startswith(f"{scrap.start:08x}-{scrap.end:08x} "):
            return next((int(found.split()[1]) * 1024 for found in lines if found.startswith("Referenced:")), -1)
    raise Failed("/proc/self/smaps does not show our test mapping by itself")


def _advise(pid: int, scrap: Scrap) -> None:
    vector = (ctypes.c_uint64 * 2)(scrap.start, scrap.end - scrap.start)
    try:
        descriptor = os.pidfd_open(pid)
    except OSError as error:
        raise errors.of(error, "pidfd_open") from error
    try:
        count = ctypes.c_size_t(1)
        done = _checked(_libc.syscall(_PROCESS_MADVISE, descriptor, vector, count, _MADV_COLD, 0), "process_madvise")
    finally:
        os.close(descriptor)
    if done != scrap.end - scrap.start:
        raise Failed(f"process_madvise advised {done} of {scrap.end - scrap.start} bytes")


@contextmanager
def _own_file() -> Iterator[tuple[str, int]]:
    """The running interpreter's program file with its first page mapped and read: its path and the address."""
    path = os.path.realpath(sys.executable)
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), PAGE, mmap.MAP_PRIVATE) as mapped:
            view = (ctypes.c_char * PAGE).from_buffer(mapped)
            try:
                assert view[0]
                yield path, ctypes.addressof(view)
            finally:
                del view
    except errors.KernelError:
        raise
    except OSError as error:
        raise errors.of(error, path) from error


def _map_file(tree: Tree, address: int) -> str:
    """The entry of /proc/self/map_files that covers the address; neighbours may have been merged into one VMA."""
    for line in tree.read("/proc/self/maps").splitlines():
        start, end = (int(part, 16) for part in line.split(" ", 1)[0].split("-"))
        if start <= address < end:
            return f"/proc/self/map_files/{start:x}-{end:x}"
    raise Failed("/proc/self/maps does not show our test mapping")


def _only_own(tree: Tree) -> str:
    lacking = _lacking(tree, "CAP_DAC_OVERRIDE")
    return f"; without {lacking} only for processes of our own user" if lacking else ""


def _lacking(tree: Tree, *names: str) -> str:
    """Those of the named capabilities that we do not have, as text."""
    lines = (line.split() for line in tree.read("/proc/self/status").splitlines() if line.startswith("CapEff:"))
    effective = int(next(lines, ["", "0"])[1], 16)
    return ", ".join(name for name in names if not effective & 1 << _CAPABILITIES[name])


@contextmanager
def _opened(tree: Tree, path: str, *, write: bool = False) -> Iterator[int]:
    with tree.open(path, write=write) as file:
        try:
            yield file.fileno()
        except errors.KernelError:
            raise
        except OSError as error:
            raise errors.of(error, path) from error


def _checked(result: int, call: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise errors.of(OSError(code, os.strerror(code)), call)
    return result
