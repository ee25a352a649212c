"""`ebbtide release`: original values come back, and the workloads are left alone until `ebbtide resume`.

A running daemon does it (it also stops the loops). Without one this command does it itself from the baseline, under the
daemon's lock, and needs neither class files nor records for it: what was written, and only that, is undone.
"""

import argparse
import mmap
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reconciler import gather, plan, released, state
from reconciler.actions import BaselineEntry, ForgetOriginal, Known, Outcome, Plan, RestoreKnob, Result
from reconciler.baseline import Baseline
from reconciler.cli import daemon_link, looking, options, render, select
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.options import Options
from reconciler.cli.render import GREEN, RED, Column
from reconciler.execute import Executor
from reconciler.model import Desired, EngineTask, Knob
from reconciler.report import OFF, Report
from sysfs import boot, cgroup, probe
from sysfs.tree import Tree

COLUMNS = (
    Column(title="WORKLOAD", shrinks=True),
    Column(title="WHAT"),
    Column(title="ORIGINAL"),
    Column(title="RESULT", colors={"restored": GREEN, "failed": RED}),
    Column(title="WHY", shrinks=True),
)
Entries = dict[tuple[str, Knob], BaselineEntry]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One original value, and what became of it."""

    workload: str
    cgroup: str
    knob: str
    original: str
    result: str  # restored | left | failed
    why: str = ""


class NoLoops:
    """This command runs no tracking loops, so there are none to start or stop."""

    def start(self, task: EngineTask) -> None:
        raise AssertionError(f"nothing starts on release: {task.workload}")

    def stop(self, workload: str) -> None:
        raise AssertionError(f"nothing runs here: {workload}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="only these; without it, all")
    parser.epilog = "`ebbtide resume` takes back. Stop the daemon first if you want everything undone for good."


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    report = daemon_link.report(common)
    ids = chosen(common, report, args.workloads)
    given = by_daemon(common, report, ids) if report else by_hand(common, ids)
    if common.json:
        render.show_document(document(ids, given, daemon=report is not None))
    else:
        render.show(lines(common, ids, given))
    return Exit.FOUND if any(each.result == "failed" for each in given) else Exit.FINE


def chosen(common: Options, report: Report | None, words: list[str]) -> list[str]:
    """Ids for the words, also of workloads that only the baseline still knows; empty = all."""
    if not words:
        return []
    names = {entry.workload: entry.workload for entry in entries(common).values()}
    names |= {workload.id: workload.name for workload in report.workloads} if report else _recorded(common)
    return select.all_of(names, words)


def entries(common: Options) -> Entries:
    with looking.tree(common.root) as kernel:
        return dict(Baseline(common.state_dir, boot.boot_id(kernel)).entries)


def by_daemon(common: Options, report: Report, ids: list[str]) -> list[Given]:
    if report.state == "paused":
        raise Failure("release", "the daemon is paused and changes nothing", hint="`ebbtide resume` first")
    before = mine(entries(common), ids)
    mark(common, ids)
    daemon_link.wake(common, "release")
    if not daemon_link.wait(common, lambda report: is_released(report, ids) and not mine(entries(common), ids)):
        left = len(mine(entries(common), ids))
        why = f"the daemon has not finished after {daemon_link.PATIENCE:g} s, {left} values are left"
        raise Failure("release", why, hint="`ebbtide status` says what holds it back; it goes on trying")
    return [_given(entry, "restored") for entry in before.values()]


def mark(common: Options, ids: list[str]) -> None:
    for workload in ids or [released.ALL]:
        released.mark(common.state_dir, workload)


def is_released(report: Report, ids: Iterable[str]) -> bool:
    wanted = set(ids)
    if not wanted and report.agent.doing != OFF:
        return False
    states = [workload.state for workload in report.workloads if workload.id in wanted or not wanted]
    return all(state in ("released", "unmanaged", "gone") for state in states)


def by_hand(common: Options, ids: list[str]) -> list[Given]:
    if not os.path.isdir(common.state_dir):
        return []  # no daemon ever ran here
    try:
        lock = state.take_lock(Path(common.state_dir))
    except state.AlreadyRunning as error:
        why = f"process {error} holds the lock of {common.state_dir} and publishes no report in {common.run_dir}"
        raise Failure("release", why, hint="is it a daemon with another --run-dir?") from error
    with lock, looking.tree(common.root) as kernel:
        mark(common, ids)
        give_back_damon(kernel, common)
        baseline = Baseline(common.state_dir, boot.boot_id(kernel))
        left = [] if ids else give_back_agent(kernel, common)
        return [*restore(kernel, baseline, mine(baseline.entries, ids)), *left]


def give_back_damon(kernel: Tree, common: Options) -> None:
    """No daemon runs: kdamonds that are there because of one that was killed are of no use to anybody."""
    from reconciler.engine.kdamond_record import Record
    from reconciler.engine.kdamonds import Kdamonds

    Kdamonds(kernel, Record(common.state_dir, boot.boot_id(kernel))).recover()


def give_back_agent(kernel: Tree, common: Options) -> list[Given]:
    """Swap files and switches that the agent of an earlier daemon has left; only what could not be put back is told."""
    from reconciler.agent import agent

    world = agent.World(
        tree=kernel,
        mount=cgroup.mount(kernel),
        page_size=mmap.PAGESIZE,
        state_dir=Path(common.state_dir),
        boot_id=boot.boot_id(kernel),
    )
    return [
        Given(workload="", cgroup="", knob="agent", original="", result="failed", why=why)
        for why in agent.give_back(world)
    ]


def restore(kernel: Tree, baseline: Baseline, chosen: Entries) -> list[Given]:
    """Undo what these entries remember: for the plan they are strays, cgroups that nobody wants managed."""
    features = probe.features(kernel)
    known = Known(baseline=chosen)
    observed = gather.observed_of(kernel, features, Desired(), known)
    decided = plan.plan(Desired(), observed, known, time.monotonic())
    outcomes = Executor(kernel, features.cgroup_mount, baseline, NoLoops(), features.page_size).perform(decided)
    undone = [_said(outcome, chosen) for outcome in outcomes]
    touched = {(each.cgroup, each.knob) for each in undone}
    return undone + [_held(entry, decided) for key, entry in chosen.items() if key not in touched]


def mine(entries: Entries, ids: list[str]) -> Entries:
    return {key: entry for key, entry in entries.items() if entry.workload in ids or not ids}


def document(ids: list[str], given: list[Given], *, daemon: bool) -> dict[str, Any]:
    body = {"version": 1, "daemon": daemon, "released": ids or [released.ALL]}
    return {**body, "values": [{name: getattr(each, name) for name in each.__slots__} for each in given]}


def lines(common: Options, ids: list[str], given: list[Given]) -> list[str]:
    page = render.page(color=common.color, legend=common.legend)
    rows = [[each.workload, each.knob, each.original, each.result, each.why] for each in given]
    what = ", ".join(ids) if ids else "everything"
    nothing = "" if rows else "; nothing was to restore"
    return [*(render.table(page, COLUMNS, rows) if rows else []), f"released: {what}{nothing}"]


def _recorded(common: Options) -> dict[str, str]:
    with looking.now(common) as looked:
        return looking.names(looked.look)


def _said(outcome: Outcome, chosen: Entries) -> Given:
    action = outcome.action
    assert isinstance(action, RestoreKnob | ForgetOriginal)
    entry = chosen[action.cgroup, action.knob]
    if outcome.result not in (Result.DONE, Result.GONE):
        return _given(entry, "failed", f"{outcome.result}: {outcome.message}")
    left = isinstance(action, ForgetOriginal)
    return _given(entry, "left" if left else "restored", action.reason if isinstance(action, ForgetOriginal) else "")


def _held(entry: BaselineEntry, decided: Plan) -> Given:
    why = [hold.reason for hold in decided.holds if (hold.workload, hold.what) == (entry.workload, entry.knob)]
    return _given(entry, "failed", "; ".join(why))


def _given(entry: BaselineEntry, result: str, why: str = "") -> Given:
    return Given(
        workload=entry.workload, cgroup=entry.cgroup, knob=entry.knob, original=entry.original, result=result, why=why
    )
