"""The log, and those who follow: one line when something changes, silence while nothing does.

Names come from strangers (pods), so every value is quoted by `logfmt`: a name cannot forge a line or a key.
"""

import logging
from collections.abc import Callable, Iterable

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
from reconciler.report import Report, Transition, WorkloadReport

log = logging.getLogger("ebbtide")
_LEVELS = {Severity.ERROR: logging.ERROR, Severity.WARNING: logging.WARNING, Severity.NOTE: logging.INFO}


class Transitions:
    """Remembers what was said, and says what is new; `publish` gets it as values."""

    def __init__(self, publish: Callable[[Transition], None] = lambda _: None) -> None:
        self._publish = publish
        self._states: dict[str, tuple[str, str]] = {}
        self._names: dict[str, str] = {}
        self._problems: frozenset[Problem] = frozenset()
        self._state = ""

    def tell(self, report: Report, outcomes: Iterable[Outcome]) -> None:
        """Say what differs from the last call."""
        known = {**self._names, **{row.id: row.name for row in report.workloads}}
        for outcome in outcomes:
            if _tell_outcome(outcome, report.cycles) > logging.DEBUG:
                self._publish(_deed(outcome, report, known.get(outcome.action.workload, outcome.action.workload)))
        self._tell_problems(report)
        self._tell_states(report)
        if report.state != self._state:
            self._publish(_made(report, kind="daemon", before=self._state, after=report.state))
        self._state = report.state

    def _tell_states(self, report: Report) -> None:
        states = {row.id: (row.state, row.reason) for row in report.workloads}
        for row in report.workloads:
            if self._states.get(row.id) != states[row.id]:
                before = self._states.get(row.id, ("new", ""))[0]
                _tell_state(row, before, report.cycles)
                whose = {"workload": row.id, "name": row.name, "text": row.reason}
                self._publish(_made(report, kind="state", before=before, after=row.state, **whose))
        for key in self._states.keys() - states.keys():
            log.info("event=workload-removed workload=%s cycle=%d", logfmt.text(key), report.cycles)
            before = self._states[key][0]
            self._publish(_made(report, kind="removed", workload=key, name=self._names.get(key, key), before=before))
        self._states, self._names = states, {row.id: row.name for row in report.workloads}

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
            self._publish(_made(report, kind="problem", after=problem.severity, text=_words(problem)))
        for problem in self._problems - problems:
            log.info(
                "event=problem-gone where=%s message=%s", logfmt.text(problem.place()), logfmt.text(problem.message)
            )
            self._publish(_made(report, kind="problem-gone", before=problem.severity, text=_words(problem)))
        self._problems = problems


def _made(report: Report, **values: str) -> Transition:
    return Transition(time=report.time, cycle=report.cycles, **values)


def _deed(outcome: Outcome, report: Report, name: str) -> Transition:
    text = ": ".join(filter(None, [describe(outcome.action), outcome.message]))
    return _made(report, kind="action", workload=outcome.action.workload, name=name, after=outcome.result, text=text)


def _words(problem: Problem) -> str:
    return ": ".join(filter(None, [problem.place(), problem.pointer, problem.message]))


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


def _tell_outcome(outcome: Outcome, cycle: int) -> int:
    """The level at which it was said."""
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
    return level


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
