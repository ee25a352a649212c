"""`ebbtide what-if WORKLOAD`: for each age, how much memory would leave, and how much of it would be needed again."""

import argparse
from dataclasses import asdict
from typing import Any

from reconciler.cli import histories, options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.render import Column, Page
from reconciler.quantities import human_bytes, percent_of

TARGET = "0.2%"  # Google's: no slowdown that could be observed
COLUMNS = (
    Column(title="UNUSED FOR", right=True),
    Column(title="SAVES", right=True),
    Column(title="COMES BACK/MIN", right=True),
    Column(title="% OF WORKING SET/MIN", right=True),
    Column(title=""),
)
AGES_HINT = "ages come from a tracker, from `memcg:` or from `slo: promotion`; they take two looks, a minute apart"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", metavar="WORKLOAD", help="namespace/pod/container, or an id")
    text = f"of the working set that may come back in a minute ({TARGET})"
    parser.add_argument("--target", metavar="PERCENT", default=TARGET, help=text.replace("%", "%%"))


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    try:
        target = percent_of(args.target)
    except ValueError as error:
        raise Failure("--target", str(error), code=Exit.USAGE) from error
    found = document(histories.read(common, args.workload), target)
    if common.json:
        render.show_document(found)
    else:
        render.show(lines(found, render.page(color=common.color, legend=common.legend)))
    return Exit.FINE


def document(answer: dict[str, Any], target: float) -> dict[str, Any]:
    """The document of schema/what-if.schema.json."""
    from reconciler.agent import coldness  # numpy is heavy

    history = coldness.rows(answer["columns"])
    rows = coldness.what_if(history)
    if not rows:
        raise Failure(answer["name"], "nothing is known of the ages of its memory", hint=AGES_HINT)
    best = coldness.best(rows, target)
    return {
        "version": 1,
        "workload": answer["workload"],
        "name": answer["name"],
        "ages_from": answer["ages_from"],
        "minutes": len(history),
        "working_set_bytes": coldness.typical(history),
        "swap_bytes": int(history["swap"][-1]),
        "target_percent": target,
        "best_threshold_s": best.threshold_s if best else None,
        "rows": [asdict(row) for row in rows],
    }


def lines(found: dict[str, Any], page: Page) -> list[str]:
    rows = [_row(row, found) for row in found["rows"]]
    size, minutes = human_bytes(found["working_set_bytes"]), found["minutes"]
    about = f"{found['name']}: {size} are needed (median of {minutes} min); ages from {found['ages_from'] or 'before'}"
    gone = [f"{human_bytes(found['swap_bytes'])} are in swap already"] if found["swap_bytes"] else []
    return [page.paint(about, render.BOLD), *gone, *render.table(page, COLUMNS, rows)]


def _row(row: dict[str, Any], found: dict[str, Any]) -> list[str]:
    known = row["refaults_per_minute"] is not None
    best = row["threshold_s"] == found["best_threshold_s"]
    return [
        _age(row["threshold_s"]),
        human_bytes(row["saved_bytes"]),
        human_bytes(row["refaults_per_minute"]) if known else "?",
        f"{row['percent_per_minute']:.2f}" if known else "?",
        f"<- saves most within {found['target_percent']:g} %" if best else " ",
    ]


def _age(seconds: float) -> str:
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"
