"""`ebbtide report FILE`: this node as one HTML page that needs nothing else, for people who were not here."""

import argparse
import html
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler import versions
from reconciler.cli import asking, options, pictures, published, render, status, workload_rows
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.published import Standing
from reconciler.cli.render import Page
from reconciler.files import write_atomically
from reconciler.quantities import human_bytes
from reconciler.report import Report, SavedReport, WorkloadReport

_AN_HOUR = 3600.0
_MOST_ROWS = 24  # of the table that stands for charts
_CLASSES = ("Class", "Workloads", "In memory", "In swap", "Saved now", "GiB-hours saved", "Left", "Came back", "Of it")
_WORKLOADS = (
    *("Workload", "Class", "State", "In memory", "Used", "Not used", "In swap"),
    *("Saved now", "GiB-hours saved", "Left", "Came back", "Waited for memory"),
)
_NO_CHARTS = f"Charts need matplotlib: {pictures.INSTALL}."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="where to; - or nothing is standard output")
    parser.epilog = "Charts need matplotlib; without it there are tables."


def run(args: argparse.Namespace) -> int:
    common = options.of(args, ("table",))
    to_output = args.file in {None, "-"}
    if args.file is None and sys.stdout.isatty():
        raise Failure("report", "is a page for a browser", hint="ebbtide report node.html", code=Exit.USAGE)
    standing = published.read(common)
    with asking.daemon(common, "report") as ends:
        history = ends.heatmap()
    text = page(standing, history, os.uname().nodename, datetime.now(tz=UTC))
    if to_output:
        render.show_text(text)
    else:
        write_atomically(Path(args.file), text.encode(), mode=0o644)
    return Exit.FINE


def page(standing: Standing, history: Mapping[str, Any], host: str, now: datetime) -> str:
    report = standing.report
    stalls = history.get("stall_percent", {})
    parts = [
        f'<p class="note">{_text(_about(report, now))}</p>',
        _figures(report, history["sizes"]["fine"]),
        *_over_time(history["sizes"]),
        "<h2>By class</h2>",
        _by_class(report),
        "<h2>By workload</h2>",
        pictures.table(_WORKLOADS, [_workload(row, stalls) for row in report.workloads], texts=3),
        *_sections(standing, now),
    ]
    return pictures.page(f"Ebbtide on {host}", parts)


def _text(words: str) -> str:
    return html.escape(render.clean(words))


def _about(report: Report, now: datetime) -> str:
    when = now.isoformat(timespec="seconds")
    return f"{when}; ebbtide {versions.version()}, {report.state} since {report.started}: {report.summary}"


def _figures(report: Report, fine: Mapping[str, Sequence[float]]) -> str:
    total = [each.saved for each in report.classes]
    out, back = sum(each.out_bytes for each in total), sum(each.back_bytes for each in total)
    figures = {
        "saved now": human_bytes(sum(each.away_bytes for each in total)),
        "GiB-hours saved": workload_rows.gib_hours(sum(each.byte_seconds for each in total)),
        "left memory": human_bytes(out),
        "of it came back": _share(back, out),
        "in memory": human_bytes(sum(row.usage_bytes for row in report.workloads)),
        "in swap": human_bytes(sum(row.swap_bytes for row in report.workloads)),
        "of the last hour tasks waited for memory": f"{_mean(fine['stall_percent']):.2f} %",
    }
    return f'<div class="figures">{"".join(f"<div><b>{each}</b>{name}</div>" for name, each in figures.items())}</div>'


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _over_time(sizes: Mapping[str, Any]) -> list[str]:
    """Charts, or what they would show as a table."""
    fine, coarse = sizes["fine"], sizes["coarse"]
    columns = coarse if _span(coarse) > _AN_HOUR else fine
    title = "<h2>Over time</h2>"
    if not columns["when"]:
        return [title, '<p class="note">Nothing is known yet.</p>']
    try:
        charts = [
            pictures.chart(columns, "Memory", "sizes"),
            pictures.chart(columns, "What left memory and what came back", "flow"),
            pictures.chart(columns, "Share of the time in which tasks waited for memory (PSI)", "stall"),
        ]
    except ImportError:
        return [title, f'<p class="note">{_text(_NO_CHARTS)}</p>', _as_table(columns)]
    return [title, *charts]


def _span(columns: Mapping[str, Sequence[float]]) -> float:
    return columns["when"][-1] - columns["when"][0] if columns["when"] else 0.0


def _as_table(columns: Mapping[str, Sequence[Any]]) -> str:
    """At most so many rows, evenly spread, the last one among them."""
    count = len(columns["when"])
    step = max(-(-count // _MOST_ROWS), 1)
    names = ("usage_bytes", "swap_bytes", "away_bytes", "out_bytes", "back_bytes")
    rows = [
        [
            datetime.fromtimestamp(columns["when"][at], tz=UTC).strftime("%Y-%m-%d %H:%M:%S"),
            *(human_bytes(columns[name][at]) for name in names),
            f"{columns['stall_percent'][at]:.2f} %",
        ]
        for at in reversed(range(count - 1, -1, -step))
    ]
    titles = ("Time (UTC)", "In memory", "In swap", "Saved", "Left so far", "Came back so far", "Waited for memory")
    return pictures.table(titles, rows)


def _by_class(report: Report) -> str:
    """All that have an account or a workload; what has no class is the last row."""
    saved = {each.name: each.saved for each in report.classes}
    names = sorted({*saved, *(row.class_name for row in report.workloads)}, key=lambda name: (not name, name))
    rows = []
    for name in names:
        mine = [row for row in report.workloads if row.class_name == name]
        account = saved.get(name, SavedReport())
        sizes = [human_bytes(sum(getattr(row, which) for row in mine)) for which in ("usage_bytes", "swap_bytes")]
        rows.append([name or "(no class)", str(len(mine)), *sizes, *_account(account)])
        rows[-1].append(_share(account.back_bytes, account.out_bytes))
    return pictures.table(_CLASSES, rows)


def _account(saved: SavedReport) -> list[str]:
    hours = workload_rows.gib_hours(saved.byte_seconds)
    return [human_bytes(saved.away_bytes), hours, human_bytes(saved.out_bytes), human_bytes(saved.back_bytes)]


def _workload(row: WorkloadReport, stalls: Mapping[str, float]) -> list[str]:
    used = [human_bytes(workload_rows.hot_bytes(row)), human_bytes(row.engine.idle_bytes)] if row.engine else ["-", "-"]
    waited = f"{stalls[row.id]:.2f} %" if row.id in stalls else "-"
    names = [row.name, row.class_name or "-", row.state]
    return [*names, human_bytes(row.usage_bytes), *used, human_bytes(row.swap_bytes), *_account(row.saved), waited]


def _sections(standing: Standing, now: datetime) -> list[str]:
    """What `status` says above its table, held reasons, and problems."""
    report = standing.report
    reasons = [[row.name, row.state, said] for row in report.workloads if (said := workload_rows.reason(row))]
    problems = [*report.problems, *(problem for row in report.workloads for problem in row.problems)]
    found = [[each.place(), each.severity, each.message, each.hint] for each in problems]
    result = ["<h2>Why something is not done</h2>", pictures.table(("Workload", "State", "Why"), reasons, texts=3)]
    titles = ("Where", "How bad", "What", "What to do")
    result = (result if reasons else []) + (
        ["<h2>Problems</h2>", pictures.table(titles, found, texts=4)] if found else []
    )
    heading = "\n".join(map(_text, map(render.shown, status.heading(standing, Page(), now))))
    return [*result, "<h2>In the words of ebbtide status</h2>", f"<pre>{heading}</pre>"]
