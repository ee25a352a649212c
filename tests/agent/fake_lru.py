"""A kernel with cgroups whose pages lie in generations: debugfs' lru_gen ages, evicts and refuses as Linux does.

    kernel = FakeLru()
    shop = kernel.cgroup("/shop", file=1000, hot_file=100, anon=500, hot_anon=50)
    kernel.write(mglru.GENERATIONS, f"+ {shop.number} 0 {shop.lruvec().youngest} 1 1")

It is a Tree without files: what is read is made then. Hot pages go to the new generation at each aging, others stay.
The quirks are the kernel's: generations up to four, of which the youngest two are never evicted; batches of 64; a kind
that has run out in the oldest generation is taken from the next one while the other kind still lies there.
"""

import errno
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from sysfs import errors, mglru
from sysfs.tree import Tree

MOUNT, PAGE, BATCH = "/sys/fs/cgroup", 4096, 64
ANON, FILE = 0, 1


def failure(number: int, path: str) -> errors.KernelError:
    return errors.of(OSError(number, os.strerror(number)), path)


@dataclass
class Lru:
    """Pages of one cgroup on one node: [anon, file] by generation, oldest first."""

    oldest: int = 0
    pages: list[list[int]] = field(default_factory=lambda: [[0, 0], [0, 0]])
    made: list[float] = field(default_factory=lambda: [0.0, 0.0])
    hot: list[int] = field(default_factory=lambda: [0, 0])
    stuck: bool = False  # nothing can be evicted

    @property
    def youngest(self) -> int:
        return self.oldest + len(self.pages) - 1

    def total(self, kind: int) -> int:
        return sum(each[kind] for each in self.pages)

    def age(self, now: float, *, swap: bool) -> None:
        if len(self.pages) == mglru.MOST_GENERATIONS:
            first = self.pages.pop(0)
            self.made.pop(0)
            self.oldest += 1
            self.pages[0] = [self.pages[0][kind] + first[kind] for kind in (ANON, FILE)]
        new = [0, 0]
        for kind in (ANON, FILE) if swap else (FILE,):
            new[kind] = min(self.hot[kind], self.pages[-1][kind])
            self.pages[-1][kind] -= new[kind]
        self.pages.append(new)
        self.made.append(now)

    def first(self, kind: int) -> int | None:
        """The oldest generation that has such pages and may be evicted."""
        evictable = self.pages[: -mglru.FEWEST_GENERATIONS]
        return next((self.oldest + n for n, each in enumerate(evictable) if each[kind]), None)

    def take(self, kind: int, number: int, most: int) -> int:
        n = number - self.oldest
        taken = min(self.pages[n][kind], most)
        self.pages[n][kind] -= taken
        return taken

    def trim(self) -> None:
        while len(self.pages) > mglru.FEWEST_GENERATIONS and self.pages[0] == [0, 0]:
            self.pages.pop(0)
            self.made.pop(0)
            self.oldest += 1


@dataclass
class Group:
    path: str
    number: int
    inode: int
    lrus: dict[int, Lru]
    memory_us: int = 0
    io_us: int = 0
    refaults: int = 0  # pages
    swap_max: str = "max"
    swapped: int = 0  # pages
    offline: bool = False

    def lruvec(self, node: int = 0) -> Lru:
        return self.lrus[node]

    def pages(self) -> int:
        return sum(lru.total(kind) for lru in self.lrus.values() for kind in (ANON, FILE))


class FakeLru(Tree):
    """`now` is the clock; each command takes `pace` seconds, and calls `after`."""

    def __init__(self, *, nodes: tuple[int, ...] = (0,), switches: int = 7, swap: int = 1 << 20) -> None:
        super().__init__("/nowhere")
        self.nodes, self.switches, self.swap_pages = nodes, switches, swap
        self.possible = 7  # switches that the processor lets it have
        self.now, self.pace = 1000.0, 0.01
        self.groups: dict[str, Group] = {}
        self.zombies: list[Group] = []
        self.written: list[tuple[str, str]] = []
        self.lacks: set[str] = set()  # files that are not there
        self.refuses: dict[str, int] = {}  # path -> errno of each write
        self.takes_swappiness = True
        self.own = "/system.slice/ebbtide.service"
        self.after: Callable[[str], None] = lambda _command: None
        self.reads: dict[str, int] = {}  # how often each file was
        self.reverse = False  # zombies are listed after the living
        self.refuses_open = True  # what refuses to be written cannot even be opened for that
        self._next = 100
        self.cgroup("/")

    # -- what a test does ----------------------------------------------------------------------------------------------

    def clock(self) -> float:
        return self.now

    def cgroup(
        self,
        path: str,
        *,
        anon: int = 0,
        file: int = 0,
        hot_anon: int = 0,
        hot_file: int = 0,
        nodes: tuple[int, ...] = (),
    ) -> Group:
        """Pages on each node; hot ones are part of the others."""
        self._next += 1
        made = Group(path=path, number=self._next, inode=self._next * 10, lrus={})
        for node in nodes or self.nodes:
            lru = Lru(hot=[hot_anon, hot_file], pages=[[0, 0], [anon, file]], made=[self.now - 100] * 2)
            made.lrus[node] = lru
        self.groups[path] = made
        return made

    def remove(self, path: str, *, zombie: bool = False) -> None:
        gone = self.groups.pop(path)
        gone.offline = True
        self.zombies += [gone] if zombie else []

    def stall(self, path: str, memory_us: int, io_us: int = 0) -> None:
        group = self.groups[path]
        group.memory_us, group.io_us = group.memory_us + memory_us, group.io_us + io_us

    def commands(self, sign: str = "") -> list[str]:
        return [text for path, text in self.written if path == mglru.GENERATIONS and text.startswith(sign)]

    def reclaims(self, path: str) -> list[str]:
        return [text for name, text in self.written if name == f"{MOUNT}{path}/memory.reclaim"]

    # -- Tree ----------------------------------------------------------------------------------------------------------

    def read_bytes(self, path: str) -> bytes:
        self.reads[path] = self.reads.get(path, 0) + 1
        return self._text(path).encode()

    def write(self, path: str, text: str) -> None:
        self._check(path)
        if path in self.refuses:
            raise failure(self.refuses[path], path)
        self.written.append((path, text))
        if path == mglru.GENERATIONS:
            self._command(text)
        elif path == mglru.ENABLED:
            self.switches = int(text, 16) & self.possible
        elif path.endswith("/memory.reclaim"):
            self._reclaim(self._group(path), text, path)
        else:
            raise failure(errno.EACCES, path)

    def exists(self, path: str) -> bool:
        try:
            self._check(path)
        except errors.Gone:
            return False
        return True

    def inode(self, path: str) -> int:
        return self._directory(path).inode

    def folders(self, path: str) -> tuple[str, ...]:
        above = self._directory(path).path.rstrip("/") + "/"
        names = (each.removeprefix(above) for each in self.groups if each.startswith(above) and each != above)
        return tuple(sorted({name for name in names if "/" not in name}))

    def open(self, path: str, *, write: bool = False) -> io.FileIO:
        self._check(path)
        if path in self.refuses and write and self.refuses_open:
            raise failure(self.refuses[path], path)
        return io.FileIO(os.devnull)

    # -- files ---------------------------------------------------------------------------------------------------------

    def _check(self, path: str) -> None:
        if path in self.lacks or os.path.basename(path) in self.lacks:
            raise failure(errno.ENOENT, path)
        if path.startswith(MOUNT):
            self._group(path)

    def _directory(self, path: str) -> Group:
        try:
            return self.groups[path.removeprefix(MOUNT) or "/"]
        except KeyError:
            raise failure(errno.ENOENT, path) from None

    def _group(self, path: str) -> Group:
        """Of a directory, or of a file in one."""
        inside = path.removeprefix(MOUNT) or "/"
        return self.groups[inside] if inside in self.groups else self._directory(path.rpartition("/")[0])

    def _text(self, path: str) -> str:
        self._check(path)
        if path == mglru.GENERATIONS:
            return self.generations()
        if path == mglru.ENABLED:
            return f"{self.switches:#06x}\n"
        if path == "/proc/swaps":
            used = sum(each.swapped for each in self.groups.values())
            size = (self.swap_pages + used) * 4
            line = f"/dev/zram0 partition {size} {used * 4} 100\n" if size else ""
            return f"Filename Type Size Used Priority\n{line}"
        if path == "/proc/self/cgroup":
            return f"0::{self.own}\n"
        return self._of_group(self._group(path), os.path.basename(path), path)

    def _of_group(self, group: Group, name: str, path: str) -> str:
        if name in {"memory.pressure", "io.pressure"}:
            total = group.memory_us if name == "memory.pressure" else group.io_us
            return f"some avg10=0.00 avg60=0.00 avg300=0.00 total={total}\nfull avg10=0.00 total=0\n"
        if name == "memory.stat":
            return self._stat(group)
        if name == "cgroup.events" and group.path != "/":
            return "populated 1\nfrozen 0\n"
        known = {
            "memory.swap.max": group.swap_max,
            "memory.swap.current": str(group.swapped * PAGE),
            "memory.max": "max",
        }
        if name in known and group.path != "/":
            return known[name] + "\n"
        raise failure(errno.ENOENT, path)

    def _stat(self, group: Group) -> str:
        below = [each for each in self.groups.values() if _within(each.path, group.path)]
        lists = [0, 0, 0, 0]
        for lru in (lru for each in below for lru in each.lrus.values()):
            for kind in (ANON, FILE):
                active = sum(each[kind] for each in lru.pages[-2:]) * PAGE
                lists[kind] += lru.total(kind) * PAGE - active
                lists[kind + 2] += active
        names = ("inactive_anon", "inactive_file", "active_anon", "active_file")
        refaults = sum(each.refaults for each in below)
        lines = [f"{name} {size}" for name, size in zip(names, lists, strict=True)]
        return "\n".join([*lines, "workingset_refault_anon 0", f"workingset_refault_file {refaults}"]) + "\n"

    def generations(self) -> str:
        lines = []
        for group in sorted(
            [*self.zombies, *self.groups.values()], key=lambda each: (each.path, self.reverse == each.offline)
        ):
            lines.append(f"memcg {group.number:5} {group.path}")
            for node, lru in group.lrus.items():
                lines.append(f" node {node:5}")
                for n, (anon, file) in enumerate(lru.pages):
                    age = int(1000 * (self.now - lru.made[n]))
                    lines.append(f" {lru.oldest + n:10} {age:10} {anon:10} {file:10} ")
        return "\n".join(lines) + "\n"

    # -- what writes do ------------------------------------------------------------------------------------------------

    def _command(self, text: str) -> None:
        sign, *rest = text.split()
        number, node, sequence, *options = (int(word) for word in rest)
        group = next((each for each in self.groups.values() if each.number == number), None)
        if group is None or node not in group.lrus:
            raise failure(errno.EINVAL, mglru.GENERATIONS)
        lru = group.lrus[node]
        if sign == "+":
            self._age(lru, sequence, *options)
        else:
            self._evict(group, lru, sequence, *options)
        self.now += self.pace
        self.after(text)

    def _age(self, lru: Lru, sequence: int, can_swap: int = 1, _force: int = 1) -> None:
        if sequence > lru.youngest:
            raise failure(errno.EINVAL, mglru.GENERATIONS)
        if sequence == lru.youngest:
            lru.age(self.now, swap=bool(can_swap))

    def _evict(self, group: Group, lru: Lru, sequence: int, swappiness: int, most: int) -> None:
        if sequence + mglru.FEWEST_GENERATIONS > lru.youngest or not 0 <= swappiness <= 200:
            raise failure(errno.EINVAL, mglru.GENERATIONS)
        left, turn = most, 0
        while left > 0 and not lru.stuck:
            first = lru.first(ANON if swappiness else FILE)
            if first is None or first > sequence:
                break
            turn += 1
            taken = self._batch(group, lru, anon_first=swappiness * turn // 200 > swappiness * (turn - 1) // 200)
            left -= taken
            if not taken:
                break
        lru.trim()

    def _batch(self, group: Group, lru: Lru, *, anon_first: bool, anon: bool = True) -> int:
        for kind in (ANON, FILE) if anon_first else (FILE, ANON):
            number = lru.first(kind)
            room = min(self.swap_pages, BATCH) if group.swap_max == "max" and anon else 0
            most = BATCH if kind == FILE else room
            if number is not None and (taken := lru.take(kind, number, most)):
                self.swap_pages -= taken if kind == ANON else 0
                group.swapped += taken if kind == ANON else 0
                return taken
        return 0

    def _reclaim(self, group: Group, text: str, path: str) -> None:
        size, *options = text.split()
        if options and not self.takes_swappiness:
            raise failure(errno.EINVAL, path)
        swappiness = int(options[0].removeprefix("swappiness=")) if options else 60
        left = int(size) // PAGE
        for lru in group.lrus.values():
            while left > 0 and not lru.stuck:
                taken = self._batch(group, lru, anon_first=swappiness > 100, anon=swappiness > 0)
                left -= taken
                if not taken:
                    break
            lru.trim()
        self.now += self.pace
        self.after(text)
        if left > 0:
            raise failure(errno.EAGAIN, path)


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")
