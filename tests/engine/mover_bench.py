"""A mover on fake processes, with a clock that runs ahead."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from reconciler.engine import processes
from reconciler.engine.mover import Moved, Mover
from reconciler.engine.policies.policy import Move
from reconciler.engine.processes import Process
from reconciler.engine.ranges import Ranges
from reconciler.engineconfig import MoverConfig
from sysfs import pagemap, process
from tests.engine.fake_process import BASE, PAGE, FakeKernel, FakeProcess

MIB = 1 << 20
FAST = MoverConfig(interval_ms=10, bandwidth_mib=4096)


@dataclass
class MoverBench:
    """A mover with a clock of its own, which runs ahead to the next step."""

    kernel: FakeKernel
    config: MoverConfig = FAST
    now: float = 100.0
    woken: int = 0
    known: dict[int, Process] = field(default_factory=dict)
    moved: Moved = field(default_factory=Moved)

    def __post_init__(self) -> None:
        self.mover = Mover(self.kernel.doors, self.config, lambda: self.now, wake=self.wake)

    def wake(self) -> None:
        self.woken += 1

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now <= end and self.mover.pending():
            self.moved += self.mover.step(self.known, lambda: False)
            self.now += self.mover.wait()
        self.now = max(self.now, end)

    def process(self, pid: int = 50, pages: int = 1024) -> FakeProcess:
        """All of it present, and tracked in regions of 16 pages."""
        made = FakeProcess(self.kernel.root, pid, pages=np.zeros(max(pages, 4096), np.uint64)).map(0, pages)
        return self.kernel.add(made.present(0, pages))

    def track(self, pid: int = 50) -> Process:
        tree, made = self.kernel.tree, self.kernel.processes[pid]
        known = processes.adopt(process.identity(tree, pid))
        surveyor = processes.Surveyor(tree, frozenset({1, 2}), 16, PAGE, scan=False)
        surveyor.refresh(known, 0, 0)
        self.known[pid] = known
        assert len(known.regions) == sum(-(-(last - first) // 16) for first, last, _ in made.mappings)
        return known


def address(page: int) -> int:
    return BASE + page * PAGE


def span(*pages: tuple[int, int]) -> Ranges:
    low, high = (np.array([address(pair[i]) for pair in pages], np.uint64) for i in (0, 1))
    return low, high


def move(pid: int, pages: Iterable[tuple[int, int]], to: tuple[int, ...], **others: object) -> Move:
    start, end = span(*pages)
    order = np.arange(len(start)).astype(np.uint32)
    size = (end - start).astype(np.int64)
    return replace(Move(pid=pid, start=start, end=end, size=size, order=order, to=to), **others)  # type: ignore[arg-type]


def near(kernel: FakeKernel, pages: int) -> None:
    """A node 2, nearer to node 0 than node 1 is."""
    kernel.nodes.add(2, pages, (15, 20, 10))
    (kernel.root / "sys/devices/system/node/node0/distance").write_text("10 20 15\n")


def on_node(process: FakeProcess, node: int) -> set[int]:
    return set(np.flatnonzero((process.node == node) & ((process.pages & pagemap.PRESENT) != 0)).tolist())
