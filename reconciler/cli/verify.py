"""`ebbtide verify`: whether the kernel shows what classes and annotations ask for.

It looks itself; only which loops run is the daemon's word.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from reconciler import agentwanted
from reconciler import plan as planning
from reconciler.actions import Known, SetAgent
from reconciler.cli import looking, options, plan, render, select
from reconciler.cli.failure import Exit
from reconciler.cli.looking import Looked
from reconciler.cli.render import RED, YELLOW, Column, Page
from reconciler.model import (
    DesiredWorkload,
    EngineTask,
    Mode,
    ObservedWorkload,
    Origin,
    Problem,
    Severity,
    WorkloadState,
)

GONE = ObservedWorkload(inode=0)
COLUMNS = (
    Column(title="WORKLOAD", shrinks=True),
    Column(title="WHAT"),
    Column(title="NOW", colors={"missing": RED, "not running": YELLOW}),
    Column(title="WANTED"),
    Column(title="FROM", shrinks=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    workload: str
    name: str
    what: str
    now: str
    wanted: str
    origin: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="only these")


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    with looking.now(common) as looked:
        chosen = select.all_of(looking.names(looked.look), args.workloads)
        found = plan.problems(looked, chosen)
        different = [one for key in chosen for one in differences(looked, looked.look.desired.workloads[key])]
        different += [] if args.workloads else agent_differences(looked)
    fine = not different and all(problem.severity is not Severity.ERROR for problem in found)
    if common.json:
        body = {
            "version": 1,
            "verified": fine,
            "workloads": len(chosen),
            "differences": [asdict(one) for one in different],
        }
        render.show_document({**body, "problems": [asdict(problem) for problem in found]})
    else:
        page = render.page(color=common.color, legend=common.legend)
        render.show(lines(page, different, found, len(chosen)))
    return Exit.FINE if fine else Exit.FOUND


def differences(looked: Looked, wanted: DesiredWorkload) -> Iterator[Difference]:
    seen = looked.look.observed.workloads.get(wanted.workload.id, GONE)
    if not expected(wanted, seen, looked.known):
        return
    for knob, value in sorted(wanted.knobs.items()) if wanted.mode is Mode.ACT else ():
        now = seen.knobs.get(knob) or seen.unreadable.get(knob) or "missing"
        if now != value:
            yield _difference(wanted, knob, now, value)
    running = looked.look.observed.engines.get(wanted.workload.id)
    if running != wanted.engine:
        yield _difference(wanted, "engine", _loop(running), _by_tracker(wanted.engine) if wanted.engine else "none")


def agent_differences(looked: Looked) -> Iterator[Difference]:
    """What a plan would change about the agent."""
    look = looked.look
    for action in planning.plan(look.desired, look.observed, looked.known, time.monotonic()).actions:
        if isinstance(action, SetAgent):
            now, wanted = agentwanted.summary(look.observed.agent), agentwanted.summary(action.task)
            now = f"{now}, configured otherwise" if now == wanted else now
            yield Difference(workload="", name="", what="agent", now=now, wanted=wanted, origin="")


def _loop(running: EngineTask | None) -> str:
    return f"{_by_tracker(running)}, configured otherwise" if running else "not running"


def _by_tracker(task: EngineTask) -> str:
    return f"{task.config.policy_name} by {task.tracker}"


def expected(wanted: DesiredWorkload, seen: ObservedWorkload, known: Known) -> bool:
    """Whether anything should be as wanted: not before the cgroup is there, and not once it is released."""
    waiting = wanted.workload.state is WorkloadState.PENDING or (wanted.workload.cgroup and not seen.inode)
    return not waiting and not known.released & {wanted.workload.id, "*"}


def lines(page: Page, different: list[Difference], found: list[Problem], count: int) -> list[str]:
    rows = [[one.name, one.what, one.now, one.wanted, one.origin] for one in different]
    result = render.table(page, COLUMNS, rows) if rows else []
    result += render.problems(page, found)
    if page.legend or not result:
        word = f"{len(rows)} difference{'' if len(rows) == 1 else 's'}" if rows else "as wanted"
        result.append(f"{word}: {count} workload{'' if count == 1 else 's'} looked at")
    return result


def _difference(wanted: DesiredWorkload, what: str, now: str, value: str) -> Difference:
    key = "memtierdconfig" if what == "engine" else what
    return Difference(
        workload=wanted.workload.id,
        name=wanted.workload.name,
        what=what,
        now=now,
        wanted=value,
        origin=str(wanted.origins.get(key, Origin(file=""))),
    )
