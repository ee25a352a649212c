"""The memcg part on a fake kernel, with a clock that jumps to when it wants to run."""

import math
from dataclasses import replace
from pathlib import Path

from reconciler.agent.memcg import Memcg
from reconciler.agentconfig import AgentTask, MemcgConfig, MemcgProfile
from reconciler.report import LruReport
from tests.agent.fake_lru import MOUNT, PAGE, FakeLru, Lru

PERIOD = 600.0
SWAP = MemcgProfile(swap=True)
MIB = (1 << 20) // PAGE  # pages


class Bench:
    def __init__(self, folder: Path, kernel: FakeLru) -> None:
        self.kernel, self.folder = kernel, folder
        self.task = AgentTask(memcg=MemcgConfig())
        self.part = self.start()

    def start(self, boot_id: str = "boot") -> Memcg:
        self.part = Memcg(self.kernel, MOUNT, PAGE, self.kernel.clock, self.folder, boot_id)
        return self.part

    def change(self, **changes: object) -> None:
        self.task = replace(self.task, **changes)  # type: ignore[arg-type]
        self.part.change(self.task)

    def profile(self, profile: MemcgProfile, **others: object) -> None:
        self.change(memcg=MemcgConfig(profile=profile, **others))  # type: ignore[arg-type]

    def periods(self, count: int = 1) -> None:
        """Runs it `count` times, each time when it wants to be."""
        for _ in range(count):
            self.kernel.now = max(self.due, self.kernel.now) if self.due < math.inf else self.kernel.now
            self.due = self.part.run(self.kernel.now)

    due = 0.0

    def lru(self, path: str, node: int = 0) -> Lru:
        return self.kernel.groups[path].lruvec(node)

    def figures(self, path: str, node: int = 0) -> LruReport:
        about = next(each for each in self.part.report().cgroups if each.path == path)
        return next(each for each in about.nodes if each.node == node)
