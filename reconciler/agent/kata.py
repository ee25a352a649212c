"""A class's `memagent:` for pods of a Kata runtime: told to the agent in each pod's virtual machine, and told again.

What an agent was told is gone when its sandbox restarts, and there is no way to ask what it knows. So what was told to
which socket (by inode and change time) is remembered, looked at every half minute, and told again when either differs.
An agent that does not answer costs a few seconds of this thread, ever more rarely. Nothing waits for it.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.message import Message

from reconciler import backoff
from reconciler.agent import kata_agent, kata_rules
from reconciler.agent.kata_agent import Refused, Unreachable
from reconciler.agent.kata_rules import Address
from reconciler.agentconfig import AgentTask, KataTask, MemagentConfig
from reconciler.report import KataReport, KataSandbox

LOOK_SECONDS = 30.0  # between looks at a sandbox that was told everything
CALL_SECONDS = 5.0
_NEVER = float("inf")

Call = Callable[[Address, str, Message, float, str], None]
Place = tuple[int, int]  # inode and change time of a socket


@dataclass(slots=True)
class _Sandbox:
    task: KataTask
    due: float = float("-inf")
    told: tuple[Place, MemagentConfig] | None = None
    report: KataSandbox = field(init=False)

    def __post_init__(self) -> None:
        self.report = KataSandbox(sandbox=self.task.sandbox, name=self.task.name)

    def say(self, state: str, reason: str, **more: int | str) -> None:
        before = self.report
        values: dict[str, int | str] = {
            "address": before.address,
            "attempts": before.attempts,
            "deliveries": before.deliveries,
        }
        said = "; ".join(filter(None, [reason, self.task.note]))
        self.report = KataSandbox(
            sandbox=self.task.sandbox,
            name=self.task.name,
            state=state,
            reason=said,
            **{**values, **more},  # type: ignore[arg-type] # each name has its own type
        )


class Kata:
    """`root`: of the host's file system, "" or a folder."""

    def __init__(self, root: str = "", call: Call = kata_agent.call, seconds: float = CALL_SECONDS) -> None:
        self._root, self._call, self._seconds = root, call, seconds
        self._sandboxes: dict[str, _Sandbox] = {}
        self._observe = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def change(self, task: AgentTask) -> None:
        with self._lock:
            known, self._sandboxes = self._sandboxes, {}
            for wanted in task.katas:
                one = known.get(wanted.sandbox) or _Sandbox(wanted)
                if one.task != wanted or self._observe != task.observe:
                    one.task, one.due = wanted, float("-inf")
                self._sandboxes[wanted.sandbox] = one
            self._observe = task.observe

    def run(self, now: float) -> float:
        """Look at each sandbox that is due; when the next one is."""
        for one in self._due(now):
            if self._stopped.is_set():
                return _NEVER
            self._visit(one, now)
        with self._lock:
            return min((one.due for one in self._sandboxes.values()), default=_NEVER)

    def report(self) -> KataReport:
        with self._lock:
            found = tuple(one.report for one in self._sandboxes.values())
        return KataReport(
            delivered=sum(one.state == "delivered" for one in found),
            failing=sum(one.state in {"refused", "unreachable"} for one in found),
            sandboxes=found,
        )

    def stop(self) -> None:
        self._stopped.set()

    def _due(self, now: float) -> list[_Sandbox]:
        with self._lock:
            return sorted((one for one in self._sandboxes.values() if one.due <= now), key=lambda one: one.due)

    def _visit(self, one: _Sandbox, now: float) -> None:
        task = one.task
        one.due = now + LOOK_SECONDS  # if it changes meanwhile, that is overwritten, and it is due again
        try:
            self._deliver(one, task)
        except Refused as refused:
            self._failed(one, now, "refused", f"the agent answers: {refused}")
        except Unreachable as error:
            self._failed(one, now, "unreachable", str(error))

    def _deliver(self, one: _Sandbox, task: KataTask) -> None:
        address, place = self._find(task.sandbox)
        if one.told == (place, task.config):
            return
        if self._observe:
            one.say("observed", f"would be told {_words(task.config)}", address=str(address))
            return
        for method, asked in kata_rules.requests(task.config):
            self._call(address, method, asked, self._seconds, self._root)
        one.told = (place, task.config)
        one.say("delivered", "", address=str(address), attempts=0, deliveries=one.report.deliveries + 1)

    def _failed(self, one: _Sandbox, now: float, state: str, reason: str) -> None:
        one.told = None
        attempts = one.report.attempts + 1
        one.say(state, reason, attempts=attempts)
        if one.due == now + LOOK_SECONDS:
            one.due = now + min(backoff.FIRST_SECONDS * 2.0 ** min(attempts - 1, 20), backoff.LONGEST_SECONDS)

    def _find(self, sandbox: str) -> tuple[Address, Place]:
        """Where its agent listens, and which socket that is now: a restarted sandbox has another one."""
        for pattern in kata_rules.PLACES:
            path = pattern.format(id=sandbox)
            if place := self._place(path):
                return Address(path=path, hybrid=True), place
        for pattern in kata_rules.SHIMS:
            path = pattern.format(id=sandbox)
            if place := self._place(path):
                return kata_agent.ask_shim(path, self._seconds, self._root), place
        raise Unreachable("neither its agent's socket nor its shim's is there (yet)")

    def _place(self, path: str) -> Place | None:
        try:
            seen = os.stat(self._root + path)
        except OSError:
            return None
        return seen.st_ino, seen.st_ctime_ns


def _words(config: MemagentConfig) -> str:
    parts = (("memcg", config.memcg), ("compact", config.compact))
    return ", ".join(f"{section} {dict(pairs)}" for section, pairs in parts if pairs) or "nothing"
