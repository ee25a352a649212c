"""A process whose hot and cold memory is known: ground truth for the demo, the end-to-end tests and measurements.

It needs nothing but Python's standard library and runs as a file of its own (`python3 exercise.py --idle 160M ...`),
so that a container can be given it. Ranges lie in one reservation, 2 MiB aligned and kept apart by PROT_NONE gaps,
because the kernel merges neighbours of equal permissions into one VMA. One JSON line says where everything is; then
the hot ranges are touched, every page of them, until --seconds are over or somebody ends it. It measures nothing but
this, when it is asked to: with --tally it looks which pages of a hot range are missing just before it touches them.
Nobody else can see that: a page that was taken is back within a tenth of a second. `reconciler/exerciser`, which does
much more and is not one file, maps and touches memory with what is here.

Roles: idle (filled once), write, read (touched for ever); file-cold, file-hot (shared read-only file mappings, synced).
Pages hold random bytes, so that no compressed swap makes them look cheaper than they are.
"""

import argparse
import contextlib
import ctypes
import json
import mmap
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import NoReturn

ALIGN = 2 << 20
PAGE = mmap.PAGESIZE
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
MAP_FIXED, MAP_NORESERVE = 0x10, 0x4000
ADVICE = {"never": 15, "always": 14}  # MADV_NOHUGEPAGE, MADV_HUGEPAGE
PR_SET_PDEATHSIG = 1
PRESENT = bytes(range(128, 256))  # highest bytes of pagemap's entries with bit 63
RESIDENT = bytes(range(1, 256, 2))  # mincore's bytes with the lowest bit

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p]


@dataclass(frozen=True)
class Wanted:
    """A range that somebody asked for; not slotted or keyword-only frills: this file stands alone."""

    role: str
    size: int
    path: str = ""


@dataclass(frozen=True)
class Range:
    role: str
    start: int
    end: int
    path: str = ""


def size_of(text: str) -> int:
    """Bytes of "191M", "4096" or "1G", rounded up to pages."""
    digits = text.rstrip("iB")
    number, unit = (digits[:-1], UNITS[digits[-1].upper()]) if digits[-1].upper() in UNITS else (digits, 1)
    return -(-int(float(number) * unit) // PAGE) * PAGE


def file_of(text: str) -> tuple[str, int]:
    path, _, size = text.rpartition(":")
    return path, size_of(size)


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Exercise known ranges of memory and say which.")
    for role, what in (("idle", "filled once, then left alone"), ("write", "written"), ("read", "only read")):
        parser.add_argument(f"--{role}", type=size_of, action="append", default=[], metavar="SIZE", help=what)
    parser.add_argument("--file", type=file_of, action="append", default=[], metavar="PATH:SIZE", help="mapped, cold")
    parser.add_argument("--hot-file", type=file_of, action="append", default=[], metavar="PATH:SIZE", help="read")
    parser.add_argument("--rate", type=float, default=10.0, help="rounds over all hot ranges per second (10)")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end by itself after this long")
    parser.add_argument("--hugepages", choices=("inherit", *ADVICE), default="inherit", help="madvise all ranges")
    parser.add_argument("--nohugepage", dest="hugepages", action="store_const", const="never", help="the same as never")
    parser.add_argument("--children", type=int, default=0, help="forked children that share the pages and sleep")
    parser.add_argument("--tally", metavar="PATH", help="write there how much of each hot range was found missing")
    parser.add_argument("--with-parent", action="store_true", help="be killed when the parent ends")
    return parser.parse_args(argv)


def wanted(options: argparse.Namespace) -> list[Wanted]:
    anonymous = [Wanted(role, size) for role in ("idle", "write", "read") for size in getattr(options, role)]
    cold = [Wanted("file-cold", size, os.path.abspath(path)) for path, size in options.file]
    hot = [Wanted("file-hot", size, os.path.abspath(path)) for path, size in options.hot_file]
    return [*anonymous, *cold, *hot]


def checked(address: int | None) -> int:
    if address is None or address == ctypes.c_void_p(-1).value:
        code = ctypes.get_errno()
        raise OSError(code, f"mmap: {os.strerror(code)}")
    return address


def reserve(size: int) -> int:
    """Address space without memory."""
    return checked(libc.mmap(None, size, 0, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))


def aligned(size: int) -> int:
    """An address or a size, rounded up to whole huge pages."""
    return -(-size // ALIGN) * ALIGN


def place(all_wanted: list[Wanted]) -> list[Range]:
    """Where each range goes: aligned, with at least one PROT_NONE gap of 2 MiB before the next."""
    spans = [aligned(each.size) + ALIGN for each in all_wanted]
    address = aligned(reserve(sum(spans) + 2 * ALIGN)) + ALIGN
    ranges = []
    for each, span in zip(all_wanted, spans, strict=True):
        ranges.append(Range(each.role, address, address + each.size, each.path))
        address += span
    return ranges


def view(start: int, end: int) -> memoryview:
    return memoryview((ctypes.c_char * (end - start)).from_address(start)).cast("B")


def map_anonymous(start: int, end: int, advice: int | None) -> None:
    """In the place of what is mapped there, filled with random bytes."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
    checked(libc.mmap(start, end - start, mmap.PROT_READ | mmap.PROT_WRITE, flags, -1, 0))
    if advice is not None:
        libc.madvise(start, end - start, advice)
    pages = view(start, end)
    for offset, block in blocks(len(pages)):
        pages[offset : offset + len(block)] = block


def blocks(size: int) -> Iterator[tuple[int, bytes]]:
    """Random bytes; a block repeats, but compressed swap looks at one page at a time."""
    block = os.urandom(1 << 20)
    for offset in range(0, size, len(block)):
        yield offset, block[: size - offset]


def make_file(path: str, size: int) -> bool:
    """Whether the file was made here (and is to be removed in the end); written back, or its pages could not leave."""
    if os.path.exists(path) and os.path.getsize(path) >= size:
        return False
    with open(path, "wb") as file:
        file.writelines(block for _, block in blocks(size))
        file.flush()
        os.fsync(file.fileno())
    return True


def map_file(path: str, start: int, end: int, *, writable: bool = False) -> None:
    """Shared, in the place of what is mapped there."""
    descriptor = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    protection = mmap.PROT_READ | (mmap.PROT_WRITE if writable else 0)
    try:
        checked(libc.mmap(start, end - start, protection, mmap.MAP_SHARED | MAP_FIXED, descriptor, 0))
    finally:
        os.close(descriptor)
    read_pages(start, end)


def read_pages(start: int, end: int) -> None:
    """One byte of every page, in one C loop."""
    bytes(view(start, end)[::PAGE])


def write_pages(start: int, end: int) -> None:
    pages = view(start, end)[::PAGE]
    pages[:] = bytes([time.monotonic_ns() & 0xFF]) * len(pages)


def touch(area: Range) -> None:
    (write_pages if area.role == "write" else read_pages)(area.start, area.end)


def absent_bytes(area: Range) -> int:
    """What is not in memory: pages that the next touch must wait for. A file's may be in memory and not mapped."""
    size = area.end - area.start
    if not area.path:
        with open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
            entries = os.pread(pagemap.fileno(), size // PAGE * 8, area.start // PAGE * 8)
        return len(entries[7::8].translate(None, PRESENT)) * PAGE
    found = ctypes.create_string_buffer(size // PAGE)
    if libc.mincore(area.start, size, found):
        code = ctypes.get_errno()
        raise OSError(code, f"mincore: {os.strerror(code)}")
    return len(found.raw.translate(None, RESIDENT)) * PAGE


class Tally:
    """Bytes of each hot range that were missing when they were needed: summed up, and told whenever they grow."""

    def __init__(self, path: str | None, hot: list[Range]) -> None:
        self.path = path
        self.taken = dict.fromkeys(hot, 0)
        self.tell()

    def look(self, area: Range) -> None:
        if self.path and (absent := absent_bytes(area)):
            self.taken[area] += absent
            self.tell()

    def tell(self) -> None:
        """By rename: whoever reads it never sees half of it."""
        if self.path:
            with open(f"{self.path}.new", "w") as file:
                json.dump([{**asdict(area), "taken": taken} for area, taken in self.taken.items()], file)
            os.replace(f"{self.path}.new", self.path)


def exercise(tally: Tally, rate: float, seconds: float) -> None:
    end = time.monotonic() + seconds
    while (now := time.monotonic()) < end:
        for area in tally.taken:
            tally.look(area)
            touch(area)
        time.sleep(max(min(now + 1 / rate, end) - time.monotonic(), 0))


def fork_children(count: int, act: Callable[[], object] = signal.pause) -> list[int]:
    """Children that share every private page until somebody writes it; they end with us, or when `act` does."""
    children = []
    for _ in range(count):
        if not (child := os.fork()):
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what there is to clean up is the parent's
            live(act)
        children.append(child)
    return children


def live(act: Callable[[], object]) -> NoReturn:
    """A child's life; what goes wrong in it is told, and nothing of the parent's is run."""
    code = 1
    try:
        act()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)


def prepare(options: argparse.Namespace, made: list[str]) -> list[Range]:
    everything = wanted(options)
    made += [each.path for each in everything if each.path and make_file(each.path, each.size)]
    ranges = place(everything)
    for area in ranges:
        if area.path:
            map_file(area.path, area.start, area.end)
        else:
            map_anonymous(area.start, area.end, ADVICE.get(options.hugepages))
    return ranges


def main(argv: list[str]) -> int:
    options = arguments(argv)
    if options.with_parent:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    made: list[str] = []
    try:
        ranges = prepare(options, made)
        children = fork_children(options.children)
        truth = {"pid": os.getpid(), "page_size": PAGE, "children": children, "ranges": [asdict(r) for r in ranges]}
        tally = Tally(options.tally, [r for r in ranges if r.role in {"write", "read", "file-hot"}])
        print(json.dumps(truth), flush=True)
        exercise(tally, options.rate, options.seconds)
    except KeyboardInterrupt:
        return 130
    finally:
        for path in made:
            with contextlib.suppress(OSError):
                os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
