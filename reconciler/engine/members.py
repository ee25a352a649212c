"""Whose memory a workload's loop looks at: who is there now, who of them is left alone and why, who was adopted.

One loop owns this; other threads only read the three dictionaries, which are replaced as wholes.
"""

import os
from collections.abc import Callable
from functools import partial

from reconciler import safety
from reconciler.engine import processes, regions
from reconciler.engine.claims import Claims
from reconciler.engine.processes import Process
from reconciler.engine.watchers import catalogue
from reconciler.engine.watchers.watcher import Found
from reconciler.model import EngineTask, ProcessFacts
from sysfs import process
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

_PATIENCE = 3  # looks at a process that fail in a row
_MOST_NOTES = 10  # of a kind: a watcher of all processes meets many that are left alone


class Members:
    def __init__(self, task: EngineTask, tree: Tree, claims: Claims) -> None:
        self._task, self._tree, self._claims = task, tree, claims
        self._watcher = catalogue.make(task, tree)
        self._seen = Found()  # by the last watch
        self.known: dict[int, Process] = {}
        self.refused: dict[int, str] = {}
        self.failed: dict[int, str] = {}
        self._facts: dict[int, ProcessFacts] = {}  # of the last watch
        self._unsure: dict[int, str] = {}  # who could not be looked at in the last watch
        self._failures: dict[int, int] = {}  # in a row
        self._unlisted = ""  # why nobody knows who is there

    def watch(self, begin: Callable[[Process], None], stopped: Callable[[], bool]) -> None:
        """Adopt who is new, forget who is gone or has become somebody else: exec changes names, and who is refused."""
        try:
            self._seen = self._watcher.look()
            found = self._facts = self._found()
            self._unlisted = self._seen.trouble
        except KernelError as error:
            self._unlisted = str(error)
            return
        self._claims.keep(self, {facts.identity for facts in found.values()})
        self.refused = {pid: reason for pid, facts in found.items() if (reason := self._refusal(facts))}
        mine = {pid: facts for pid, facts in found.items() if pid not in self.refused}
        self._claims.keep(self, {facts.identity for facts in mine.values()})
        self.known = {
            pid: each for pid, each in self.known.items() if pid in mine and mine[pid].identity == each.identity
        }
        self.failed = {pid: reason for pid, reason in self.failed.items() if pid in mine} | self._unsure
        self._failures = {pid: count for pid, count in self._failures.items() if pid in mine}
        for pid, facts in mine.items():
            if pid not in self.known and not stopped():
                self.guarded(pid, partial(self._adopt, facts, begin))

    def reset_counters(self) -> None:
        """The columns `accesses` and `writes` count from here on."""
        for each in self.known.values():
            each.regions = regions.reset(each.regions)

    def leave(self) -> None:
        """Give up all claims."""
        self._claims.keep(self, set())

    def guarded(self, pid: int, action: Callable[[], None]) -> None:
        """A process that exits under our hands is normal; one that cannot be looked at is said, the others go on.

        Too many open files, a signal: most errors pass, and what is known of a process is worth waiting for.
        """
        try:
            action()
        except Gone:
            self._forget(pid)
        except KernelError as error:
            self.failed = {**self.failed, pid: str(error)}
            self._failures[pid] = self._failures.get(pid, 0) + 1
            if self._failures[pid] >= _PATIENCE:
                self._forget(pid)
        else:
            self.failed = {other: reason for other, reason in self.failed.items() if other != pid}
            self._failures.pop(pid, None)

    def _forget(self, pid: int) -> None:
        self.known = {other: each for other, each in self.known.items() if other != pid}

    def directories(self) -> tuple[str, ...]:
        """The cgroups that are watched as wholes, absolute inside the tree; none if processes are."""
        return self._watcher.directories

    def follow(self) -> tuple[str, ...]:
        """Directories that say when it is worth to watch again before the time."""
        return self._seen.follow

    def trouble(self) -> str:
        """Why nobody at all can be looked at, or nobody new."""
        if self._unlisted:
            return self._unlisted
        return "" if self.known else next(iter(dict(self.failed).values()), "")

    def notes(self) -> list[str]:
        refused = [f"process {pid} is left alone: {reason}" for pid, reason in sorted(self.refused.items())]
        failed = [f"process {pid} cannot be looked at: {reason}" for pid, reason in sorted(self.failed.items())]
        return _few(list(self._seen.notes)) + _few(refused) + _few(failed)

    def _found(self) -> dict[int, ProcessFacts]:
        """All processes that are there now; of those that just cannot be looked at, what was known."""
        found, self._unsure = {}, {}
        for pid in sorted(self._seen.pids):
            try:
                found[pid] = process.facts(self._tree, pid)
            except Gone:
                continue
            except KernelError as error:
                self._unsure[pid] = str(error)
                if pid in self._facts:
                    found[pid] = self._facts[pid]
        return found

    def _refusal(self, facts: ProcessFacts) -> str:
        """Naming a process lifts the list of who is never managed, but nobody pages out himself."""
        own = facts.pid == os.getpid()
        if (own or facts.pid not in self._seen.named) and (reason := safety.refusal(facts, {os.getpid()})):
            return reason
        return self._claims.take(self, self._task.workload, facts.identity)

    def _adopt(self, facts: ProcessFacts, begin: Callable[[Process], None]) -> None:
        known = processes.adopt(facts.identity)
        begin(known)
        self.known = {**self.known, facts.pid: known}


def _few(notes: list[str]) -> list[str]:
    if len(notes) <= _MOST_NOTES:
        return notes
    return [*notes[:_MOST_NOTES], f"... and {len(notes) - _MOST_NOTES} more like the last"]
