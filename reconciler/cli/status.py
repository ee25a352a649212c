"""`ebbtide status`: what the daemon manages and how it is going, from its last report."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace

from reconciler.cli import agent_rows, options, published, render, select
from reconciler.cli.failure import Exit
from reconciler.cli.published import Standing
from reconciler.cli.render import Column, Page
from reconciler.model import Severity
from reconciler.quantities import human_bytes
from reconciler.report import EngineReport, Report, WorkloadReport

COLUMNS = (
    Column(title="WORKLOAD", shrinks=True),
    Column(title="CLASS", shrinks=True),
    Column(title="STATE", colors=render.STATE_COLORS),
    Column(title="USAGE", right=True),
    Column(title="SWAP", right=True),
    Column(title="IDLE", right=True),
    Column(title="OUT", right=True),
    Column(title="BACK", right=True),
    Column(title="MOVED", right=True),
    Column(title="TRACKER"),
    Column(title="REASON", shrinks=True, colors={"brake": render.YELLOW, "error": render.RED}),
)
_MOVED = [column.title for column in COLUMNS].index("MOVED")  # shown where memory moves between nodes
_AGES_S = (0, 5, 30, 120, 600, 3600)  # as the rows of `ebbtide accessed`
WRONG = {"drift", "held"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help="namespace/pod/container, namespace/pod, or an id"
    )


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    standing = chosen(published.read(common), args.workloads)
    if common.json:
        render.show_document({**asdict(standing.report), "running": not standing.stale, "stale": standing.stale})
    else:
        render.show(lines(standing, render.page(color=common.color, legend=common.legend)))
    return code(standing)


def chosen(standing: Standing, words: Sequence[str]) -> Standing:
    reports = {report.id: report for report in standing.report.workloads}
    ids = select.all_of({key: report.name for key, report in reports.items()}, words)
    return replace(standing, report=replace(standing.report, workloads=tuple(reports[key] for key in ids)))


def code(standing: Standing) -> Exit:
    report = standing.report
    problems = [*report.problems, *(problem for workload in report.workloads for problem in workload.problems)]
    wrong = any(workload.state in WRONG or _ended(workload) for workload in report.workloads)
    if standing.stale:
        return Exit.STOPPED
    wrong = wrong or bool(report.agent.errors)
    return Exit.FOUND if wrong or any(problem.severity is not Severity.NOTE for problem in problems) else Exit.FINE


def _ended(workload: WorkloadReport) -> bool:
    return workload.engine is not None and workload.engine.error != ""


def lines(standing: Standing, page: Page) -> list[str]:
    report = standing.report
    result = _heading(standing, page) if page.legend else []
    if report.workloads:
        result += ["", *_table(page, report.workloads)]
    memory = [f"memory: {each.name}: {said}" for each in report.workloads if (said := _memory(each))]
    if memory and page.legend:
        result += ["", *memory]
    noted = [f"{workload.name}: {note}" for workload in report.workloads for note in _notes(workload)]
    if noted and page.legend:
        result += ["", *(f"note: {note}" for note in noted)]
    found = [*report.problems, *(problem for workload in report.workloads for problem in workload.problems)]
    return result + (["", *render.problems(page, found)] if found else [])


def _heading(standing: Standing, page: Page) -> list[str]:
    report = standing.report
    color = {Exit.FINE: render.GREEN, Exit.FOUND: render.YELLOW}.get(code(standing), render.RED)
    state = "not running" if standing.stale else report.state
    result = [f"{page.paint('●', color)} ebbtide: {page.paint(state, color)}, {report.summary or _summary(report)}"]
    if standing.stale:
        result.append(f"   stale: {page.paint(standing.stale, render.RED)}")
    result.append(f"   since: {report.started} (pid {report.pid})")
    took = f"{report.cycle_seconds * 1000:.0f} ms"
    result.append(f"    last: {report.time}, cycle {report.cycles}, {took}, because of {report.wakeup or 'nothing'}")
    result += [f" pending: {text}" for text in report.pending]
    return result + agent_rows.lines(report.agent, page)


def _summary(report: Report) -> str:
    count = len(report.workloads)
    return f"{count} workload{'' if count == 1 else 's'}"


def _table(page: Page, workloads: Sequence[WorkloadReport]) -> list[str]:
    hidden = set() if any(each.engine and each.engine.moved_bytes for each in workloads) else {_MOVED}
    rows = [[cell for at, cell in enumerate(_row(each)) if at not in hidden] for each in workloads]
    return render.table(page, [column for at, column in enumerate(COLUMNS) if at not in hidden], rows)


def _memory(workload: WorkloadReport) -> str:
    """Where its memory is, and how much of it was used when: what has no column."""
    engine = workload.engine
    if engine is None:
        return ""
    nodes = [f"{human_bytes(size)} on node {node}" for node, size in sorted(engine.node_bytes.items(), key=_number)]
    back = [f"{human_bytes(engine.brought_back_bytes)} brought back from swap"] if engine.brought_back_bytes else []
    return "; ".join(filter(None, [", ".join(nodes), *back, _by_age(engine)]))


def _number(pair: tuple[str, int]) -> int:
    return int(pair[0])


def _by_age(engine: EngineReport) -> str:
    """MGLRU's amounts: exact to the page, where regions of addresses are not."""
    sums = dict.fromkeys(_AGES_S, 0)
    for each in engine.amounts:
        sums[max(age for age in _AGES_S if age * 1000 <= each.age_ms)] += each.size_bytes
    found = [f"{human_bytes(size)} {age} s" for age, size in sums.items() if size]
    return f"unused for at least (MGLRU): {', '.join(found)}" if found else ""


def _row(workload: WorkloadReport) -> list[str]:
    engine = workload.engine
    sizes = [workload.usage_bytes, workload.swap_bytes] if workload.cgroup else []
    figures = [engine.idle_bytes, engine.paged_out_bytes, engine.came_back_bytes, engine.moved_bytes] if engine else []
    return [
        workload.name,
        workload.class_name,
        workload.state,
        *([human_bytes(size) for size in sizes] or ["-"] * 2),
        *([human_bytes(figure) for figure in figures] or ["-"] * 4),
        engine.tracker if engine else "-",
        _reason(workload),
    ]


def _reason(workload: WorkloadReport) -> str:
    """Why it is in this state, and why its loop does not page out although all settings are as wanted."""
    engine = workload.engine
    stopped = [f"{word}: {why}" for word in ("error", "brake") if engine and (why := getattr(engine, word))]
    return "; ".join([*filter(None, [workload.reason]), *stopped])


def _notes(workload: WorkloadReport) -> tuple[str, ...]:
    return workload.engine.notes if workload.engine else ()
