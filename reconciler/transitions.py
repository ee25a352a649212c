"""The log: one line when something changes, silence while nothing does.

Names come from strangers (pods), so every value is quoted by `logfmt`: a name cannot forge a line or a key.
"""

import logging
from collections.abc import Iterable

from reconciler import agentwanted, logfmt
from reconciler.actions import (
    Action,
    ForgetOriginal,
    Outcome,
    RestoreKnob,
    Result,
    SaveOriginal,
    SetAgent,
    StartEngine,
    StopEngine,
    WriteKnob,
)
from reconciler.model import Problem, Severity
from reconciler.report import Report, WorkloadReport

log = logging.getLogger("ebbtide")
_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.NOTE: logging.INFO}


class Transitions:
    """Remembers what was said, and says what is new."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[str, str]] = {}
        self._problems: frozenset[Problem] = frozenset()

    def tell(self, report: Report, outcomes: Iterable[Outcome]) -> None:
        """Log what differs from the last call."""
        for outcome in outcomes:
            _tell_outcome(outcome, report.cycles)
        self._tell_problems(report)
        self._tell_states(report)

    def _tell_states(self, report: Report) -> None:
        states = {row.id: (row.state, row.reason) for row in report.workloads}
        for row in report.workloads:
            if self._states.get(row.id) != states[row.id]:
                _tell_state(row, self._states.get(row.id, ("new", ""))[0], report.cycles)
        for key in self._states.keys() - states.keys():
            log.info("event=workload-removed workload=%s cycle=%d", logfmt.text(key), report.cycles)
        self._states = states

    def _tell_problems(self, report: Report) -> None:
        problems = frozenset((*report.problems, *(p for row in report.workloads for p in row.problems)))
        for problem in sorted(problems - self._problems, key=lambda one: (one.place(), one.message)):
            log.log(
                _LEVELS[problem.severity],
                "event=problem where=%s pointer=%s message=%s hint=%s",
                logfmt.text(problem.place()),
                logfmt.text(problem.pointer),
                logfmt.text(problem.message),
                logfmt.text(problem.hint),
            )
        for problem in self._problems - problems:
            log.info(
                "event=problem-gone where=%s message=%s", logfmt.text(problem.place()), logfmt.text(problem.message)
            )
        self._problems = problems


def describe(action: Action) -> str:
    """An action as key=value text."""
    match action:
        case WriteKnob():
            return f"action=write knob={action.knob} value={action.value} was={logfmt.text(action.seen)}" + (
                " foreign=yes" if action.foreign else ""
            )
        case RestoreKnob():
            return f"action=restore knob={action.knob} value={action.original}"
        case StartEngine():
            return f"action=start-engine tracker={action.task.tracker}"
        case StopEngine() | ForgetOriginal():
            name = "stop-engine" if isinstance(action, StopEngine) else f"forget knob={action.knob}"
            return f"action={name} reason={logfmt.text(action.reason)}"
        case SaveOriginal():
            return f"action=remember knob={action.knob} original={action.original}"
        case SetAgent():
            return f"action=set-agent to={logfmt.text(agentwanted.summary(action.task))}"


def _tell_outcome(outcome: Outcome, cycle: int) -> None:
    done = outcome.result in (Result.DONE, Result.GONE, Result.SKIPPED)
    level = logging.INFO if done else logging.WARNING
    if outcome.result is Result.SKIPPED or isinstance(outcome.action, SaveOriginal):
        level = logging.DEBUG
    log.log(
        level,
        "workload=%s %s result=%s%s cycle=%d",
        logfmt.text(outcome.action.workload),
        describe(outcome.action),
        outcome.result,
        f" message={logfmt.text(outcome.message)}" if outcome.message else "",
        cycle,
    )


def _tell_state(row: WorkloadReport, before: str, cycle: int) -> None:
    log.info(
        "event=state workload=%s class=%s from=%s to=%s reason=%s cycle=%d",
        logfmt.text(row.name),
        logfmt.text(row.class_name),
        before,
        row.state,
        logfmt.text(row.reason),
        cycle,
    )
