"""The agent: its parts, each run by one thread at a time, when it is due or when something has changed.

Nothing here waits for a part: `change` and `report` return at once. A bug in a part is logged and told in the report,
and that part comes again later; the others go on.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from reconciler import agentwanted, backoff
from reconciler.agent import compact_run
from reconciler.agent.compact import Compact
from reconciler.agent.kata import Kata
from reconciler.agent.memcg import Memcg
from reconciler.agent.part import Part, Releasing
from reconciler.agent.reclaim import Means, Reclaim
from reconciler.agent.reclaim_gauges import Accessed
from reconciler.agent.swapfile import SwapFiles
from reconciler.agentconfig import AgentTask, Override
from reconciler.engine.scheduler import Scheduler
from reconciler.model import BrakeLimits
from reconciler.report import AgentReport
from sysfs.tree import Tree

_SHORTEST_REST_S = 0.01  # a part that is always due must not take a whole CPU
_log = logging.getLogger("ebbtide.agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What parts are made of."""

    tree: Tree
    mount: str  # of cgroup v2, absolute; "" = there is none
    page_size: int
    state_dir: Path
    boot_id: str
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    brakes: Callable[[], BrakeLimits] = BrakeLimits  # the node's, as they are now
    accessed: Accessed | None = None  # what a tracker knows of a workload's ages


def _compact(world: World) -> Part:
    return Compact(compact_run.Doors(tree=world.tree, clock=world.clock), world.page_size)


def _memcg(world: World) -> Part:
    return Memcg(world.tree, world.mount, world.page_size, world.clock, world.state_dir, world.boot_id)


def _swap(world: World) -> Part:
    return SwapFiles(
        world.tree,
        world.state_dir,
        boot_id=world.boot_id,
        page_size=world.page_size,
        mount=world.mount,
        clock=world.clock,
    )


def _kata(world: World) -> Part:
    return Kata(world.tree.root)


def _reclaim(world: World) -> Reclaim:
    return Reclaim(
        Means(
            tree=world.tree,
            mount=world.mount,
            page_size=world.page_size,
            clock=world.clock,
            wall=world.wall,
            brakes=world.brakes,
            accessed=world.accessed,
            state_dir=world.state_dir,
        )
    )


Makers = Mapping[str, Callable[[World], Part]]
PARTS: Makers = {  # by their names in AgentReport
    "memcg": _memcg,
    "compact": _compact,
    "swap": _swap,
    "reclaim": _reclaim,
    "kata": _kata,
}


class Worker:
    """Runs one part, and survives its bugs."""

    def __init__(self, name: str, part: Part, clock: Callable[[], float]) -> None:
        self.name, self.part, self._clock = name, part, clock
        self.error = ""  # of the last run; "" = it was fine
        self._failures = 0

    def run(self) -> float:
        """When to come again, on the clock."""
        try:
            due = self.part.run(self._clock())
        except Exception as error:  # noqa: BLE001 the one guard of a part: it is logged, told and tried again
            return self._failed(error)
        self._failures, self.error = 0, ""
        return max(due, self._clock() + _SHORTEST_REST_S)

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        self.error = f"{type(error).__name__}: {error}"
        delay = min(backoff.FIRST_SECONDS * 2.0 ** min(self._failures - 1, 20), backoff.LONGEST_SECONDS)
        _log.exception("event=agent-failed part=%s failures=%d", self.name, self._failures)
        return self._clock() + delay

    def report(self) -> object:
        try:
            return self.part.report()
        except Exception:  # noqa: BLE001 a status without one part is better than none
            _log.exception("event=agent-report-failed part=%s", self.name)
            return None


class Agent:
    """With `threads=0` nothing runs by itself: tests call `turn`."""

    def __init__(
        self, parts: Mapping[str, Part], clock: Callable[[], float] = time.monotonic, threads: int = -1
    ) -> None:
        self._clock = clock
        self._workers = {name: Worker(name, part, clock) for name, part in parts.items()}
        self._scheduler = Scheduler(_lost, clock, len(self._workers) if threads < 0 else threads)
        self._task: AgentTask | None = None
        self.overrides: tuple[Override, ...] = ()  # set at runtime, and gone with this process
        self._lock = Lock()  # changes reach all parts in one order

    def change(self, task: AgentTask) -> None:
        """What holds from now on; every part looks at it at once."""
        with self._lock:
            begun, self._task = self._task is not None, task
            for worker in self._workers.values():
                worker.part.change(task)
            for name, worker in self._workers.items():
                if begun:
                    self._scheduler.hurry(name, self._clock())
                else:
                    self._scheduler.add(name, worker.run)

    def set(self, override: Override) -> None:
        """Remember what somebody wants at runtime; it is part of the next task."""
        with self._lock:
            self.overrides = agentwanted.added(self.overrides, override)

    def unset(self, section: str, cgroup: str = "") -> None:
        """Forget it: class files alone count again."""
        with self._lock:
            self.overrides = agentwanted.without_place(self.overrides, section, cgroup)

    def begin(self, *, observe: bool) -> None:
        """If nothing was asked of it yet, put back what an earlier daemon may have left; nothing if it observes."""
        if self._task is None:
            self.change(AgentTask(observe=observe))

    def running(self) -> AgentTask:
        return self._task or AgentTask()

    def report(self) -> AgentReport:
        task = self.running()
        return AgentReport(
            task=task.fingerprint(),
            doing=agentwanted.summary(task),
            observe=task.observe,
            origins=dict(task.origins),
            kept={one.cgroup: one.reason for one in task.kept},
            overrides=self.overrides,
            errors=tuple(f"{name}: {one.error}" for name, one in self._workers.items() if one.error),
            **self._figures(),
        )

    def _figures(self) -> dict[str, Any]:
        """Each part's own, under its name."""
        return {name: worker.report() for name, worker in self._workers.items()}

    def history(self, workload: str) -> Mapping[str, Any]:
        """What reclaim has seen of a workload; LookupError where it is not probed."""
        worker = self._workers.get("reclaim")
        if worker is None or not isinstance(worker.part, Reclaim):
            raise LookupError(f"no history of {workload}: nothing is probed here")
        return worker.part.history(workload)

    def turn(self) -> bool:
        """Run one part that is due, if there is one."""
        return self._scheduler.turn()

    def next_deadline(self) -> float:
        return self._scheduler.next_deadline()

    def close(self) -> None:
        """End: what is under way stops soon. What stays in the kernel is remembered on disk by whoever made it."""
        for worker in self._workers.values():
            worker.part.stop()
        self._scheduler.close()


def make(world: World, makers: Makers = PARTS) -> Agent:
    return Agent({name: maker(world) for name, maker in makers.items()}, world.clock)


def give_back(world: World, makers: Makers = PARTS) -> tuple[str, ...]:
    """Without a daemon: put back whatever an earlier one has left in the kernel; what could not be, as text."""
    made = [maker(world) for maker in makers.values()]
    return tuple(filter(None, (part.release() for part in made if isinstance(part, Releasing))))


def _lost(key: str, error: BaseException) -> None:
    """Workers survive what their parts raise, so this is one of our own."""
    _log.error("event=agent-worker-lost part=%s", key, exc_info=error)
