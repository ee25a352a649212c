"""Compaction: fragmented free memory becomes large blocks again, when nobody waits for memory or storage.

Each period looks at pressure first, then at what is free and in what pieces (reconciler/agent/compact_rules.py). What
it compares with is remembered since the last compaction, and only in memory: a new daemon begins as a new node does.
"""

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler import logfmt
from reconciler.agent import compact_rules, pressure
from reconciler.agent.compact_rules import Amount, Before, Decision
from reconciler.agent.compact_run import Doors, Ending, Limits, Stop, Stopped, Writer, compact
from reconciler.agent.compact_sight import Place, Sight, look, name, places
from reconciler.agentconfig import AgentTask, CompactConfig, PsiConfig
from reconciler.report import CompactPlace, CompactReport
from sysfs.errors import KernelError

FIRST_LOOK_S = 1.0  # after the start: pressure is a growth, so the first period needs two readings
SHORTEST_PERIOD_S = 1.0

_log = logging.getLogger("ebbtide.agent")


class Compact:
    """The part."""

    def __init__(self, doors: Doors, page_size: int) -> None:
        self._doors, self._page_size = doors, page_size
        self._tree, self._clock = doors.tree, doors.clock
        self._task = AgentTask()
        self._ending = False
        self._meter: pressure.Meter | None = None  # None = off
        self._rested = 0.0  # the period counts from here
        self._before: dict[Place, Before] = {}
        self._acted = True  # `_before` is of real compactions
        self._left: Writer | None = None  # killed, and maybe still there
        self._complaint = ""  # what was last logged as wrong
        self._report = CompactReport()

    # -- from other threads --------------------------------------------------------------------------------------------

    def change(self, task: AgentTask) -> None:
        self._task = task
        self._doors.news.set()

    def stop(self) -> None:
        self._ending = True
        self._doors.news.set()

    def report(self) -> CompactReport:
        return self._report

    # -- a period ------------------------------------------------------------------------------------------------------

    def run(self, now: float) -> float:
        task = self._task
        config = _wanted(task)
        if self._ending or config is None:
            self._meter = None
            self._tell(state="off")
            return math.inf
        period = max(config.period_secs, SHORTEST_PERIOD_S)
        meter = self._meter or self._begin(now, task.psi, period)
        if now >= self._rested + period:
            self._period(task, config, meter)
            self._rested = self._clock()
        return self._rested + period

    def _begin(self, now: float, psi: PsiConfig, period: float) -> pressure.Meter:
        self._meter = meter = pressure.Meter(self._tree, self._clock)
        pressure.judge(meter, psi, math.inf)  # the first reading: what is wrong with it, the second will say
        self._rested = now + FIRST_LOOK_S - period
        self._tell(state="waiting")
        return meter

    def _period(self, task: AgentTask, config: CompactConfig, meter: pressure.Meter) -> None:
        self._forget_what_was_not_done(acts=_acts(task))
        self._tell(state="waiting", periods=self._report.periods + 1)
        try:
            if held := self._held(task.psi, config, meter):
                self._hold(config, held)
            else:
                self._decide(config)
        except KernelError as error:
            self._wait_again(tuple(self._before) or (None,))
            self._tell(error=str(error), decision="what is free cannot be read")

    def _forget_what_was_not_done(self, *, acts: bool) -> None:
        if acts != self._acted:
            self._acted = acts
            self._before.clear()

    def _held(self, psi: PsiConfig, config: CompactConfig, meter: pressure.Meter) -> str:
        """Why nothing is compacted in this period, whatever memory looks like."""
        verdict = pressure.judge(meter, psi, config.period_psi_percent_limit)
        self._tell(unread="" if verdict.stop else verdict.reason)
        if verdict.stop:
            return verdict.reason
        if self._left is not None and self._left.ended() is None:
            return "an earlier compaction was killed and has not ended yet"
        self._left = None
        return ""

    def _hold(self, config: CompactConfig, reason: str) -> None:
        self._wait_again(places(self._tree, config)[0])
        self._tell(held=self._report.held + 1, decision=f"held: {reason}")

    def _decide(self, config: CompactConfig) -> None:
        sight = look(self._tree, config)
        self._before = {place: self._before.get(place, Before()) for place in sight.amounts}
        found = {
            place: compact_rules.decide(config, self._before[place], now, self._page_size)
            for place, now in sight.amounts.items()
        }
        self._tell(
            notes=sight.notes,
            error="",
            decision="; ".join(f"{name(place)}: {_outcome(each)}" for place, each in found.items()),
            places=tuple(_shown(place, sight.amounts[place], self._before[place], found[place]) for place in found),
        )
        self._wait_again([place for place, each in found.items() if not each.compact])
        wanted = {place: each for place, each in found.items() if each.compact}
        if self._acted:
            self._compact_all(config, sight, wanted)
        else:
            self._pretend(sight, wanted)

    def _wait_again(self, without: Iterable[Place]) -> None:
        self._before |= {place: self._before.get(place, Before()).again() for place in without}

    def _pretend(self, sight: Sight, wanted: Mapping[Place, Decision]) -> None:
        """As if the compaction had changed nothing, so that one reason is told once."""
        for place in wanted:
            self._before[place] = _after(sight.amounts[place])
        self._tell(would=self._report.would + len(wanted))

    # -- compactions ---------------------------------------------------------------------------------------------------

    def _compact_all(self, config: CompactConfig, sight: Sight, wanted: Mapping[Place, Decision]) -> None:
        """One place after the other; what stops one stops the rest, which count as waiting."""
        begun, over = self._clock(), False
        for place, decision in wanted.items():
            if over:
                self._wait_again([place])
                continue
            over = self._compact(config, place, sight.amounts[place], decision, begun)

    def _compact(self, config: CompactConfig, place: Place, amount: Amount, decision: Decision, begun: float) -> bool:
        """Whether that is enough for this period."""
        self._tell(state="compacting")
        start = self._clock()
        ending = compact(self._doors, place, lambda: self._limits(begun))
        seconds, self._left = self._clock() - start, ending.left
        self._tell(state="waiting", unread=ending.unread or self._report.unread)
        self._count_stop(ending.stopped)
        if not ending.ran:
            self._wait_again([place])
            self._fail(place, ending.error)
            return True
        self._count(ending, decision, seconds)
        self._compare(config, place, amount)
        self._log_end(place, ending, decision, seconds)
        return ending.stopped is not None

    def _limits(self, begun: float) -> Limits | Stopped:
        task = self._task
        config = _wanted(task)
        if self._ending:
            return Stopped(by=Stop.END, reason="we end")
        if config is None or not _acts(task):
            return Stopped(by=Stop.CHANGE, reason="the configuration does not want it any more")
        return Limits(until=begun + config.compact_sec_max, percent=config.compact_psi_percent_limit, psi=task.psi)

    def _fail(self, place: Place, error: str) -> None:
        if error:
            self._tell(failed=self._report.failed + 1, error=error)
        if error and error != self._complaint:
            _log.warning("%s", logfmt.line("event=compaction-failed", place=name(place), error=error))
        self._complaint = error

    def _count_stop(self, stopped: Stopped | None) -> None:
        counts = dict(self._report.stopped)
        if stopped:
            counts[stopped.by.value] = counts.get(stopped.by.value, 0) + 1
        self._tell(stopped=counts, last_stop=f"{stopped.by}: {stopped.reason}" if stopped else "")

    def _count(self, ending: Ending, decision: Decision, seconds: float) -> None:
        self._complaint = ""
        self._tell(
            runs=self._report.runs + 1,
            forced=self._report.forced + decision.forced,
            seconds=self._report.seconds + seconds,
            last_seconds=seconds,
            error=ending.error,
        )

    def _compare(self, config: CompactConfig, place: Place, amount: Amount) -> None:
        """What is free now is what the next periods compare with; if that is unreadable, what was before."""
        try:
            now = look(self._tree, config).amounts.get(place, amount)
        except KernelError as error:
            now = amount
            self._tell(error=f"what is free after the compaction cannot be read: {error}")
        self._before[place] = _after(now)
        self._tell(fragments_before=amount.fragments, fragments_after=now.fragments)

    def _log_end(self, place: Place, ending: Ending, decision: Decision, seconds: float) -> None:
        said = logfmt.line(
            "event=compacted",
            place=name(place),
            seconds=f"{seconds:.1f}",
            fragments_before=self._report.fragments_before,
            fragments_after=self._report.fragments_after,
            reason=decision.reason,
            stopped=self._report.last_stop,
            error=ending.error,
        )
        (_log.warning if ending.error else _log.info)("%s", said)

    def _tell(self, **figures: object) -> None:
        """Others see whole reports only: the last step is one assignment."""
        self._report = replace(self._report, **figures)  # type: ignore[arg-type]  # names are CompactReport's


def _wanted(task: AgentTask) -> CompactConfig | None:
    return None if task.compact is None or task.compact.disabled else task.compact


def _acts(task: AgentTask) -> bool:
    return not task.observe and task.compact is not None and not task.compact.dry_run


def _after(now: Amount) -> Before:
    return Before(free_bytes=now.free_bytes, fragments=now.fragments)


def _outcome(decision: Decision) -> str:
    return f"{'compacts' if decision.compact else 'does not compact'}: {decision.reason}"


def _shown(place: Place, now: Amount, before: Before, decision: Decision) -> CompactPlace:
    return CompactPlace(
        node=place,
        fragments=now.fragments,
        at_least=now.at_least,
        free_bytes=now.free_bytes,
        fragments_before=before.fragments,
        free_bytes_before=before.free_bytes,
        waited=before.waited,
        compact=decision.compact,
        forced=decision.forced,
        reason=decision.reason,
    )
