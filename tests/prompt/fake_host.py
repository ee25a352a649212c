"""Who runs the engine, for the prompt: remembers what it was told, and answers what a test has put there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from reconciler.engine import regions
from reconciler.engine.mover import ALL_DONE, BUSY, PAUSED
from reconciler.engine.regions import Addresses, Regions
from reconciler.engineconfig import EngineConfig, MoverConfig, RoutineConfig, WatcherConfig
from reconciler.memtierd.host import Kind, Level, Task
from reconciler.model import Features
from sysfs.advise import Target
from sysfs.tree import Tree
from tests.engine.fake_process import FakeKernel


def region(start: int, pages: int, accesses: int = 0, writes: int = 0) -> Regions:
    mine = np.zeros(1, regions.REGION)
    mine["start"], mine["pages"], mine["accesses"], mine["writes"] = start, pages, accesses, writes
    return mine


@dataclass
class FakeSession:
    found: dict[int, Regions] = field(default_factory=dict)
    page_size: int = 4096
    resets: int = 0

    def counters(self) -> Mapping[int, Regions]:
        return self.found

    def reset_counters(self) -> None:
        self.resets += 1

    def record(self, word: str) -> str:
        return f"recorded {word}"

    def dump_policy(self, words: tuple[str, ...]) -> str:
        return f"dump of {words} 100% {{}} %d"


@dataclass
class FakeTask:
    number: int
    pid: int
    next: int
    total: int
    to: tuple[int, ...]
    done: int = 0
    why: str = ""


@dataclass
class FakeCarrier:
    queue: list[FakeTask] = field(default_factory=list)
    paused: bool = False

    def add(self, pid: int, start: Addresses, end: Addresses, to: tuple[int, ...]) -> int:
        pages = int((end - start).sum()) // 4096
        self.queue.append(FakeTask(number=len(self.queue), pid=pid, next=int(start[0]), total=pages, to=to))
        return len(self.queue) - 1

    def tasks(self) -> Sequence[Task]:
        return self.queue

    def remove(self, task: int) -> bool:
        before = len(self.queue)
        self.queue = [each for each in self.queue if each.number != task]
        return len(self.queue) < before

    def pause(self) -> None:
        self.paused = True

    def proceed(self) -> None:
        self.paused = False

    def state(self) -> str:
        if self.paused:
            return PAUSED
        return BUSY if self.queue else ALL_DONE


@dataclass
class FakeHost:
    kernel: FakeKernel
    features: Features = field(default_factory=lambda: Features(kernel="fake", page_size=4096))
    fixed: str = ""
    patience: float = 2.0
    now: float = 1_700_000_000.0
    configs: dict[Kind, EngineConfig] = field(default_factory=dict)
    sessions: dict[Kind, FakeSession] = field(default_factory=dict)
    alive: set[Kind] = field(default_factory=set)
    carrier: FakeCarrier = field(default_factory=FakeCarrier)
    moving: MoverConfig = field(default_factory=MoverConfig)
    told: list[str] = field(default_factory=list)
    found: tuple[int, ...] = ()
    refused: dict[int, str] = field(default_factory=dict)
    undoes: str = ""
    files: dict[str, str] = field(default_factory=dict)
    configured: tuple[RoutineConfig, ...] = ()
    repeated: dict[int, RoutineConfig | None] = field(default_factory=dict)
    no_marks: str = ""

    @property
    def tree(self) -> Tree:
        return self.kernel.tree

    def config(self, kind: Kind) -> EngineConfig | None:
        return self.configs.get(kind)

    def session(self, kind: Kind) -> FakeSession | None:
        return self.sessions.get(kind)

    def running(self, kind: Kind) -> bool:
        return kind in self.alive

    def start(self, kind: Kind, config: EngineConfig) -> None:
        self.configs[kind] = config
        self.sessions[kind] = FakeSession()
        self.alive.add(kind)
        self.told.append(f"start {kind}")

    def stop(self, kind: Kind) -> None:
        self.alive.discard(kind)
        self.told.append(f"stop {kind}")

    def mover(self) -> FakeCarrier:
        return self.carrier

    def mover_config(self) -> MoverConfig:
        return self.moving

    def configure_mover(self, config: MoverConfig) -> None:
        self.moving = config

    def stats(self, words: tuple[str, ...]) -> str:
        if "nothing" in words:
            return 'unknown table "nothing", available: "events"'
        return f"stats {' '.join(words)} 50% of %s"

    def pids(self, watcher: WatcherConfig) -> tuple[int, ...]:
        self.told.append(f"look {watcher.name}")
        return self.found

    def watch(self, watcher: WatcherConfig | None) -> None:
        self.told.append(f"watch {watcher.name if watcher else None}")

    def repeat(self, routine: int, config: RoutineConfig | None) -> None:
        self.repeated[routine] = config

    def routines(self) -> Sequence[RoutineConfig]:
        return self.configured

    def refusal(self, pid: int, *, named: bool) -> str:
        return self.refused.get(pid, "")

    def marking(self) -> str:
        return self.no_marks

    def swap_closed(self, pid: int) -> str:
        swaps = (self.kernel.root / "proc/swaps").read_text().splitlines()
        return "" if len(swaps) > 1 else "no swap on this node"

    def target(self, pid: int) -> Target:
        return self.kernel.target(pid)

    def undone(self, pid: int) -> str:
        return self.undoes

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.told.append(f"sleep {seconds:g}")

    def log(self, level: Level, text: str) -> None:
        self.told.append(f"{level}: {text}")

    def read_file(self, path: str) -> str:
        if path not in self.files:
            raise ValueError(f"{path}: there is no such file")
        return self.files[path]
