"""`ebbtide plan`: what would be done now. The daemon's own pure code, run here; nothing is written."""

import argparse
import time
from dataclasses import asdict
from typing import Any

from reconciler import plan
from reconciler.actions import Action, Plan, StartEngine
from reconciler.cli import looking, options, render, select, steps
from reconciler.cli.failure import Exit
from reconciler.cli.looking import Looked
from reconciler.cli.render import Page
from reconciler.model import Problem, Severity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help="only these; actions on cgroups without a record go"
    )


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    with looking.now(common) as looked:
        chosen = select.all_of(looking.names(looked.look), args.workloads) if args.workloads else None
        decided = only(plan.plan(looked.look.desired, looked.look.observed, looked.known, time.monotonic()), chosen)
        found = problems(looked, chosen)
        if common.json:
            render.show_document(document(looked, decided, found))
        else:
            render.show(lines(looked, decided, found, render.page(color=common.color, legend=common.legend)))
    return code(decided, found)


def only(decided: Plan, chosen: list[str] | None) -> Plan:
    if chosen is None:
        return decided
    return Plan(
        actions=tuple(action for action in decided.actions if action.workload in chosen),
        holds=tuple(hold for hold in decided.holds if hold.workload in chosen),
    )


def problems(looked: Looked, chosen: list[str] | None) -> list[Problem]:
    of_workloads = [
        problem
        for key, wanted in looked.look.desired.workloads.items()
        for problem in wanted.problems
        if chosen is None or key in chosen
    ]
    return [*looked.look.problems, *looked.look.desired.problems, *of_workloads]


def code(decided: Plan, found: list[Problem]) -> Exit:
    """2 says that there is something to do; 1 that there is nothing to do only because something is wrong."""
    if decided.actions:
        return Exit.PENDING
    return Exit.FOUND if any(problem.severity is Severity.ERROR for problem in found) else Exit.FINE


def document(looked: Looked, decided: Plan, found: list[Problem]) -> dict[str, Any]:
    names = looking.names(looked.look)
    return {
        "version": 1,
        "daemon": looked.report is not None,
        "actions": [
            steps.document(action, names.get(action.workload, action.workload), origin(looked, action))
            for action in decided.actions
        ],
        "holds": [steps.held(hold, names.get(hold.workload, hold.workload)) for hold in decided.holds],
        "problems": [asdict(problem) for problem in found],
    }


def lines(looked: Looked, decided: Plan, found: list[Problem], page: Page) -> list[str]:
    names = looking.names(looked.look)
    rows = [
        steps.row(action, names.get(action.workload, action.workload), origin(looked, action))
        for action in decided.actions
    ]
    result = render.table(page, steps.COLUMNS, rows) if rows else []
    for hold in decided.holds:
        what = f" {hold.what}" if hold.what else ""
        result.append(f"held: {names.get(hold.workload, hold.workload)}{what}: {hold.reason}")
    result += render.problems(page, found)
    return [*result, *_summary(looked, decided)] if page.legend or not result else result


def origin(looked: Looked, action: Action) -> str:
    """Who asks for it, as FILE:LINE or an annotation."""
    wanted = looked.look.desired.workloads.get(action.workload)
    key = str(getattr(action, "knob", "memtierdconfig"))
    return str(wanted.origins[key]) if wanted and key in wanted.origins else ""


def _summary(looked: Looked, decided: Plan) -> list[str]:
    count = len(decided.actions)
    text = f"{count} action{'' if count == 1 else 's'}" if count else "nothing to do"
    held = f", {len(decided.holds)} held back" if decided.holds else ""
    total = len(looked.look.desired.workloads)
    loops = not looked.report and any(isinstance(action, StartEngine) for action in decided.actions)
    daemon = "; the daemon is not running, so every loop counts as not started" if loops else ""
    return [f"{text}{held}, {total} workload{'' if total == 1 else 's'}{daemon}"]
