"""`ebbtide accessed WORKLOAD`: its memory by the time since the last access, in memtierd's table."""

import argparse
from typing import TYPE_CHECKING, Any

from reconciler.cli import asking, options, published, render, select
from reconciler.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from reconciler.engine.accessed import AccessedTable

TIMES = "0,5s,30s,2m,10m,1h,0"
_SHORTEST_BAR = 8
_EIGHTHS = ("", "▏", "▎", "▍", "▌", "▋", "▊", "▉")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", metavar="WORKLOAD", help="namespace/pod/container, or an id")
    parser.add_argument("limits", nargs="?", metavar="TIMES", help="the same as --times: 0,5s,30s,10m,2h,24h,0")
    parser.add_argument(
        "-t", "--times", default=TIMES, help=f"limits of the rows; a 0 at the end is for ever ({TIMES})"
    )


def run(args: argparse.Namespace) -> int:
    from reconciler.engine import accessed  # numpy is heavy

    common = options.of(args)
    try:
        limits = accessed.limits_of(args.limits or args.times)
    except ValueError as error:
        raise Failure("--times", str(error), code=Exit.USAGE) from error
    standing = published.read(common)
    names = {workload.id: workload.name for workload in standing.report.workloads}
    workload = select.one(names, args.workload)
    document = {"version": 1, "workload": workload, "name": names[workload], **ask(common, workload, limits)}
    table = published.load(accessed.AccessedTable, document)
    if common.json:
        render.show_document(document)
    else:
        render.show([*_with_bars(table, render.page(color=common.color)), *table.amount_lines()])
    return Exit.FINE


def _with_bars(table: "AccessedTable", page: render.Page) -> list[str]:
    """The table, as memtierd prints it; on a terminal each row with its share of the process's memory as a bar."""
    text = table.text().splitlines()
    room = page.width - max(map(len, text)) - 2
    if room < _SHORTEST_BAR:
        return text
    bars = ["", "", *(_bar(row.percent, row.swapped_pages / max(row.pages, 1), room) for row in table.rows)]
    lines = [f"{line}  {bar}".rstrip() for line, bar in zip(text, bars, strict=True)]
    swapped = any(row.swapped_pages for row in table.rows)
    return [*lines, "█ in memory, ░ in swap"] if swapped else lines


def _bar(percent: float, swapped: float, room: int) -> str:
    eighths = round(percent / 100 * room * 8)
    full, rest = divmod(eighths, 8)
    out = round(full * swapped)
    return "█" * (full - out) + "░" * out + (_EIGHTHS[rest] if not out else "")


def ask(common: options.Options, workload: str, limits: tuple[float, ...]) -> dict[str, Any]:
    """The daemon's answer; only its tracking loop knows."""
    hint = "its class needs a `memtierdconfig`; `ebbtide explain` shows what it has"
    with asking.daemon(common, workload, hint=hint) as ends:
        answer: dict[str, Any] = ends.accessed(workload, limits)
        return answer
