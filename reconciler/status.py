"""What the daemon publishes after each cycle: a pure Report, and the file that holds it."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from reconciler.actions import Hold, Known, Outcome, Plan, Result, WriteKnob
from reconciler.files import write_atomically
from reconciler.gather import Look
from reconciler.model import DesiredWorkload, Mode, ObservedWorkload, Origin, Severity
from reconciler.report import EngineReport, KnobReport, Report, WorkloadReport

GONE = ObservedWorkload(inode=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """Everything that one cycle knew and did."""

    look: Look
    known: Known
    plan: Plan
    outcomes: tuple[Outcome, ...] = ()
    engine_report: Callable[[str], EngineReport | None] = lambda _: None
    foreign_writes: Mapping[tuple[str, str], int] = field(default_factory=dict)
    on_nodes: Callable[[str], Mapping[str, int]] = lambda _: {}  # bytes of a cgroup, by its path


def workload_reports(cycle: Cycle) -> tuple[WorkloadReport, ...]:
    """One row per workload, in the order of their names."""
    holds: dict[str, list[Hold]] = {}
    for hold in cycle.plan.holds:
        holds.setdefault(hold.workload, []).append(hold)
    failed = {outcome.action.workload: outcome for outcome in reversed(cycle.outcomes) if _failed(outcome)}
    rows = [
        _row(cycle, wanted, holds.get(key, []), failed.get(key)) for key, wanted in cycle.look.desired.workloads.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.name, row.id)))


def summary(rows: Iterable[WorkloadReport], problems: int) -> str:
    """One line for `systemctl status`: how many workloads are in which state."""
    counts: dict[str, int] = {}
    total = 0
    for row in rows:
        total += 1
        counts[row.state] = counts.get(row.state, 0) + 1
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    wrong = f", {_counted(problems, 'problem')}" if problems else ""
    return _counted(total, "workload") + (f": {states}" if states else "") + wrong


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def pending(cycle: Cycle) -> tuple[str, ...]:
    """Actions of the last plan that were not done, as text."""
    return tuple(
        f"{type(outcome.action).__name__} {outcome.action.workload}: {outcome.result} {outcome.message}".strip()
        for outcome in cycle.outcomes
        if outcome.result is not Result.DONE
    )


def with_figures(
    report: Report, engine_report: Callable[[str], EngineReport | None], sizes: Callable[[str], tuple[int, int]]
) -> Report:
    """The same report with what the tracking loops count now; `sizes` gives (usage, swap) of a cgroup in bytes."""
    return replace(report, workloads=tuple(_with_figures(row, engine_report, sizes) for row in report.workloads))


def _with_figures(
    row: WorkloadReport, engine_report: Callable[[str], EngineReport | None], sizes: Callable[[str], tuple[int, int]]
) -> WorkloadReport:
    usage, swap = sizes(row.cgroup) if row.cgroup else (row.usage_bytes, row.swap_bytes)
    engine = engine_report(row.id) if row.engine else None
    return replace(row, engine=engine, usage_bytes=usage, swap_bytes=swap)


def publish(report: Report, run_dir: Path) -> None:
    write_atomically(run_dir / "status.json", json.dumps(asdict(report)), mode=0o644)


def _failed(outcome: Outcome) -> bool:
    return outcome.result not in (Result.DONE, Result.SKIPPED)


def _row(cycle: Cycle, wanted: DesiredWorkload, holds: list[Hold], failed: Outcome | None) -> WorkloadReport:
    workload = wanted.workload
    seen = cycle.look.observed.workloads.get(workload.id, GONE)
    state, reason = _state(cycle, wanted, holds, failed)
    return WorkloadReport(
        id=workload.id,
        name=workload.name,
        class_name=wanted.class_name,
        state=state,
        reason=reason,
        cgroup=workload.cgroup,
        usage_bytes=seen.usage_bytes,
        swap_bytes=seen.swap_bytes,
        node_bytes=cycle.on_nodes(workload.cgroup) if workload.cgroup else {},
        mode=wanted.mode,
        knobs=tuple(_knobs(cycle, wanted, seen)),
        engine=cycle.engine_report(workload.id) if wanted.engine else None,
        problems=wanted.problems,
    )


def _state(cycle: Cycle, wanted: DesiredWorkload, holds: list[Hold], failed: Outcome | None) -> tuple[str, str]:
    """(state, why) in the words of WorkloadReport; the first that is true."""
    whole = next((hold for hold in holds if not hold.what), None)
    if cycle.known.released & {wanted.workload.id, "*"}:
        return "released", whole.reason if whole else ""
    if whole is not None:
        word = whole.reason.split(":")[0]
        return (word if word in ("pending", "gone") else "held"), whole.reason
    if not (wanted.class_name or wanted.knobs):
        return "unmanaged", next((problem.message for problem in wanted.problems), "")
    return _managed_state(wanted, holds, failed)


def _managed_state(wanted: DesiredWorkload, holds: list[Hold], failed: Outcome | None) -> tuple[str, str]:
    reasons = "; ".join(f"{hold.what}: {hold.reason}" for hold in holds)
    if failed is not None:
        return "drift", f"{failed.result}: {failed.message}"
    if wanted.mode is Mode.OBSERVE:
        return "observed", reasons
    errors = [problem.message for problem in wanted.problems if problem.severity is Severity.ERROR]
    reasons = reasons or "; ".join(errors)
    return ("held", reasons) if reasons else ("converged", "")


def _knobs(cycle: Cycle, wanted: DesiredWorkload, seen: ObservedWorkload) -> Iterator[KnobReport]:
    written = {
        outcome.action.knob: outcome.action.value
        for outcome in cycle.outcomes
        if isinstance(outcome.action, WriteKnob)
        and outcome.result is Result.DONE
        and outcome.action.workload == wanted.workload.id
    }
    for knob, value in sorted(wanted.knobs.items()):
        entry = cycle.known.baseline.get((wanted.workload.cgroup, knob))
        yield KnobReport(
            knob=knob,
            now=written.get(knob, seen.knobs.get(knob, "")),
            wanted=value,
            original=entry.original if entry else "",
            origin=str(wanted.origins.get(knob, Origin(file=""))),
            foreign_writes=cycle.foreign_writes.get((wanted.workload.id, knob), 0),
        )
