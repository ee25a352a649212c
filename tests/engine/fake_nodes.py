"""Memory nodes, and a move_pages that behaves as the kernel's: mm/migrate.c, do_pages_move.

Pages are queued; a page that cannot be isolated, or is there already, gets its status at once, and what is queued is
moved then. If some of that does not move, the call ends: with the number of pages that did not move or were not tried,
and no statuses for them; or with -ENOMEM when the node is full.
"""

import errno
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sysfs import numa, pagemap
from sysfs.move_pages import MovePages

if TYPE_CHECKING:
    from tests.engine.fake_process import FakeProcess

PAGE, BASE = 4096, 0x400000


class FakeNodes:
    """None at first: a kernel without NUMA."""

    def __init__(self, root: Path) -> None:
        self._root = root / "sys/devices/system/node"
        self.free: dict[int, int] = {}  # pages, of each node
        self.pinned: set[int] = set()  # pages that migration gives up on
        self.busy: Counter[int] = Counter()  # how often a page cannot be isolated
        self.calls: list[tuple[int, int, int]] = []  # pid, pages, node
        self.asked: Callable[[], None] = lambda: None  # happens when somebody asks where pages are

    def add(self, number: int, free: int, distances: tuple[int, ...] = (), *, cpu: bool = False) -> None:
        """A node with so many pages, all of them free. Distances in the order of nodes that exist then."""
        self.free[number] = free
        folder = self._root / f"node{number}"
        folder.mkdir(parents=True)
        (folder / "distance").write_text(" ".join(map(str, distances)) + "\n")
        (folder / "total").write_text(str(free))
        for name in ("online", "has_memory", *(("has_cpu",) if cpu else ())):
            path = self._root / name
            before = path.read_text().strip() if path.exists() else ""
            path.write_text(f"{before},{number}\n".lstrip(","))
        self.write()

    def write(self) -> None:
        for number, free in self.free.items():
            folder = self._root / f"node{number}"
            total = int((folder / "total").read_text())
            sizes = {"MemTotal": total, "MemFree": free}
            lines = [f"Node {number} {key}: {pages * PAGE // 1024} kB\n" for key, pages in sizes.items()]
            (folder / "meminfo").write_text("".join(lines))


class FakeMovePages(MovePages):
    def __init__(self, nodes: FakeNodes, process: "FakeProcess", before: Callable[[], None]) -> None:
        super().__init__(process.pid)
        self._nodes, self._process, self._before = nodes, process, before

    def _call(self, addresses: NDArray[np.uint64], nodes: NDArray[np.int32] | None, status: NDArray[np.int32]) -> int:
        if nodes is None:
            self._nodes.asked()
        if not self._process.folder.exists():
            return -errno.ESRCH
        index = ((addresses - np.uint64(BASE)) // np.uint64(PAGE)).astype(np.intp)
        if nodes is None:
            present = (self._process.pages[index] & pagemap.PRESENT) != 0
            status[:] = np.where(present, self._process.node[index], -errno.ENOENT)
            return 0
        self._before()
        node = int(nodes[0])
        self._nodes.calls.append((self._process.pid, len(addresses), node))
        if node not in self._nodes.free:
            return -errno.ENODEV
        if node not in numa.parse_list(self._process.allowed):
            return -errno.EACCES
        result = self._move(index.tolist(), node, status)
        self._nodes.write()
        return result

    def _move(self, index: list[int], node: int, status: NDArray[np.int32]) -> int:
        queued: list[int] = []
        for at, page in enumerate(index):
            said = self._isolated(page, node)
            if said is None:
                queued.append(at)
                continue
            status[at] = said
            if failed := self._migrate(queued, index, node, status):
                return failed if failed < 0 else failed + len(index) - at - 1
            queued = []
        return self._migrate(queued, index, node, status)

    def _isolated(self, page: int, node: int) -> int | None:
        """A status at once, or nothing for a page that is queued."""
        entry = self._process.pages[page]
        if not entry & pagemap.PRESENT:
            return -errno.ENOENT
        if not entry & pagemap.EXCLUSIVE:
            return -errno.EACCES
        if self._process.node[page] == node:
            return node
        if self._nodes.busy[page]:
            self._nodes.busy[page] -= 1
            return -errno.EBUSY
        return None

    def _migrate(self, queued: list[int], index: list[int], node: int, status: NDArray[np.int32]) -> int:
        failed = 0
        for at in queued:
            if index[at] in self._nodes.pinned:
                failed += 1
            elif self._nodes.free[node] == 0:
                return -errno.ENOMEM
            else:
                self._nodes.free[node] -= 1
                self._nodes.free[int(self._process.node[index[at]])] += 1
                self._process.node[index[at]] = node
        if not failed:
            status[queued] = node
        return failed
