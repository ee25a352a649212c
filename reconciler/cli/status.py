"""`ebbtide status`: what the daemon manages and how it is going, from its last report."""

import argparse
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime

from reconciler.cli import agent_rows, options, published, render, select, workload_rows
from reconciler.cli.failure import Exit
from reconciler.cli.published import Standing
from reconciler.cli.render import Page
from reconciler.model import Severity
from reconciler.quantities import human_bytes
from reconciler.report import EngineReport, OutlookReport, Report, WorkloadReport, Would

_AGES_S = (0, 5, 30, 120, 600, 3600)  # as the rows of `ebbtide accessed`
_NO_WORKLOADS = "none yet: containers come from `ebbtide nri`, all else from `workloads:` in a class file"
WRONG = {"drift", "held"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help="namespace/pod/container, namespace/pod, or an id"
    )


def run(args: argparse.Namespace) -> int:
    common = options.of(args, options.OUTPUTS)
    standing = chosen(published.read(common), args.workloads)
    if common.json:
        document = {**asdict(standing.report), "running": not standing.stale, "stale": standing.stale}
        render.show_document(document, common.output)
    elif common.output == "name":
        render.show(row.name for row in standing.report.workloads)
    else:
        page = render.page(color=common.color, legend=common.legend)
        render.show(lines(standing, page, datetime.now(tz=UTC), wide=common.wide))
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


def lines(standing: Standing, page: Page, now: datetime, *, wide: bool = False) -> list[str]:
    """The whole answer for people; `wide` is as wide as it takes."""
    report, page = standing.report, replace(page, width=0) if wide else page
    result = heading(standing, page, now) if page.legend else []
    if report.workloads:
        result += ["", *workload_rows.table(page, report.workloads, wide=wide)]
    if page.legend:
        result += _below(page, report.workloads, wide=wide)
    found = [*report.problems, *(problem for workload in report.workloads for problem in workload.problems)]
    return result + (["", *render.problems(page, found)] if found else [])


def _below(page: Page, rows: Sequence[WorkloadReport], *, wide: bool) -> list[str]:
    """What has no column, or no room for one."""
    roomy = wide or workload_rows.roomy_page(page)
    paragraphs = [
        [] if roomy else [f"why: {each.name}: {said}" for each in rows if (said := workload_rows.reason(each))],
        [f"memory: {each.name}: {said}" for each in rows if (said := _memory(each, nodes=not roomy))],
        [f"note: {each.name}: {note}" for each in rows if each.engine for note in each.engine.notes],
    ]
    return [line for paragraph in paragraphs if paragraph for line in ("", *paragraph)]


def heading(standing: Standing, page: Page, now: datetime) -> list[str]:
    report = standing.report
    color = {Exit.FINE: render.GREEN, Exit.FOUND: render.YELLOW}.get(code(standing), render.RED)
    state = "not running" if standing.stale else report.state
    summary = report.summary or counted(len(report.workloads))
    result = [f"{page.paint('●', color)} ebbtide: {page.paint(state, color)}, {summary}"]
    if standing.stale:
        result.append(f"   stale: {page.paint(standing.stale, render.RED)}")
    result.append(f"   since: {report.started}; {_ago(report.started, now)} (pid {report.pid})")
    took = f"{report.cycle_seconds * 1000:.0f} ms"
    result.append(f"    last: {_ago(report.time, now)}, cycle {report.cycles} in {took}, {_why(report)}")
    result += [f"   saved: {said}" for said in _saved(report)]
    result += _would(report.outlook, page)
    result += [] if report.workloads else [f"    work: {_NO_WORKLOADS}"]
    result += [f" pending: {text}" for text in report.pending]
    return result + agent_rows.lines(report.agent, page)


def _why(report: Report) -> str:
    return f"because of {report.wakeup}" if report.wakeup else "because of nothing"


def _ago(text: str, now: datetime) -> str:
    """Of RFC 3339; what is no time stays as it is."""
    try:
        return f"{render.ago((now - datetime.fromisoformat(text)).total_seconds())} ago"
    except (ValueError, TypeError):
        return text or "never"


def counted(workloads: int) -> str:
    return f"{workloads} workload{'' if workloads == 1 else 's'}"


def _saved(report: Report) -> Iterator[str]:
    """One line over all classes, those that are gone among them; nothing where nothing has ever been saved."""
    accounts = [each.saved for each in report.classes]
    out, back = (sum(getattr(each, name) for each in accounts) for name in ("out_bytes", "back_bytes"))
    moved = sum(each.moved_bytes for each in accounts)
    if out or moved:
        away = human_bytes(sum(each.away_bytes for each in accounts))
        hours = workload_rows.gib_hours(sum(each.byte_seconds for each in accounts))
        since = min(each.since for each in accounts if each.since)[:10]
        more = f", {human_bytes(moved)} moved between nodes" if moved else ""
        yield (
            f"{away} now, {hours} GiB-hours since {since}; {human_bytes(out)} left, {human_bytes(back)} came back{more}"
        )


def _would(outlook: OutlookReport, page: Page) -> list[str]:
    """What a class would save where nothing acts, and where the figures are from."""
    head = f"   would: no class acts on {outlook.workloads + outlook.unknown} of them"
    if not outlook.workloads + outlook.unknown:
        return []
    result = [f"{head}; to act on them would save" if outlook.workloads else head]
    result += [_by_class(each) for each in outlook.classes]
    width = (page.width or 10_000) - 16
    return result + [
        f"{' ' * 10}{'note: ' if not at else '      '}{line}"
        for at, line in enumerate(textwrap.wrap(outlook.note, max(width, 20)))
    ]


def _by_class(each: Would) -> str:
    after = render.ago(each.after_secs)
    return f"          {human_bytes(each.bytes)} by {each.class_name} (not used for {after}; from {each.source})"


def _memory(workload: WorkloadReport, *, nodes: bool) -> str:
    """Where its memory is, and how much of it was used when."""
    where = workload_rows.on_nodes(workload) if nodes else []
    places = ", ".join(f"{human_bytes(size)} on node {node}" for node, size in where)
    engine = workload.engine
    if engine is None:
        return places
    back = f"{human_bytes(engine.brought_back_bytes)} brought back from swap" if engine.brought_back_bytes else ""
    return "; ".join(filter(None, [places, back, _by_age(engine)]))


def _by_age(engine: EngineReport) -> str:
    """MGLRU's amounts: exact to the page, where regions of addresses are not."""
    sums = dict.fromkeys(_AGES_S, 0)
    for each in engine.amounts:
        sums[max(age for age in _AGES_S if age * 1000 <= each.age_ms)] += each.size_bytes
    found = [f"{human_bytes(size)} {age} s" for age, size in sums.items() if size]
    return f"unused for at least (MGLRU): {', '.join(found)}" if found else ""
