"""`ebbtide accessed WORKLOAD`: its memory by the time since the last access, in memtierd's table."""

import argparse
from typing import Any

from reconciler.cli import asking, options, published, render, select
from reconciler.cli.failure import Exit, Failure

TIMES = "0,5s,30s,2m,10m,1h,0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", metavar="WORKLOAD", help="namespace/pod/container, or an id")
    parser.add_argument(
        "-t", "--times", default=TIMES, help=f"limits of the rows; a 0 at the end is for ever ({TIMES})"
    )


def run(args: argparse.Namespace) -> int:
    from reconciler.engine import accessed  # numpy is heavy

    common = options.of(args)
    try:
        limits = accessed.limits_of(args.times)
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
        render.show([*table.text().splitlines(), *table.amount_lines()])
    return Exit.FINE


def ask(common: options.Options, workload: str, limits: tuple[float, ...]) -> dict[str, Any]:
    """The daemon's answer; only its tracking loop knows."""
    hint = "its class needs a `memtierdconfig`; `ebbtide explain` shows what it has"
    with asking.daemon(common, workload, hint=hint) as ends:
        answer: dict[str, Any] = ends.accessed(workload, limits)
        return answer
