"""A node in a test: a fake kernel, inventory and classes, and the daemon's cycle on top, without its threads."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler import agentwanted, backoff, desired, knobs, observe, plan
from reconciler.actions import Known, Outcome, Plan, Retry
from reconciler.agentconfig import AgentTask, CompactConfig, Override
from reconciler.baseline import Baseline
from reconciler.execute import Executor
from reconciler.model import ClassTable, Desired, EngineTask, Knob, MemoryClass, Observed, Origin, Setting, Workload
from sysfs.tree import Tree
from tests.kernel.fake import MOUNT, FakeKernel

STATE = Path("/state")


class FakeEngines:
    """Remembers what runs."""

    def __init__(self) -> None:
        self.tasks: dict[str, EngineTask] = {}

    def start(self, task: EngineTask) -> None:
        self.tasks[task.workload] = task

    def stop(self, workload: str) -> None:
        self.tasks.pop(workload, None)


class FakeAgent:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.task = AgentTask()
        self.acted: list[AgentTask] = []  # all tasks in which it may write

    def change(self, task: AgentTask) -> None:
        self.task = task
        if not task.observe:
            self.acted.append(task)


def memory_class(name: str, **values: str) -> MemoryClass:
    """memory_class("c", memory_high="64M"): a class that sets these knobs."""
    origin = Origin(file=f"{name}.yaml", line=1)
    settings = (knobs.parse(Knob(key.replace("_", ".")), value, origin) for key, value in values.items())
    return MemoryClass(name=name, settings=tuple[Setting, ...](settings))


@dataclass
class Node:
    fs: FakeFilesystem
    classes: dict[str, MemoryClass] = field(default_factory=dict)
    workloads: dict[str, Workload] = field(default_factory=dict)
    paused: bool = False
    released: frozenset[str] = frozenset()
    now: float = 0.0
    tree: Tree | None = None  # instead of the kernel's own: faults
    lacks: tuple[str, ...] = ()  # files that this kernel has not
    works: tuple[str, ...] = ("referenced",)  # features beside those of every fake kernel
    table: ClassTable | None = None  # instead of `classes` alone
    uncertain: bool = False  # a class file is unreadable
    blind: bool = False  # the cgroup tree cannot be seen
    compact: CompactConfig | None = None  # the section, beside `classes`
    overrides: tuple[Override, ...] = ()

    def __post_init__(self) -> None:
        self.kernel = FakeKernel(self.fs, lacks=self.lacks, swap=1 << 30)
        self.kernel.cgroup("/system.slice")
        self.fs.create_dir(STATE)
        self.restart()

    def restart(self) -> None:
        """A new daemon process: only what is on disk is left."""
        self.baseline = Baseline(STATE, "boot")
        self.engines = FakeEngines()
        self.agent = FakeAgent()
        self.retries: Mapping[backoff.Key, Retry] = {}

    def desired(self) -> Desired:
        table = self.table or ClassTable(classes=self.classes, compact=self.compact)
        features = self.kernel.features(*self.works)
        return desired.resolve(
            table, self.workloads.values(), features, uncertain=self.uncertain, overrides=self.overrides
        )

    def set(self, section: str, **values: object) -> None:
        self.overrides = agentwanted.added(self.overrides, Override(section=section, values=values))

    def known(self) -> Known:
        return Known(
            baseline=dict(self.baseline.entries),
            retries=self.retries,
            paused=self.paused,
            released=self.released,
        )

    def observed(self, wanted: Desired) -> Observed:
        features = self.kernel.features()
        if self.blind:
            features = replace(features, cgroup_mount="")
        paths = {key: one.workload.cgroup for key, one in wanted.workloads.items() if one.workload.cgroup}
        seen = observe.observe(self.kernel.tree, features, paths, self.baseline.entries)
        return replace(seen, engines=dict(self.engines.tasks), agent=self.agent.task)

    def plan(self) -> Plan:
        wanted = self.desired()
        return plan.plan(wanted, self.observed(wanted), self.known(), self.now)

    def cycle(self) -> tuple[Outcome, ...]:
        """Plan and perform once; time moves on so that every retry is due."""
        decided = self.plan()
        tree = self.tree or self.kernel.tree
        executor = Executor(tree, MOUNT, self.baseline, self.engines, self.kernel.page_size, self.agent)
        outcomes = executor.perform(decided)
        self.retries = backoff.advance(self.retries, outcomes, self.now, 0.0)
        self.now += backoff.LONGEST_SECONDS
        return outcomes

    def settle(self, most: int = 20) -> None:
        """Cycle until there is nothing left to do."""
        for _ in range(most):
            if not self.plan().actions:
                return
            self.cycle()
        raise AssertionError(f"still not settled after {most} cycles: {self.plan()}")
