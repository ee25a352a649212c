"""Processes in a folder: maps, pagemap, smaps, clear_refs, idle bitmap, with pages that a test sets in any state.

Pagemap readers use pread, which pyfakefs does not fake, so this writes real files below a tmp_path. Addresses are
small, because pagemap is indexed by address. `page_out` behaves as the kernel's: only exclusive present pages leave,
and it can be told to have no effect, as the kernel may.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from sysfs import pagemap
from sysfs.advise import Target
from sysfs.errors import Gone, Unsupported
from sysfs.tree import Tree

PAGE = 4096
BASE = 0x400000
FRAMES = 8192
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n"


@dataclass
class FakeProcess:
    root: Path
    pid: int
    start_time: int = 100
    comm: str = "app"
    layout: int = 0  # of its memory; 0 = one of its own
    mappings: list[tuple[int, int, str]] = field(default_factory=list)  # first page, last page, rest of the maps line
    pages: NDArray[np.uint64] = field(default_factory=lambda: np.zeros(4096, np.uint64))  # entries from BASE on
    referenced: set[int] = field(default_factory=set)  # indexes of mappings

    @property
    def folder(self) -> Path:
        return self.root / "proc" / str(self.pid)

    def map(self, first: int, last: int, rest: str = "rw-p 00000000 00:00 0") -> Self:
        self.mappings.append((first, last, rest))
        return self

    def present(self, first: int, last: int, bits: int = 1 << 56, frame: int | None = None) -> Self:
        """Pages in memory, exclusive unless told otherwise, on consecutive frames."""
        frames = np.arange(last - first, dtype=np.uint64) + np.uint64(first if frame is None else frame)
        self.pages[first:last] = pagemap.PRESENT | np.uint64(bits) | frames
        return self

    def swapped(self, first: int, last: int) -> Self:
        self.pages[first:last] = pagemap.SWAPPED
        return self

    def write(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        fields = ["S", "1", *("0" for _ in range(17)), str(self.start_time), *("0" for _ in range(30))]
        fields[23] = str(self.layout or self.pid)  # where the code begins
        (self.folder / "stat").write_text(f"{self.pid} ({self.comm}) {' '.join(fields)}\n")
        (self.folder / "maps").write_text("".join(f"{self.line(each)}\n" for each in self.mappings))
        smaps = [
            f"{self.line(each)}\nRss: 8 kB\nReferenced: {4 * (i in self.referenced)} kB\nVmFlags: rd wr\n"
            for i, each in enumerate(self.mappings)
        ]
        (self.folder / "smaps").write_text("".join(smaps))
        (self.folder / "clear_refs").touch()
        with open(self.folder / "pagemap", "wb") as file:
            file.seek(BASE // PAGE * 8)
            file.write(self.pages.tobytes())
        return self

    def line(self, mapping: tuple[int, int, str]) -> str:
        first, last, rest = mapping
        return f"{BASE + first * PAGE:x}-{BASE + last * PAGE:x} {rest}"

    def exit(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()
        self.folder.rmdir()


@dataclass
class FakeKernel:
    """The folder, and the target of page-outs."""

    root: Path
    processes: dict[int, FakeProcess] = field(default_factory=dict)
    effect: bool = True
    advised: list[tuple[int, int, int]] = field(default_factory=list)  # pid, first page, last page
    before: Callable[[], None] = lambda: None  # happens when page-out begins
    one_memory: set[int] = field(default_factory=set)  # pids with the same memory
    has_kcmp: bool = True

    def __post_init__(self) -> None:
        (self.root / "proc/pressure").mkdir(parents=True)
        self.swap(1 << 30)

    @property
    def tree(self) -> Tree:
        return Tree(self.root)

    def add(self, process: FakeProcess) -> FakeProcess:
        self.processes[process.pid] = process
        return process.write()

    def swap(self, size: int, used: int = 0) -> None:
        line = f"/dev/zram0 partition {size // 1024} {used // 1024} -2\n" if size else ""
        (self.root / "proc/swaps").write_text(SWAPS + line)

    def idle_bitmap(self, flags: NDArray[np.uint64] | None = None) -> None:
        folder = self.root / "sys/kernel/mm/page_idle"
        folder.mkdir(parents=True)
        (folder / "bitmap").write_bytes(bytes(FRAMES // 8))
        everything = np.full(FRAMES, 1 << 5, np.uint64)  # on an LRU list
        (self.root / "proc/kpageflags").write_bytes((everything if flags is None else flags).tobytes())

    def idle(self) -> set[int]:
        data = (self.root / "sys/kernel/mm/page_idle/bitmap").read_bytes()
        return set(np.flatnonzero(np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")).tolist())

    def mark(self, frames: set[int]) -> None:
        """Mark frames idle, and leave the others alone."""
        path = self.root / "sys/kernel/mm/page_idle/bitmap"
        bits = np.unpackbits(np.frombuffer(path.read_bytes(), np.uint8), bitorder="little")
        bits[sorted(frames)] = 1
        path.write_bytes(np.packbits(bits, bitorder="little").tobytes())

    def access(self, first: int, last: int) -> None:
        """An access to frames: the marks go."""
        path = self.root / "sys/kernel/mm/page_idle/bitmap"
        bits = np.unpackbits(np.frombuffer(path.read_bytes(), np.uint8), bitorder="little")
        bits[first:last] = 0
        path.write_bytes(np.packbits(bits, bitorder="little").tobytes())

    def same_memory(self, one: int, other: int) -> bool:
        if not self.has_kcmp:
            raise Unsupported(38, "Function not implemented", "kcmp")
        return {one, other} <= self.one_memory

    def target(self, pid: int) -> Target:
        return FakeTarget(self, pid)


class FakeTarget(Target):
    def __init__(self, kernel: FakeKernel, pid: int) -> None:
        self._kernel, self._pid = kernel, pid
        if not (kernel.root / f"proc/{pid}").exists():
            raise Gone(None, "no such process", f"process {pid}")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    def page_out(self, start: NDArray[np.uint64], end: NDArray[np.uint64]) -> int:
        self._kernel.before()
        process = self._kernel.processes[self._pid]
        for low, high in zip(start.tolist(), end.tolist(), strict=True):
            first, last = (low - BASE) // PAGE, (high - BASE) // PAGE
            self._kernel.advised.append((self._pid, first, last))
            pages = process.pages[first:last]
            leaves = (pages & pagemap.EXCLUSIVE) != 0
            if self._kernel.effect:
                pages[leaves] = pagemap.SWAPPED
        if process.folder.exists():
            process.write()
        return int((end - start).sum())
