"""`ebbtide right-size WORKLOAD`: a request and a limit that fit what it was seen to need, and what speaks for them."""

import argparse
from dataclasses import asdict
from typing import Any

from reconciler.cli import histories, options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.render import Page
from reconciler.quantities import human_bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", metavar="WORKLOAD", help="namespace/pod/container, or an id")


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    found = document(histories.read(common, args.workload))
    if common.json:
        render.show_document(found)
    else:
        render.show(lines(found, render.page(color=common.color, legend=common.legend)))
    return Exit.FINE


def document(answer: dict[str, Any]) -> dict[str, Any]:
    """The document of schema/right-size.schema.json."""
    from reconciler.agent import coldness  # numpy is heavy

    try:
        found = coldness.right_size(coldness.rows(answer["columns"]))
    except ValueError as error:
        raise Failure(answer["name"], str(error), hint="ask again later") from error
    names = {key: answer[key] for key in ("workload", "name", "ages_from")}
    return {"version": 1, **names, **asdict(found)}


def lines(found: dict[str, Any], page: Page) -> list[str]:
    seen = found["evidence"]
    request, limit = human_bytes(found["request_bytes"]), human_bytes(found["limit_bytes"])
    sizes = {key: human_bytes(seen[key]) for key in ("need_p50", "need_p95", "need_max", "usage_max", "fixed_max")}
    facts = [
        f"  request  {request:>8}  needed were {sizes['need_p50']} half of the time, {sizes['need_p95']} 95 % of it",
        f"  limit    {limit:>8}  needed were {sizes['need_max']} at most; {sizes['fixed_max']} could not leave",
        f"  seen for {seen['hours']:g} h; in use were up to {sizes['usage_max']}",
        f"  at the footprint {seen['footprint_percent']:g} % of the time{_stall(seen)}",
        f"  {human_bytes(seen['refaults_per_minute'])} came back a minute",
    ]
    notes = [page.paint(f"note: {note}", render.YELLOW) for note in seen["notes"]]
    return [page.paint(found["name"], render.BOLD), *facts, *notes]


def _stall(seen: dict[str, Any]) -> str:
    if seen["memory_percent_mean"] is None:
        return ""
    mean, most = seen["memory_percent_mean"], seen["memory_percent_max"]
    return f", and there tasks waited for memory {mean:.2f} % of it ({most:.2f} % in the worst minute)"
