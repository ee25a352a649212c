"""One workload under `reclaim:`: looks, asks the law, takes a little, and counts what that brought."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reconciler.agent import coldness, reclaim_law
from reconciler.agent.coldness import Amounts, Rows
from reconciler.agent.reclaim_gauges import Ages, Gauge, Reading, SwapGauge
from reconciler.agent.reclaim_law import Decision, Memory, State
from reconciler.agent.reclaim_reach import Step
from reconciler.agent.reclaim_signals import Signals, Terms
from reconciler.agentconfig import AgentTask, PsiConfig, ReclaimTask, Slo
from reconciler.report import ReclaimedReport
from sysfs import reclaim
from sysfs.errors import Gone, KernelError, Rejected, Unsupported
from sysfs.reclaim import Sample
from sysfs.tree import Tree

log = logging.getLogger("ebbtide.reclaim")

BITE = 8 << 20  # bytes asked for at once: between two the world may have changed, and a slow disk is waited for
AGAIN_S = 30.0  # before a cgroup that is gone, or cannot be read, is looked for again
_LATELY = 10  # rows that say at what age memory is used again
_COLD = coldness.EDGES.index(coldness.COLD_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What all probes share."""

    tree: Tree
    mount: str
    page_size: int
    clock: Callable[[], float]  # monotonic seconds
    wall: Callable[[], float]  # seconds since 1970
    node: SwapGauge
    ages: Ages


@dataclass(slots=True, kw_only=True)
class Minute:
    """Sums since the last row of the history."""

    began: float
    refaulted: int = 0
    memory: float = 0.0  # percent times seconds
    io: float = 0.0


class Probe:
    def __init__(self, world: World, task: ReclaimTask, history: Rows, now: float) -> None:
        self.world, self.task, self.history = world, task, history
        self.due = now
        self.report = ReclaimedReport(workload=task.workload, name=task.name, cgroup=task.cgroup, state=State.WAITING)
        self._gauge: Gauge | None = None
        self._memory = Memory()
        self._would = 0  # bytes that observing would have taken
        self._minute = Minute(began=now)
        self._amounts: Amounts | None = None
        self._spare: int | None = None  # bytes that are so old that too little of it is used to matter
        self._stolen = 0  # at the last row
        self._reading: Reading | None = None

    @property
    def directory(self) -> str:
        return self.world.mount + self.task.cgroup

    def adopt(self, task: ReclaimTask) -> None:
        """Other settings: what was learned under the old ones is not known to hold."""
        if task.config != self.task.config:
            self._memory, self._would = Memory(), 0
        if task.cgroup != self.task.cgroup:
            self._gauge = None
        self.task = task
        self.report = replace(self.report, name=task.name, cgroup=task.cgroup)

    # -- one interval ----------------------------------------------------------------------------------------------

    def run(self, whole: AgentTask, terms: Terms, deadline: float, ends: Callable[[], bool]) -> None:
        """`ends`: whether a step is to end now, because the task changed or we stop; `deadline`: when it has to."""
        now = self.world.clock()
        self.due = now + self.task.config.interval_secs
        before = self.report
        try:
            self._interval(whole, terms, deadline, ends)
        except Gone:
            self._lose(now, "gone", "the cgroup is gone")
        except (KernelError, ValueError) as error:
            self._lose(now, State.WAITING, str(error), error=str(error))
        if before.state != self.report.state:
            log.info(
                "event=reclaim workload=%s state=%r reason=%r", self.task.name, self.report.state, self.report.reason
            )

    def _lose(self, now: float, state: str, reason: str, error: str = "") -> None:
        self._gauge, self._reading, self._memory = None, None, Memory()
        self.due = now + max(AGAIN_S, self.task.config.interval_secs)
        self.report = replace(self.report, state=state, reason=reason, error=error)

    def _interval(self, whole: AgentTask, terms: Terms, deadline: float, ends: Callable[[], bool]) -> None:
        observe, why = whole.observe or self.task.observe, _kept(whole, self.task.cgroup)
        reading = self._look(whole.psi, observe=observe, asking=not (observe or why))
        if why and not observe:
            self._tell(reading, Decision(state=State.WAITING, reason=why, memory=Memory()))
            return
        now = self.world.clock()
        decision = reclaim_law.decide(self.task.config, terms, self._memory, self._seen(reading.signals), now)
        self._memory = decision.memory
        self._tell(reading, decision)
        if decision.step is not None and observe:
            self._imagine(decision.step, reading)
        elif decision.step is not None:
            self._take(decision.step, reading.sample, deadline, ends)

    def _look(self, psi: PsiConfig, *, observe: bool, asking: bool) -> Reading:
        if not self.world.mount:
            raise Unsupported(None, "cgroup v2 is not mounted with a memory controller", self.task.cgroup)
        if self._gauge is None:
            self._gauge = Gauge(self.world.tree, self.directory, self.world.page_size, self.world.clock)
        self._would = self._would if observe else 0
        self._reading = reading = self._gauge.read(psi, self.world.node, asking=asking)
        signals = reading.signals
        self._minute.refaulted += signals.refaulted
        self._minute.memory += signals.memory_percent * signals.seconds
        self._minute.io += signals.io_percent * signals.seconds
        return reading

    def _seen(self, signals: Signals) -> Signals:
        """With what the histograms know; observing, as if what would have been taken were gone."""
        cold = int(coldness.cold(self._amounts)[_COLD])
        lately = signals.usage - cold if cold != coldness.UNKNOWN else 0
        return replace(signals, usage=signals.usage - self._would, spare=self._spare, working_set=max(lately, 0))

    def _imagine(self, step: Step, reading: Reading) -> None:
        """Nothing answers to what is not done: it ends where all that is known to be cold would be gone."""
        found = int(coldness.cold(self._amounts)[_COLD])
        known = found != coldness.UNKNOWN
        cold = found if known else reading.signals.usage
        if self._would + step.size <= cold:
            self._would += step.size
            usage, now = reading.signals.usage - self._would, self.world.clock()
            self._memory = reclaim_law.stepped(self.task.config, self._memory, step, usage, step.size, now)
        what = "what was not used for two minutes" if known else "all above the floor, for ages are not known"
        why = f"only observes, and would take {what}: {self.report.reason}"
        self.report = replace(self.report, would_take_bytes=self._would, reason=why)

    # -- taking ----------------------------------------------------------------------------------------------------

    def _take(self, step: Step, before: Sample, deadline: float, ends: Callable[[], bool]) -> None:
        assert self._gauge is not None
        asked = self._bites(step, deadline, ends)
        after = self._gauge.sample()
        taken = max(before.usage - after.usage, 0)
        self._gauge.taken += taken
        self._spare = max(self._spare - taken, 0) if self._spare is not None else None
        self._count(asked, taken, before, after)
        done = replace(step, size=max(asked, 1))
        now = self.world.clock()
        self._memory = reclaim_law.stepped(self.task.config, self._memory, done, after.usage, taken, now)

    def _bites(self, step: Step, deadline: float, ends: Callable[[], bool]) -> int:
        """What was asked for; it ends early where the kernel has no more."""
        asked = 0
        while asked < step.size and not ends() and (asked == 0 or self.world.clock() < deadline):
            size = min(BITE, step.size - asked)
            asked += size
            try:
                whole = reclaim.take(self.world.tree, self.directory, size, step.swappiness)
            except Rejected:
                if step.swappiness is None or self._gauge is None:
                    raise
                self._gauge.forget_swappiness()
                break
            if not whole:
                break
        return asked

    def _count(self, asked: int, taken: int, before: Sample, after: Sample) -> None:
        report = self.report
        self.report = replace(
            report,
            usage_bytes=after.usage,
            last_step_bytes=asked,
            steps=report.steps + 1,
            taken_bytes=report.taken_bytes + taken,
            taken_anon_bytes=report.taken_anon_bytes + max(before.anon - after.anon, 0),
            taken_file_bytes=report.taken_file_bytes + max(before.file - after.file, 0),
        )

    def _tell(self, reading: Reading, decision: Decision) -> None:
        self.report = replace(
            self.report,
            state=str(decision.state),
            reason=decision.reason,
            usage_bytes=reading.sample.usage,
            floor_bytes=decision.floor,
            footprint_bytes=decision.memory.footprint,
            refaulted_bytes=self.report.refaulted_bytes + reading.signals.refaulted,
            memory_percent=round(reading.percent.memory, 4),
            io_percent=round(reading.percent.io, 4),
            error="",
        )

    # -- the history -----------------------------------------------------------------------------------------------

    def remember(self, whole: AgentTask) -> None:
        """Another row, of the minute since the last one."""
        if self._reading is None:
            return
        observe = whole.observe or self.task.observe or bool(_kept(whole, self.task.cgroup))
        now, reading = self.world.clock(), self._reading
        seconds = now - self._minute.began
        evicted = max(reading.sample.stolen - self._stolen, 0)
        amounts, source = self._ages(seconds, evicted, observe=observe)
        promoted = coldness.promoted(self._amounts, amounts, seconds, evicted)
        self._amounts, self._stolen = amounts, reading.sample.stolen
        self.report = replace(self.report, ages_from=source)
        if seconds >= 1:
            self.history = coldness.appended(self.history, self._row(reading, seconds, promoted))
            self._spare = coldness.spare(self.history[-_LATELY:], self.task.config.target_percent)
        self._minute = Minute(began=now)

    def _ages(self, seconds: float, evicted: int, *, observe: bool) -> tuple[Amounts | None, str]:
        if self.task.config.slo is Slo.PROMOTION and not observe:
            self.world.ages.age(self.task.cgroup, seconds / 2)
        return self.world.ages.of(self.task.workload, self.task.cgroup, seconds, evicted)

    def _row(self, reading: Reading, seconds: float, promoted: NDArray[np.int64]) -> Rows:
        sample, length = reading.sample, max(seconds, 1e-9)
        swaps = reading.signals.brake.swap_total_bytes > 0 and reading.signals.brake.swap_limit_bytes != 0
        footprint = self._memory.footprint
        return coldness.row(
            when=self.world.wall(),
            seconds=seconds,
            usage=sample.usage,
            fixed=max(sample.usage - sample.file - (sample.anon if swaps else 0), 0),
            swap=sample.swap,
            footprint=coldness.UNKNOWN if footprint is None else footprint,
            at_footprint=self.report.state == State.HOLDING,  # at a floor less might do
            refaulted=self._minute.refaulted,
            memory_percent=self._minute.memory / length,
            io_percent=self._minute.io / length,
            cold=coldness.cold(self._amounts),
            promoted=promoted,
        )


def _kept(whole: AgentTask, cgroup: str) -> str:
    """Why nothing is taken: the cgroup is kept, lies in one that is, or has one below that would pay as well."""
    for each in whole.kept:
        if _within(cgroup, each.cgroup) or _within(each.cgroup, cgroup):
            return f"nothing is taken from {each.cgroup}: {each.reason}"
    return ""


def _within(path: str, top: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")
