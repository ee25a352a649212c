"""An engine on a fake kernel, with a clock of its own and no threads."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from reconciler.engine.engine import Engine
from reconciler.engine.errands import Errands
from reconciler.engine.kdamonds import Kdamonds
from reconciler.engineconfig import (
    AgeConfig,
    Command,
    EngineConfig,
    MoverConfig,
    RoutineConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.model import EngineSettings, EngineTask, Features
from tests.engine.fake_process import FakeKernel
from tests.engine.mover_bench import MoverBench
from tests.engine.silent import Silent

CONFIG = EngineConfig(
    policy=AgeConfig(interval_ms=1000, swapout_ms=2000),
    tracker=TrackerConfig(name="referenced", pages_in_region=16, scan_interval_ms=1000, regions_update_ms=1000),
    mover=MoverConfig(interval_ms=100, bandwidth_mib=100),
    watcher=WatcherConfig(name="pidlist", interval_ms=1000),
    routines=(
        RoutineConfig(
            interval_ms=3000, command=Command(words=("policy", "-dump", "accessed", "0,1s,0"), runner="memtier")
        ),
    ),
)


@dataclass
class Bench:
    kernel: FakeKernel
    now: float = 1000.0
    cpu_clock: Callable[[], float] = lambda: 0.0
    wakes: list[str] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    settings: EngineSettings = field(default_factory=EngineSettings)
    features: Features = field(default_factory=lambda: Features(kernel="fake", page_size=4096))
    errands: Errands = field(default_factory=lambda: Errands(send=lambda _, work: work()))  # at once
    kdamonds: Kdamonds | None = None

    def __post_init__(self) -> None:
        self.engine = Engine(
            self.kernel.tree,
            self.features,
            self.settings,
            self.wakes.append,
            lambda: self.now,
            output=lambda workload, text: self.outputs.append((workload, text)),
            cpu_clock=self.cpu_clock,
            doors=self.kernel.doors,
            same_memory=self.kernel.same_memory,
            errands=self.errands,
            bells=Silent(self.kernel.tree),
            kdamonds=self.kdamonds,
            workers=0,
        )

    def task(
        self, tracker: str = "referenced", *, page_types: tuple[str, ...] = ("anon",), **changes: object
    ) -> EngineTask:
        policy = replace(CONFIG.policy, page_types=page_types)
        known: dict[str, object] = {"pids": tuple(self.kernel.processes), **changes}
        config = replace(CONFIG, policy=policy)
        return EngineTask(workload="w", tracker=tracker, **{"config": config, **known})  # type: ignore[arg-type]

    def run(self, seconds: float) -> None:
        """Let the engine do all that falls due in this time."""
        end = self.now + seconds
        while self.engine.scheduler.next_deadline() <= end:
            self.now = max(self.now, self.engine.scheduler.next_deadline())
            self.engine.scheduler.turn()
        self.now = end


@pytest.fixture
def kernel(tmp_path: Path) -> FakeKernel:
    return FakeKernel(tmp_path)


@pytest.fixture
def bench(kernel: FakeKernel) -> Iterator[Bench]:
    made = Bench(kernel)
    yield made
    made.engine.close()


@pytest.fixture
def mover(kernel: FakeKernel) -> MoverBench:
    """On a machine with two memory nodes."""
    kernel.nodes.add(0, 100_000, (10,), cpu=True)
    kernel.nodes.add(1, 50_000, (20, 10))
    return MoverBench(kernel)
