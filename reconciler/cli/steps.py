"""Actions as rows for people and as documents for programs (schema/plan.schema.json)."""

from dataclasses import dataclass
from typing import Any, assert_never

from reconciler import agentwanted
from reconciler.actions import (
    Action,
    ForgetOriginal,
    Hold,
    RestoreKnob,
    SaveOriginal,
    SetAgent,
    StartEngine,
    StopEngine,
    WriteKnob,
)
from reconciler.cli.render import GREEN, YELLOW, Column

COLUMNS = (
    Column(title="WORKLOAD", shrinks=True),
    Column(title="ACTION", colors={"write": YELLOW, "restore": YELLOW, "start": GREEN, "set": GREEN, "stop": YELLOW}),
    Column(title="WHAT"),
    Column(title="NOW"),
    Column(title="THEN"),
    Column(title="WHY", shrinks=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    action: str
    what: str
    now: str = ""
    then: str = ""
    why: str = ""
    cgroup: str = ""


def of(action: Action) -> Step:
    match action:
        case SaveOriginal():
            return Step(action="remember", what=action.knob, now=action.original, cgroup=action.cgroup)
        case WriteKnob():
            why = "somebody else changed it" if action.foreign else ""
            return Step(
                action="write", what=action.knob, now=action.seen, then=action.value, why=why, cgroup=action.cgroup
            )
        case RestoreKnob():
            return Step(action="restore", what=action.knob, then=action.original, cgroup=action.cgroup)
        case ForgetOriginal():
            return Step(action="forget", what=action.knob, why=action.reason, cgroup=action.cgroup)
        case StartEngine() | StopEngine():
            return _of_engine(action)
        case SetAgent():
            return Step(action="set", what="agent", then=agentwanted.summary(action.task))
        case _:
            assert_never(action)


def _of_engine(action: StartEngine | StopEngine) -> Step:
    if isinstance(action, StartEngine):
        return Step(action="start", what="engine", then=action.task.tracker)
    return Step(action="stop", what="engine", why=action.reason)


def row(action: Action, name: str, origin: str) -> list[str]:
    step = of(action)
    return [name, step.action, step.what, step.now, step.then, step.why or origin]


def document(action: Action, name: str, origin: str) -> dict[str, Any]:
    step = of(action)
    return {
        "workload": action.workload,
        "name": name,
        "action": step.action,
        "what": step.what,
        "cgroup": step.cgroup,
        "now": step.now,
        "then": step.then,
        "why": step.why or origin,
    }


def held(hold: Hold, name: str) -> dict[str, Any]:
    return {"workload": hold.workload, "name": name, "what": hold.what, "reason": hold.reason}
