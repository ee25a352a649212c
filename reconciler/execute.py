"""The one place that performs actions, in the plan's order. Never raises for what the kernel says: Outcomes tell it."""

import contextlib
from typing import Protocol, assert_never

from reconciler import knobs
from reconciler.actions import (
    Action,
    ForgetOriginal,
    Outcome,
    Plan,
    RestoreKnob,
    Result,
    SaveOriginal,
    SetAgent,
    StartEngine,
    StopEngine,
    WriteKnob,
)
from reconciler.agentconfig import AgentTask
from reconciler.baseline import Baseline
from reconciler.model import EngineTask
from sysfs import cgroup, errors
from sysfs.tree import Tree


class Engines(Protocol):
    """What `execute` needs of the engine."""

    def start(self, task: EngineTask) -> None: ...

    def stop(self, workload: str) -> None: ...


class Agent(Protocol):
    """And of the agent."""

    def change(self, task: AgentTask) -> None: ...


class NoAgent:
    """Of plans that name none."""

    def change(self, task: AgentTask) -> None:
        raise AssertionError(f"there is no agent here: {task}")


class Executor:
    def __init__(
        self,
        tree: Tree,
        mount: str,
        baseline: Baseline,
        engines: Engines,
        page_size: int,
        agent: Agent = NoAgent(),  # noqa: B008 it has no state
    ) -> None:
        self.agent = agent
        self.tree = tree
        self.mount = mount
        self.baseline = baseline
        self.engines = engines
        self.page_size = page_size

    def perform(self, plan: Plan) -> tuple[Outcome, ...]:
        """Do it all. When an original cannot be saved, no write of this plan happens."""
        saves = [action for action in plan.actions if isinstance(action, SaveOriginal)]
        unsaved = self._save(saves)
        failed: set[str] = set()
        outcomes = []
        for action in plan.actions:
            outcome = self._outcome(action, unsaved, failed)
            if outcome.result is not Result.DONE:
                failed.add(action.workload)
            outcomes.append(outcome)
        self._forget(outcomes)
        return tuple(outcomes)

    def _save(self, saves: list[SaveOriginal]) -> str:
        try:
            self.baseline.save(saves)
        except OSError as error:
            return f"cannot remember original values in {self.baseline.path}: {error.strerror}; nothing is written"
        return ""

    def _outcome(self, action: Action, unsaved: str, failed: set[str]) -> Outcome:
        if unsaved and isinstance(action, SaveOriginal | WriteKnob):
            return Outcome(action=action, result=Result.BUSY, message=unsaved)
        if action.workload in failed and not isinstance(action, StopEngine):
            return Outcome(action=action, result=Result.SKIPPED)
        try:
            self._perform(action)
        except errors.KernelError as error:
            return Outcome(action=action, result=_result(error), message=str(error))
        return Outcome(action=action, result=Result.DONE)

    def _perform(self, action: Action) -> None:
        match action:
            case WriteKnob():
                self._write(action, action.value)
            case RestoreKnob():
                self._restore(action)
            case StartEngine():
                self.engines.start(action.task)
            case StopEngine():
                self.engines.stop(action.workload)
            case SetAgent():
                self.agent.change(action.task)
            case SaveOriginal() | ForgetOriginal():
                pass  # saved together beforehand, forgotten together afterwards: one write to disk each
            case _:
                assert_never(action)

    def _write(self, action: WriteKnob | RestoreKnob, value: str) -> None:
        directory = self.mount + action.cgroup
        if self.tree.inode(directory) != action.inode:
            raise errors.Gone(None, "another cgroup has taken this path", directory)
        cgroup.write_knob(self.tree, directory, action.knob, value)

    def _restore(self, action: RestoreKnob) -> None:
        """Only where our value still stands: look once more, somebody may have written since the plan was made."""
        text = self.tree.read(f"{self.mount}{action.cgroup}/{action.knob}")
        if knobs.shown(action.knob, text, self.page_size) in action.expected:
            self._write(action, action.original)

    def _forget(self, outcomes: list[Outcome]) -> None:
        finished: list[RestoreKnob | ForgetOriginal] = []
        for outcome in outcomes:
            ended = outcome.result in (Result.DONE, Result.GONE)
            if ended and isinstance(outcome.action, RestoreKnob | ForgetOriginal):
                finished.append(outcome.action)
        with contextlib.suppress(OSError):  # the next cycle sees the original value standing there, and forgets again
            self.baseline.forget(finished)


_RESULTS: dict[type[errors.KernelError], Result] = {
    errors.Gone: Result.GONE,
    errors.Refused: Result.REFUSED,
    errors.Rejected: Result.REJECTED,
    errors.Busy: Result.BUSY,
    errors.Unsupported: Result.UNSUPPORTED,
}


def _result(error: errors.KernelError) -> Result:
    return _RESULTS.get(type(error), Result.BUSY)
