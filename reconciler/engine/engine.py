"""The engine: loops that track memory and page out what is idle, one a workload, started and stopped by `execute`.

Nothing here waits for a scan: `start` and `stop` return at once, reports are sums over what the loops have published.
A loop that dies stays in the reports with its error, is no longer `running`, and wakes the reconciler.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from reconciler import logfmt
from reconciler.engine import claims, processes, stats
from reconciler.engine.accessed import AccessedTable
from reconciler.engine.bells import Bells
from reconciler.engine.bucket import Bucket
from reconciler.engine.claims import Claims
from reconciler.engine.console import Answers, Asked, Console
from reconciler.engine.errands import Errands
from reconciler.engine.figures import Books, Figures
from reconciler.engine.kdamonds import Kdamonds
from reconciler.engine.node import NODE, NodeRoutines
from reconciler.engine.scheduler import Scheduler
from reconciler.engine.session import Session
from reconciler.engine.site import Doors
from reconciler.engine.surroundings import Surroundings
from reconciler.engine.trackers.damon import Damon
from reconciler.engine.trackers.finder import Finder
from reconciler.engine.trackers.idlepage import IdlePage
from reconciler.engine.trackers.mglru import Mglru
from reconciler.engine.trackers.multi import Multi
from reconciler.engine.trackers.referenced import Referenced
from reconciler.engine.trackers.softdirty import SoftDirty
from reconciler.engine.trackers.stub import Stub
from reconciler.engine.trackers.tracker import Makers
from reconciler.engineconfig import RoutineConfig
from reconciler.model import EngineSettings, EngineTask, Features
from reconciler.report import EngineReport
from sysfs import kcmp
from sysfs.tree import Tree

TRACKERS: Makers = {
    "damon": Damon,
    "finder": Finder,
    "idlepage": IdlePage,
    "mglru": Mglru,
    "multi": Multi,
    "referenced": Referenced,
    "softdirty": SoftDirty,
    "stub": Stub,
}
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
        console: Callable[[Asked], Console] = Answers,
        errands: Errands | None = None,
        bells: Bells | None = None,
        kdamonds: Kdamonds | None = None,
        foreign: Callable[[int], str] = claims.not_taken,
        workers: int = 2,
    ) -> None:
        self._wake, self._lock = wake, threading.Lock()
        self._budget = Bucket(*_budget(settings), clock)
        self._paused = False
        self._sessions: dict[str, Session] = {}
        self._dead: dict[str, EngineReport] = {}
        self.scheduler = Scheduler(self._died, clock, workers)
        self._kdamonds = kdamonds or Kdamonds(tree, clock=clock)
        self._around = Surroundings(
            tree=tree,
            features=features,
            trackers=trackers,
            budget=self._budget,
            clock=clock,
            cpu_clock=cpu_clock,
            epoch=clock(),
            output=_one_at_a_time(output),
            doors=doors or Doors(tree=tree, page_size=features.page_size),
            claims=Claims(processes.sharing(tree, same_memory), foreign),
            bells=bells or Bells(tree),
            hurry=self.scheduler.hurry,
            console=console,
            errands=errands or Errands(),
            kdamonds=self._kdamonds,
            paused=lambda: self._paused,
        )
        self._retired = 0  # bytes that loops which are no more had paged out
        around = self._around
        self._node = NodeRoutines(console(self), self.paged_out, partial(around.output, NODE), around.errands, clock)

    def start(self, task: EngineTask) -> None:
        """Begin, or begin afresh with another task; the picture of the past goes on."""
        before = self.session(task.workload)
        self.stop(task.workload)
        if task.tracker not in self._around.trackers:
            error = f"tracker {task.tracker!r} is none of {', '.join(self._around.trackers)}"
            self._dead[task.workload] = EngineReport(tracker=task.tracker, error=error)
            self._wake(f"engine {task.workload}: {error}")
            return
        session = Session(task, self._around, before.heat if before else None)
        with self._lock:
            self._sessions[task.workload] = session
            waiting = sum(each.task.waits() for each in self._sessions.values())
        self.scheduler.widen(waiting)
        self.scheduler.add(task.workload, session.run)

    def stop(self, workload: str) -> None:
        with self._lock:
            session = self._sessions.pop(workload, None)
            self._dead.pop(workload, None)
        self.scheduler.remove(workload)
        if session is not None:
            session.stop()
            self._retire(session)

    def running(self) -> dict[str, EngineTask]:
        with self._lock:
            return {workload: session.task for workload, session in self._sessions.items()}

    def report(self, workload: str) -> EngineReport | None:
        with self._lock:
            session, dead = self._sessions.get(workload), self._dead.get(workload)
        return session.report() if session is not None else dead

    def session(self, workload: str) -> Session | None:
        with self._lock:
            return self._sessions.get(workload)

    def held(self) -> dict[int, str]:
        """Whose each process is, by process id, among the loops of this engine."""
        return self._around.claims.held()

    def accessed(self, workload: str, limits: Sequence[float]) -> AccessedTable:
        """Empty for a workload that has no loop."""
        with self._lock:
            session = self._sessions.get(workload)
        return session.accessed(tuple(limits)) if session is not None else AccessedTable()

    def heat(self, workload: str, wall: float) -> dict[str, Any]:
        """What was used when, as HeatHistory.document has it; empty for a workload that has no loop."""
        session = self.session(workload)
        return session.heat.document(self._around.clock(), wall) if session is not None else {}

    def statistics(self, workload: str) -> dict[str, Any]:
        """The prompt's `stats`, of one workload or ("") of all, as text and as figures."""
        chosen = [session for name, session in self._all() if workload in ("", name)]
        if workload and not chosen:
            raise LookupError(f"nothing tracks {workload}: its class has no memtierdconfig, or its loop has ended")
        now = self._around.clock()
        return stats.document(Books([session.book for session in chosen]), self.page_size, now)

    def update(
        self,
        features: Features,
        settings: EngineSettings,
        *,
        paused: bool = False,
        routines: tuple[RoutineConfig, ...] = (),
    ) -> None:
        """New loops see the new features; the budget changes for all; while `paused` all track and none moves.

        `routines` are the node's; they go on if they are the same as before.
        """
        self._paused = paused
        self._budget.set_rate(*_budget(settings))
        with self._lock:
            self._around = replace(self._around, features=features)
        if self._node.change(routines):
            self.scheduler.remove(NODE)
            if routines:
                self.scheduler.add(NODE, self._node.run)

    def close(self) -> None:
        for workload in self.running():
            self.stop(workload)
        self._node.stop()
        self._around.bells.close()
        self.scheduler.close()
        self._kdamonds.close()

    # -- of all loops together: what the node's routines ask about -----------------------------------------------------

    @property
    def page_size(self) -> int:
        return self._around.features.page_size

    def paged_out(self) -> int:
        """Bytes that all loops, also those that have ended, were seen to page out."""
        with self._lock:
            return self._retired + sum(session.paged_out() for session in self._sessions.values())

    def figures(self) -> dict[int, Figures]:
        return {pid: each for _, session in self._all() for pid, each in session.figures().items()}

    def stats(self, words: tuple[str, ...]) -> str:
        """The answer to the prompt's `stats WORDS`, of every workload."""
        books = Books([session.book for _, session in self._all()])
        return stats.answer(words, books, self.page_size, self._around.clock())

    workload = ""  # the answers are about all

    def dump_policy(self, words: tuple[str, ...]) -> str:
        return "\n".join(f"workload: {workload}\n{session.dump_policy(words)}" for workload, session in self._all())

    def node_notes(self) -> tuple[str, ...]:
        """What is wrong with the node's routines."""
        return self._node.notes()

    def _all(self) -> list[tuple[str, Session]]:
        with self._lock:
            return sorted(self._sessions.items())

    def _retire(self, session: Session) -> None:
        with self._lock:
            self._retired += session.paged_out()

    def _died(self, workload: str, error: BaseException) -> None:
        with self._lock:
            session = self._sessions.pop(workload, None)
            if session is None:
                _log_lost(workload, error)
                return
            report = session.report()
            said = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            self._dead[workload] = replace(report, error=said)
        session.stop()
        self._retire(session)
        line = logfmt.line("event=tracking-ended", workload=workload, error=said)
        _log.error("%s", line, exc_info=not isinstance(error, OSError))
        self._wake(f"engine {workload}: {said}")


def _log_lost(workload: str, error: BaseException) -> None:
    """The node's routines are no workload, and nobody has asked for a loop that is just being stopped."""
    if workload == NODE:
        _log.error("event=node-routines-ended", exc_info=error)


def _one_at_a_time(output: Callable[[str, str], None]) -> Callable[[str, str], None]:
    """Routines run in threads of their own, and files of output are read, shortened and written."""
    lock = threading.Lock()

    def locked(workload: str, text: str) -> None:
        with lock:
            output(workload, text)

    return locked


def _budget(settings: EngineSettings) -> tuple[float, float]:
    """CPU seconds a second, and how many may be saved up."""
    rate = settings.cpu_percent / 100
    return rate, rate * _BUDGET_BURST_S
