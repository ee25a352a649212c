"""Pressure-driven reclaim: each workload whose class has `reclaim:` is probed for memory that it does not need.

All probes run on one thread, each at its own interval. Memory is taken with memory.reclaim alone, so nothing stays
behind in the kernel, however we end. What is seen is kept as a history, for `what-if` and `right-size`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from reconciler.agent import coldness
from reconciler.agent.reclaim_gauges import Accessed, Ages, SwapGauge
from reconciler.agent.reclaim_history import Store
from reconciler.agent.reclaim_probe import Probe, World
from reconciler.agent.reclaim_signals import Terms
from reconciler.agentconfig import AgentTask, ReclaimTask
from reconciler.model import BrakeLimits
from reconciler.report import ReclaimReport
from sysfs.tree import Tree

ROW_S = 60.0  # between rows of a history
SAVE_S = 600.0  # between its versions on disk
SHARE = 0.5  # of an interval in which all steps together should be done
SHORTEST_S = 0.2  # for one step


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What reclaim needs of the world."""

    tree: Tree
    mount: str  # of cgroup v2
    page_size: int
    clock: Callable[[], float]  # monotonic seconds
    wall: Callable[[], float]  # seconds since 1970
    brakes: Callable[[], BrakeLimits] = BrakeLimits  # the node's, as they are now
    accessed: Accessed | None = None  # what a tracker knows of a workload's ages
    state_dir: str | Path | None = None  # None = histories are not kept


class Reclaim:
    """A `Part`."""

    def __init__(self, means: Means) -> None:
        tree, page_size = means.tree, means.page_size
        self._means = means
        self._world = World(
            tree=tree,
            mount=means.mount,
            page_size=page_size,
            clock=means.clock,
            wall=means.wall,
            node=SwapGauge(tree, page_size),
            ages=Ages(tree, page_size, means.clock, means.accessed),
        )
        self._store = Store(means.state_dir)
        self._store.prune()
        self._lock = Lock()
        self._task, self._stopping = AgentTask(), False
        self._probes: dict[str, Probe] = {}
        self._row_due = 0.0
        self._saved: dict[str, float] = {}  # when, on our clock

    def change(self, task: AgentTask) -> None:
        with self._lock:
            self._task = task if task != self._task else self._task

    def stop(self) -> None:
        self._stopping = True
        self._save()

    def report(self) -> ReclaimReport:
        with self._lock:
            probes = [*self._probes.values()]
        return ReclaimReport(workloads=tuple(probe.report for probe in probes))

    def history(self, workload: str) -> dict[str, Any]:
        """What `what-if` and `right-size` read; LookupError for a workload that is not probed."""
        with self._lock:
            probe = self._probes.get(workload)
        if probe is None:
            raise LookupError(f"no history of {workload}: its class has no `reclaim:`")
        return {
            "workload": workload,
            "name": probe.task.name,
            "slo": str(probe.task.config.slo),
            "target_percent": probe.task.config.target_percent,
            "ages_from": probe.report.ages_from,
            "columns": coldness.document(probe.history),
        }

    def run(self, now: float) -> float:
        task = self._task
        self._settle(task, now)
        for probe in sorted(self._probes.values(), key=lambda probe: probe.due):
            if self._ends(task):
                break
            if probe.due <= self._means.clock():
                self._probe(task, probe)
        if not self._ends(task):
            self._remember(task)
        if self._stopping or not self._probes:
            return float("inf")
        return now if self._task is not task else min(self._row_due, *(probe.due for probe in self._probes.values()))

    def _ends(self, task: AgentTask) -> bool:
        return self._stopping or self._task is not task

    def _probe(self, task: AgentTask, probe: Probe) -> None:
        wanted = probe.task
        terms = Terms(memory_limit=wanted.memory_limit, brakes=self._means.brakes(), psi_required=task.psi.required)
        patience = max(SHARE * wanted.config.interval_secs / len(self._probes), SHORTEST_S)
        probe.run(task, terms, self._means.clock() + patience, lambda: self._ends(task))

    def _settle(self, task: AgentTask, now: float) -> None:
        """Probes for what is wanted, and no others; a history that is not continued is saved."""
        wanted = {each.workload: each for each in task.reclaims}
        for workload in [each for each in self._probes if each not in wanted]:
            with self._lock:
                probe = self._probes.pop(workload)
            self._saved.pop(workload, None)
            self._store.save(workload, probe.history)
        for workload, each in wanted.items():
            self._adopt(workload, each, now)

    def _adopt(self, workload: str, wanted: ReclaimTask, now: float) -> None:
        known = self._probes.get(workload)
        if known is None:
            probe = Probe(self._world, wanted, self._store.load(workload), now)
            with self._lock:
                self._probes[workload] = probe
        elif known.task != wanted:
            known.adopt(wanted)

    def _remember(self, task: AgentTask) -> None:
        now = self._means.clock()
        if now >= self._row_due and self._probes:
            self._row_due = now + ROW_S
            self._world.ages.refresh()
            for probe in self._probes.values():
                probe.remember(task)
        due = [each for each in self._probes if now >= self._saved.setdefault(each, now) + SAVE_S]
        for workload in due[:1]:  # one at a time: packing takes the processor
            self._saved[workload] = now
            self._store.save(workload, self._probes[workload].history)

    def _save(self) -> None:
        with self._lock:
            probes = [*self._probes.items()]
        for workload, probe in probes:
            self._store.save(workload, probe.history)
