"""The memcg part: in each period every cgroup is aged, on every node, and what was not used for three gives way.

Kernel documents: Documentation/admin-guide/mm/multigen_lru.rst, and cgroup-v2.rst for memory.reclaim, which serves
where there is no MGLRU. docs/agent-memcg.md has the rules in words.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from reconciler.agent import memcg_known
from reconciler.agent.lru_switch import Switch
from reconciler.agent.memcg_known import Ground, Known, Sight
from reconciler.agent.memcg_pass import Pass
from reconciler.agent.memcg_rules import Timers, period
from reconciler.agent.memcg_sources import NEVER_MS, Generations, Proactive, Source
from reconciler.agent.memcg_terms import Terms
from reconciler.agentconfig import AgentTask
from reconciler.report import LruReport, MemcgCgroup, MemcgReport
from sysfs import cgroup
from sysfs.errors import KernelError, Unsupported
from sysfs.tree import Tree

YOUNGEST_SECS = 60.0  # a generation that is younger was made by somebody else: reclaim and we must not compete
_RETRY_S = 300.0  # after a pass that saw nothing


class Memcg:
    def __init__(
        self,
        tree: Tree,
        mount: str,
        page_size: int,
        clock: Callable[[], float],
        folder: Path,
        boot_id: str,
        youngest_secs: float = YOUNGEST_SECS,
    ) -> None:
        """`folder` remembers MGLRU's switches."""
        self._ground = Ground(tree=tree, mount=mount, page_size=page_size, clock=clock)
        self._switch = Switch(tree, folder, boot_id)
        self._generations = Generations(tree)
        self._proactive = Proactive(tree, mount, page_size, clock)
        self._youngest_secs = youngest_secs
        self._timers, self._sight = Timers(), Sight()
        self._wanted: tuple[AgentTask, Terms | None] = AgentTask(observe=True), None  # nothing was asked of us yet
        self._stopping = False
        self._said = MemcgReport()

    # -- from other threads --------------------------------------------------------------------------------------------

    def change(self, task: AgentTask) -> None:
        own = cgroup.own_path(self._ground.tree)
        self._wanted = task, Terms(task, task.memcg, own) if task.memcg else None

    def stop(self) -> None:
        """The pass under way ends before its next command. MGLRU's switches stay: the next daemon knows of them."""
        self._stopping = True

    def release(self) -> str:
        """While no daemon runs: MGLRU's switches as they were. Why they are not, "" = they are."""
        try:
            self._switch.give_back()
        except OSError as error:
            return f"MGLRU's switches stay on: {error}"
        return ""

    def report(self) -> MemcgReport:
        now, (_, terms), sight = self._ground.clock(), self._wanted, self._sight
        several = groupby(sorted(sight.known.values(), key=lambda each: each.key), key=lambda each: each.lruvec.path)
        cgroups = tuple(self._about(path, tuple(group), terms, now) for path, group in several)
        return replace(self._said, offline=sight.offline, cgroups=cgroups)

    def _about(self, path: str, group: tuple[Known, ...], terms: Terms | None, now: float) -> MemcgCgroup:
        return MemcgCgroup(
            path=path,
            id=group[0].lruvec.memcg,
            ino=group[0].inode,
            left_alone=terms.left_alone(path) if terms else "",
            nodes=tuple(self._figures(each, terms, now) for each in group),
        )

    def _figures(self, known: Known, terms: Terms | None, now: float) -> LruReport:
        profile = terms.profile(*known.key) if terms else None
        due, age = self._timers.of(period(profile)) if profile else math.inf, known.youngest_ms(now)
        return LruReport(
            node=known.lruvec.node,
            max_seq=known.lruvec.youngest,
            min_seq=known.lruvec.oldest.number,
            last_inc_secs=age / 1000 if age < NEVER_MS else None,
            run_aging_count=known.run_aging_count,
            eviction=known.eviction,
            sleep_psi_exceeds_limit=known.sleep_psi_exceeds_limit,
            bytes=known.bytes,
            would_bytes=known.would_bytes,
            reason=known.reason if profile else "left alone",
            next_secs=max(due - now, 0.0) if due < math.inf else None,
        )

    # -- on the worker's thread ----------------------------------------------------------------------------------------

    def run(self, now: float) -> float:
        """A pass, if a period has ended. Errors are said in the report; only those of giving back escape."""
        task, terms = self._wanted
        if self._stopping:
            return math.inf
        if terms is None:
            return self._off(task)
        due = self._timers.due(terms.periods, now)
        if due:
            wait = self._pass(terms, due)
            self._timers.rest(due, self._ground.clock(), wait)
        return self._timers.next()

    def _off(self, task: AgentTask) -> float:
        self._timers, self._sight = Timers(), Sight()
        if not task.observe:
            self._switch.give_back()
        return math.inf

    def _current(self) -> Terms | None:
        return None if self._stopping else self._wanted[1]

    def _pass(self, terms: Terms, due: frozenset[float]) -> float:
        """The longest time until the next one."""
        begun, (source, why) = self._ground.clock(), self._source(terms)
        try:
            if source is None:
                raise Unsupported(None, why, "memcg")
            self._sight = memcg_known.refreshed(self._sight, source.survey(), self._ground)
        except KernelError as error:
            self._sight = Sight()
            self._said = replace(self._said, mechanism="", why=why, error=str(error))
            return _RETRY_S
        one = Pass(self._ground, source, self._current, self._youngest_secs)
        one.run(due, self._sight.known.values())
        self._said = MemcgReport(
            mechanism=source.name,
            why=why,
            passes=self._said.passes + 1,
            seconds=self._ground.clock() - begun,
            agings=self._said.agings + one.agings,
            taken_bytes=self._said.taken_bytes + one.taken_bytes,
            would_take_bytes=self._said.would_take_bytes + one.would_take_bytes,
            cut=self._said.cut + one.cut,
            unread=one.unread,
        )
        return math.inf

    def _source(self, terms: Terms) -> tuple[Source | None, str]:
        """With why it is not MGLRU, "" if it is."""
        why = self._switch.missing(acting=terms.acting)
        if not why:
            return self._generations, ""
        lacking = self._proactive.missing()
        return (None, f"{why}; {lacking}") if lacking else (self._proactive, why)
