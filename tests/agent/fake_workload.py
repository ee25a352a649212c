"""A workload with a known working set, in a cgroup of a kernel that is a few arrays: deterministic, and fast.

Memory is in chunks. Each is used once in its period, or never again. What was reclaimed and is used again comes back,
and the workload has waited for it. Reclaim takes what was used longest ago, but only as precisely as generations are
long. Nothing else happens by itself: a test moves the clock.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sysfs import errors
from sysfs.tree import Tree

MIB = 1 << 20
PAGE = 4096
CHUNK = 16 * PAGE
MOUNT = "/sys/fs/cgroup"
NEVER = float("inf")
KERNEL_BYTES = 4 * MIB  # page tables and the like


@dataclass
class Part:
    """Some memory of one kind; `every` seconds it is used."""

    size: int
    every: float = NEVER
    anon: bool = True


@dataclass
class Disk:
    """Where anonymous memory goes, and how long a page takes to come back."""

    name: str = "/dev/zram0"
    size: int = 4096 * MIB
    page_us: float = 30.0
    file_page_us: float = 100.0


@dataclass
class FakeWorkload(Tree):
    """The door to the fake kernel: what the code under test reads and writes there."""

    cgroup: str = "/shop"
    disk: Disk = field(default_factory=Disk)
    blur: float = 10.0  # seconds: a generation
    takes_swappiness: bool = True
    knobs: dict[str, str] = field(default_factory=dict)
    psi: bool = True
    inode_number: int = 7
    now: float = 1000.0
    gone: bool = False
    asked: list[tuple[float, str]] = field(default_factory=list)  # what was written to memory.reclaim, and when
    on_reclaim: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        super().__init__("/fake")
        none: NDArray[np.float64] = np.zeros(0)
        self.every, self.due, self.last = none, none, none
        self.anon, self.present = np.zeros(0, bool), np.zeros(0, bool)
        self.generation = np.zeros(0, np.int64)
        self.made: list[float] = [self.now - 30, self.now]  # when each generation was made
        self.refaults = {"anon": 0, "file": 0}  # pages
        self.stall_us = {"memory": 0.0, "io": 0.0}
        self.stolen = self.swapped_out = self.foreign_out = 0  # pages
        self.swap_taken = 0  # bytes, by others

    # -- what the workload does ------------------------------------------------------------------------------------

    def add(self, part: Part) -> None:
        """New memory, used just now; the chunks' next uses are spread evenly over the period."""
        count = part.size // CHUNK
        phase = (np.arange(count) + 0.5) / count
        self.every = np.concatenate([self.every, np.full(count, part.every)])
        due = self.now + phase * part.every if part.every < NEVER else np.full(count, NEVER)
        self.due = np.concatenate([self.due, due])
        self.last = np.concatenate([self.last, np.full(count, self.now)])
        self.anon = np.concatenate([self.anon, np.full(count, part.anon)])
        self.present = np.concatenate([self.present, np.full(count, True)])
        self.generation = np.concatenate([self.generation, np.full(count, len(self.made) - 1)])

    def cool(self, share: float) -> None:
        """That share of what is used is never used again."""
        used = np.flatnonzero(self.every < NEVER)
        ends = used[: int(len(used) * share)]
        self.every[ends] = self.due[ends] = NEVER

    def rest(self, size: int) -> None:
        """What was added last is never used again."""
        ends = slice(-(size // CHUNK), None)
        self.every[ends] = self.due[ends] = NEVER

    def free(self, share: float) -> None:
        """That share of everything is given back by the workload itself."""
        kept = np.arange(len(self.every)) >= int(len(self.every) * share)
        for name in ("every", "due", "last", "anon", "present", "generation"):
            setattr(self, name, getattr(self, name)[kept])

    def advance(self, seconds: float) -> None:
        self.now += seconds
        used = self.due <= self.now
        self._come_back(used & ~self.present)
        self.present |= used
        self.last[used] = self.now
        while (late := self.due <= self.now).any():
            self.due[late] += self.every[late]

    def _come_back(self, wanted: NDArray[np.bool_]) -> None:
        anon, file = (int((wanted & kind).sum()) * (CHUNK // PAGE) for kind in (self.anon, ~self.anon))
        self.refaults["anon"] += anon
        self.refaults["file"] += file
        self.stall_us["memory"] += anon * self.disk.page_us + file * self.disk.file_page_us
        self.stall_us["io"] += file * self.disk.file_page_us + (0 if self._in_memory() else anon * self.disk.page_us)

    def _in_memory(self) -> bool:
        return "zram" in self.disk.name

    # -- facts -----------------------------------------------------------------------------------------------------

    @property
    def usage(self) -> int:
        return int(self.present.sum()) * CHUNK + KERNEL_BYTES

    @property
    def swap(self) -> int:
        return int((~self.present & self.anon).sum()) * CHUNK

    def working_set(self, within: float = 60.0) -> int:
        """What is used at least so often, with what the kernel needs for it."""
        return int((self.every <= within).sum()) * CHUNK + KERNEL_BYTES

    def slowdown_percent(self, since_us: float, seconds: float) -> float:
        """How much of the time it waited, since there was so much stall."""
        return (self.stall_us["memory"] - since_us) / seconds / 1e4

    # -- the kernel ------------------------------------------------------------------------------------------------

    def reclaim(self, size: int, swappiness: int) -> int:
        """Bytes that left: what was used longest ago, in an order of its own within a generation."""
        room = self.disk.size - self.swap - self.swap_taken
        room = min(room, int(self.knobs.get("memory.swap.max", str(self.disk.size))) - self.swap)
        order = np.lexsort((np.arange(len(self.last)) * 7919 % 1009, self.last // self.blur))
        may = self.present & (~self.anon | (swappiness > 0))
        order = order[may[order]]
        over_room = self.anon[order] & (np.cumsum(self.anon[order]) * CHUNK > room)
        taken = order[~over_room][: -(-size // CHUNK)]
        self.present[taken] = False
        pages = len(taken) * (CHUNK // PAGE)
        self.stolen += pages
        self.swapped_out += int(self.anon[taken].sum()) * (CHUNK // PAGE)
        return pages * PAGE

    def age(self) -> None:
        """What was used since the youngest generation was made is in a new one; four are kept apart."""
        used = self.last > self.made[-1]
        self.made.append(self.now)
        self.generation[used] = len(self.made) - 1
        self.generation = np.maximum(self.generation, len(self.made) - 4)

    def read(self, path: str) -> str:
        self._look(path)
        name = path.removeprefix(f"{MOUNT}{self.cgroup}/")
        texts: dict[str, Callable[[], str]] = {
            "memory.current": lambda: str(self.usage),
            "memory.swap.current": lambda: str(self.swap),
            "memory.stat": self._stat,
            "memory.pressure": lambda: self._pressure("memory"),
            "io.pressure": lambda: self._pressure("io"),
            "cgroup.events": lambda: "populated 1",
            "/proc/swaps": self._swaps,
            "/proc/vmstat": lambda: f"pswpout {self.swapped_out + self.foreign_out}",
            "/proc/sys/vm/swappiness": lambda: "60",
            "/sys/kernel/debug/lru_gen": self._lru_gen,
        }
        if name in self.knobs:
            return self.knobs[name] + "\n"
        if name not in texts:
            raise errors.of(OSError(errno.ENOENT, os.strerror(errno.ENOENT)), path)
        return texts[name]() + "\n"

    def write(self, path: str, text: str) -> None:
        self._look(path)
        if path == "/sys/kernel/debug/lru_gen":
            self.age()
            return
        assert path == f"{MOUNT}{self.cgroup}/memory.reclaim", f"nobody asked for {path} = {text}"
        words = text.split()
        if len(words) > 1 and not self.takes_swappiness:
            raise errors.of(OSError(errno.EINVAL, os.strerror(errno.EINVAL)), path)
        size = int(words[0])
        if size:
            self.asked.append((self.now, text))
            self.on_reclaim()
        swappiness = int(words[1].removeprefix("swappiness=")) if len(words) > 1 else 60
        if self.reclaim(size, swappiness) < size:
            raise errors.of(OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)), path)

    def inode(self, path: str) -> int:
        self._look(path)
        return self.inode_number

    def exists(self, path: str) -> bool:
        return not self.gone and path.startswith(f"{MOUNT}{self.cgroup}")

    def folders(self, path: str) -> tuple[str, ...]:
        return ()

    def _look(self, path: str) -> None:
        if self.gone and path.startswith(MOUNT):
            raise errors.of(OSError(errno.ENOENT, os.strerror(errno.ENOENT)), path)

    def _stat(self) -> str:
        anon, file = (int((self.present & kind).sum()) * CHUNK for kind in (self.anon, ~self.anon))
        values = {
            "inactive_anon": anon,
            "active_anon": 0,
            "inactive_file": file,
            "active_file": 0,
            "workingset_refault_anon": self.refaults["anon"],
            "workingset_refault_file": self.refaults["file"],
            "pgsteal": self.stolen,
        }
        return "\n".join(f"{key} {value}" for key, value in values.items())

    def _pressure(self, what: str) -> str:
        if not self.psi:
            raise errors.of(OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP)), f"{what}.pressure")
        return f"some avg10=0.00 avg60=0.00 avg300=0.00 total={int(self.stall_us[what])}"

    def _swaps(self) -> str:
        if not self.disk.size:
            return "Filename Type Size Used Priority"
        used = (self.swap + self.swap_taken) // 1024
        return f"Filename Type Size Used Priority\n{self.disk.name} partition {self.disk.size // 1024} {used} -2"

    def _lru_gen(self) -> str:
        lines = [f"memcg    11 {self.cgroup}", " node     0"]
        for number in range(max(len(self.made) - 4, 0), len(self.made)):
            mine = self.present & (self.generation == number)
            anon, file = (int((mine & kind).sum()) * (CHUNK // PAGE) for kind in (self.anon, ~self.anon))
            lines.append(f" {number} {int((self.now - self.made[number]) * 1000)} {anon} {file}")
        return "\n".join(lines)
