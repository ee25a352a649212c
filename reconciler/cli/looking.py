"""One look at classes, records and kernel in this very process, for the verbs that need no daemon."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler import agentwanted, classfiles, gather, lastgood
from reconciler.actions import Known
from reconciler.agentconfig import AgentTask, CompactConfig
from reconciler.baseline import Baseline
from reconciler.cli import daemon_link
from reconciler.cli.failure import Failure
from reconciler.cli.options import Options
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.model import Desired, EngineTask
from reconciler.report import OFF, EngineReport, Report
from sysfs import boot, capture
from sysfs.tree import Tree

UNKNOWN = EngineConfig(policy=AgeConfig(interval_ms=0))
"""Of a loop that runs with something else than what is wanted."""
UNKNOWN_AGENT = AgentTask(compact=CompactConfig(), origins=(("", "unknown"),))
"""The same of the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    look: gather.Look
    known: Known
    report: Report | None = None  # of the running daemon


@contextmanager
def tree(root: str) -> Iterator[Tree]:
    """The machine, a folder with its /proc and /sys, or a file that `doctor --capture` made."""
    if os.path.isfile(root):
        with capture.replay(root) as replayed:
            yield replayed
    elif not os.path.isdir(os.path.join(root, "proc")):
        raise Failure(
            root, "there is no proc folder below it", hint="`ebbtide doctor --capture FILE` makes such a tree"
        )
    else:
        yield Tree(root)


def places(common: Options, kernel: Tree) -> gather.Places:
    return gather.Places(
        tree=kernel,
        config_dirs=common.config_dirs or classfiles.DEFAULT_DIRECTORIES,
        state_dir=Path(common.state_dir),
        run_dir=Path(common.run_dir),
    )


@contextmanager
def now(common: Options) -> Iterator[Looked]:
    """Look once. The loops of a running daemon are taken from its report; a captured tree has none."""
    with tree(common.root) as kernel:
        where = places(common, kernel)
        known = gather.known_of(Baseline(where.state_dir, boot.boot_id(kernel)), where)
        report = daemon_link.report(common) if not kernel.root else None
        seen = gather.look(
            where,
            known,
            remembered=lastgood.load(where.state_dir),
            overrides=report.agent.overrides if report else (),
            own_cgroup=report.cgroup if report else None,
        )
        yield with_loops(Looked(look=seen, known=known), report)


def with_loops(looked: Looked, report: Report | None) -> Looked:
    look = looked.look
    agent = agent_of(looked, report)
    observed = gather.with_running(look.observed, running(look.desired, report), agent)
    return replace(looked, look=replace(look, observed=observed), report=report)


def running(desired: Desired, report: Report | None) -> Mapping[str, EngineTask]:
    """The daemon's loops. Its report has only the fingerprint of a task: one that is not the wanted one is unknown."""
    loops = {workload.id: workload.engine for workload in report.workloads} if report else {}
    wanted = {key: each.engine for key, each in desired.workloads.items()}
    return {key: _task(key, loop, wanted.get(key)) for key, loop in loops.items() if loop and not loop.error}


def _task(workload: str, loop: EngineReport, wanted: EngineTask | None) -> EngineTask:
    if wanted is not None and loop.task == wanted.fingerprint():
        return wanted
    return EngineTask(workload=workload, tracker=loop.tracker, config=UNKNOWN)


def agent_of(looked: Looked, report: Report | None) -> AgentTask:
    """What the daemon's agent does, by its fingerprint; something unknown where that is not what is wanted."""
    if report is None or report.agent.doing == OFF:
        return AgentTask()
    wanted = looked.look.desired.agent
    task = agentwanted.without(looked.look.desired, wanted, looked.known.released) if wanted else AgentTask()
    found = (one for one in (task, replace(task, observe=True)) if one.fingerprint() == report.agent.task)
    return next(found, replace(UNKNOWN_AGENT, observe=report.agent.observe))


def names(look: gather.Look) -> dict[str, str]:
    """Workloads by id, for words on the command line and for people's eyes."""
    return {key: wanted.workload.name for key, wanted in look.desired.workloads.items()}
