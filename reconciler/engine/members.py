"""Whose memory a workload's loop looks at: who is there now, who of them is left alone and why, who was adopted.

One loop owns this; other threads only read the three dictionaries, which are replaced as wholes.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from reconciler import safety
from reconciler.engine import processes
from reconciler.engine.claims import Claims
from reconciler.engine.processes import Process
from reconciler.model import CGROUP_PLACEHOLDER, EngineTask, ProcessFacts
from sysfs import cgroup, process
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree


class Members:
    def __init__(self, task: EngineTask, tree: Tree, claims: Claims) -> None:
        self._task, self._tree, self._claims = task, tree, claims
        self.known: dict[int, Process] = {}
        self.refused: dict[int, str] = {}
        self.failed: dict[int, str] = {}

    def watch(self, begin: Callable[[Process], None], stopped: Callable[[], bool]) -> None:
        """Adopt who is new, forget who is gone or has become somebody else: exec changes names, and who is refused."""
        found = self._found()
        self._claims.keep(self, {facts.identity for facts in found.values()})
        self.refused = {pid: reason for pid, facts in found.items() if (reason := self._refusal(facts))}
        mine = {pid: facts for pid, facts in found.items() if pid not in self.refused}
        self._claims.keep(self, {facts.identity for facts in mine.values()})
        self.known = {
            pid: each for pid, each in self.known.items() if pid in mine and mine[pid].identity == each.identity
        }
        self.failed = {}
        for pid, facts in mine.items():
            if pid not in self.known and not stopped():
                self.guarded(pid, partial(self._adopt, facts, begin))

    def leave(self) -> None:
        """Give up all claims."""
        self._claims.keep(self, set())

    def guarded(self, pid: int, action: Callable[[], None]) -> None:
        """A process that exits under our hands is normal; one that cannot be looked at is said, the others go on."""
        try:
            action()
        except Gone:
            self.known = {other: each for other, each in self.known.items() if other != pid}
        except KernelError as error:
            self.known = {other: each for other, each in self.known.items() if other != pid}
            self.failed[pid] = str(error)

    def directories(self) -> tuple[str, ...]:
        if self._task.cgroups or self._task.pids:
            return self._task.cgroups
        return tuple(path for path in self._task.config.watcher.cgroups if CGROUP_PLACEHOLDER not in path)

    def trouble(self) -> str:
        """Why nobody at all can be looked at."""
        return "" if self.known else next(iter(dict(self.failed).values()), "")

    def notes(self) -> list[str]:
        notes = [f"process {pid} is left alone: {reason}" for pid, reason in sorted(self.refused.items())]
        return notes + [f"process {pid} cannot be looked at: {reason}" for pid, reason in sorted(self.failed.items())]

    def _found(self) -> dict[int, ProcessFacts]:
        """All processes that are there now."""
        found = {}
        for pid in self._pids():
            with suppress(KernelError):
                found[pid] = process.facts(self._tree, pid)
        return found

    def _pids(self) -> list[int]:
        watcher = self._task.config.watcher
        pids = {*self._task.pids, *(watcher.pids if watcher.name == "pidlist" else ())}
        for directory in self.directories():
            with suppress(Gone):
                pids.update(cgroup.processes(self._tree, directory))
        return sorted(pids)

    def _refusal(self, facts: ProcessFacts) -> str:
        """Naming a process lifts the list of who is never managed, but nobody pages out himself."""
        own = facts.pid == os.getpid()
        if (own or not self._task.named) and (reason := safety.refusal(facts, {os.getpid()})):
            return reason
        return self._claims.take(self, self._task.workload, facts.identity)

    def _adopt(self, facts: ProcessFacts, begin: Callable[[Process], None]) -> None:
        known = processes.adopt(self._tree, facts.identity)
        begin(known)
        self.known = {**self.known, facts.pid: known}
