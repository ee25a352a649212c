"""A run of pressure-driven reclaim against a fake workload: hours in a moment, on a clock of its own."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.agent.reclaim import Means, Reclaim
from reconciler.agentconfig import AgentTask, ReclaimConfig, ReclaimTask
from reconciler.report import ReclaimedReport
from tests.agent.fake_workload import MIB, MOUNT, Disk, FakeWorkload, Part

HOUR = 3600.0
FLOOR = 16 * MIB
TASK = ReclaimTask(workload="id-1", name="shop/cart/db", cgroup="/shop", config=ReclaimConfig(floor_bytes=FLOOR))


@dataclass
class Run:
    """The part, its world, and what happens in it."""

    fake: FakeWorkload
    part: Reclaim
    due: float = 0.0
    lowest: int = 1 << 62
    states: list[str] = field(default_factory=list)

    @property
    def now(self) -> ReclaimedReport:
        return self.part.report().workloads[0]

    def pass_by(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Gives how long it was."""
        begin = self.fake.now
        while self.fake.now < begin + seconds and not until():
            if self.fake.now >= self.due:
                self.due = self.part.run(self.fake.now)
                self._note()
            self.fake.advance(1)
        return self.fake.now - begin

    def _note(self) -> None:
        self.lowest = min(self.lowest, self.fake.usage)
        for row in self.part.report().workloads:
            if self.states[-1:] != [row.state]:
                self.states.append(row.state)


def started(fake: FakeWorkload, task: AgentTask | None = None, **means: Any) -> Run:
    doors = {"tree": fake, "mount": MOUNT, "page_size": 4096, "clock": lambda: fake.now, "wall": lambda: 1e9 + fake.now}
    run = Run(fake, Reclaim(Means(**{**doors, **means})))
    run.part.change(task or AgentTask(reclaims=(TASK,)))
    return run


def configured(**values: Any) -> AgentTask:
    return AgentTask(reclaims=(replace(TASK, config=replace(TASK.config, **values)),))


def a_gigabyte(disk: str = "/dev/zram0") -> FakeWorkload:
    """200 MiB of anonymous memory and 100 MiB of page cache are used, 700 MiB are not any more."""
    fake = FakeWorkload(disk=Disk(name=disk))
    fake.add(Part(200 * MIB, every=3))
    fake.add(Part(100 * MIB, every=20, anon=False))
    fake.add(Part(500 * MIB))
    fake.add(Part(200 * MIB, anon=False))
    fake.advance(60)
    return fake
