"""The engine: loops that track memory and page out what is idle, one a workload, started and stopped by `execute`.

Nothing here waits for a scan: `start` and `stop` return at once, reports are sums over what the loops have published.
A loop that dies stays in the reports with its error, is no longer `running`, and wakes the reconciler.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from reconciler import logfmt
from reconciler.engine import processes
from reconciler.engine.accessed import AccessedTable
from reconciler.engine.bucket import Bucket
from reconciler.engine.claims import Claims
from reconciler.engine.mover import Mover
from reconciler.engine.scheduler import Scheduler
from reconciler.engine.session import Session
from reconciler.engine.site import Doors
from reconciler.engine.surroundings import Surroundings
from reconciler.engine.trackers.idlepage import IdlePage
from reconciler.engine.trackers.referenced import Referenced
from reconciler.engine.trackers.softdirty import SoftDirty
from reconciler.engine.trackers.tracker import Makers
from reconciler.model import EngineSettings, EngineTask, Features
from reconciler.report import EngineReport
from sysfs import kcmp
from sysfs.tree import Tree

TRACKERS: Makers = {"idlepage": IdlePage, "referenced": Referenced, "softdirty": SoftDirty}
_BUDGET_BURST_S = 10.0  # a rest of this long may be spent at once

_log = logging.getLogger("ebbtide.engine")


def _ignore(workload: str, text: str) -> None:
    del workload, text


class Engine:
    def __init__(
        self,
        tree: Tree,
        features: Features,
        settings: EngineSettings,
        wake: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        *,
        output: Callable[[str, str], None] = _ignore,
        cpu_clock: Callable[[], float] = time.thread_time,
        trackers: Makers = TRACKERS,
        doors: Doors | None = None,
        same_memory: Callable[[int, int], bool] = kcmp.same_memory,
        workers: int = 2,
    ) -> None:
        self._wake, self._lock = wake, threading.Lock()
        self._budget = Bucket(*_budget(settings), clock)
        self._paused = False
        self._around = Surroundings(
            tree=tree,
            features=features,
            trackers=trackers,
            budget=self._budget,
            clock=clock,
            cpu_clock=cpu_clock,
            epoch=clock(),
            output=output,
            doors=doors or Doors(tree=tree, page_size=features.page_size),
            claims=Claims(processes.sharing(tree, same_memory)),
            paused=lambda: self._paused,
            hasten=self._hasten,
        )
        self._sessions: dict[str, Session] = {}
        self._dead: dict[str, EngineReport] = {}
        self.scheduler = Scheduler(self._died, clock, workers)

    def start(self, task: EngineTask) -> None:
        """Begin, or begin afresh with another task."""
        self.stop(task.workload)
        if task.tracker not in self._around.trackers:
            error = f"tracker {task.tracker!r} is none of {', '.join(self._around.trackers)}"
            self._dead[task.workload] = EngineReport(tracker=task.tracker, error=error)
            self._wake(f"engine {task.workload}: {error}")
            return
        session = Session(task, self._around)
        with self._lock:
            self._sessions[task.workload] = session
        self.scheduler.add(task.workload, session.run)

    def stop(self, workload: str) -> None:
        with self._lock:
            session = self._sessions.pop(workload, None)
            self._dead.pop(workload, None)
        self.scheduler.remove(workload)
        if session is not None:
            session.stop()

    def running(self) -> dict[str, EngineTask]:
        with self._lock:
            return {workload: session.task for workload, session in self._sessions.items()}

    def mover(self, workload: str) -> Mover | None:
        """Of a running loop: for tasks by hand, and to pause it. It may be used from any thread."""
        with self._lock:
            session = self._sessions.get(workload)
        return session.mover if session is not None else None

    def report(self, workload: str) -> EngineReport | None:
        with self._lock:
            session, dead = self._sessions.get(workload), self._dead.get(workload)
        return session.report() if session is not None else dead

    def accessed(self, workload: str, limits: Sequence[float]) -> AccessedTable:
        """Empty for a workload that has no loop."""
        with self._lock:
            session = self._sessions.get(workload)
        return session.accessed(tuple(limits)) if session is not None else AccessedTable()

    def update(self, features: Features, settings: EngineSettings, *, paused: bool = False) -> None:
        """New loops see the new features; the budget changes for all; while `paused` all track and none moves."""
        self._paused = paused
        self._budget.set_rate(*_budget(settings))
        with self._lock:
            self._around = replace(self._around, features=features)

    def _hasten(self, workload: str) -> None:
        with self._lock:
            session = self._sessions.get(workload)
        if session is not None:
            self.scheduler.add(workload, session.run)

    def close(self) -> None:
        for workload in self.running():
            self.stop(workload)
        self.scheduler.close()

    def _died(self, workload: str, error: BaseException) -> None:
        with self._lock:
            session = self._sessions.pop(workload, None)
            if session is None:
                return
            report = session.report()
            said = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self._dead[workload] = replace(report, error=said)
        session.stop()
        line = logfmt.line("event=tracking-ended", workload=workload, error=said)
        _log.error("%s", line, exc_info=not isinstance(error, OSError))
        self._wake(f"engine {workload}: {said}")


def _budget(settings: EngineSettings) -> tuple[float, float]:
    """CPU seconds a second, and how many may be saved up."""
    rate = settings.cpu_percent / 100
    return rate, rate * _BUDGET_BURST_S
