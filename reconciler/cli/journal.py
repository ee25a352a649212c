"""`ebbtide journal [WORKLOAD...]`: what was done, with what was before and after."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reconciler import journal
from reconciler.cli import options, published, render, select
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.render import GREEN, RED, YELLOW, Column
from reconciler.quantities import human_bytes

COLUMNS = (
    Column(title="TIME"),
    Column(title="WORKLOAD", shrinks=True),
    Column(title="ACTION"),
    Column(title="WHAT"),
    Column(title="BEFORE", right=True),
    Column(title="AFTER", right=True),
    Column(title="RESULT", colors={"done": GREEN, "refused": RED, "rejected": RED, "busy": YELLOW}),
    Column(title="WHY", shrinks=True),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help="only these; without it, all")
    parser.add_argument("-n", "--lines", type=int, default=50, metavar="N", help="the last N entries (50); 0 = all")


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    try:
        entries = list(journal.read(Path(common.state_dir)))
    except PermissionError as error:
        raise Failure("journal", f"{error.filename}: permission denied", hint="try as root") from error
    names = {str(entry.get("workload", "")): "" for entry in entries} | names_of(common)
    ids = frozenset(select.all_of({key: name or key for key, name in names.items()}, args.workloads))
    chosen = list(journal.matching(entries, ids if args.workloads else frozenset()))
    chosen = chosen[-args.lines :] if args.lines else chosen
    if common.json:
        render.show_document({"version": 1, "entries": chosen})
    else:
        render.show(table(common, chosen, names))
    return Exit.FINE


def names_of(common: options.Options) -> dict[str, str]:
    """What people call the workloads of the last report; without one their ids have to do."""
    try:
        return {row.id: row.name for row in published.read(common).report.workloads}
    except Failure:
        return {}


def table(common: options.Options, entries: Sequence[Mapping[str, Any]], names: Mapping[str, str]) -> list[str]:
    page = render.page(color=common.color, legend=common.legend)
    if not entries:
        return ["nothing was done yet"]
    return render.table(page, COLUMNS, [row(entry, names) for entry in entries])


def row(entry: Mapping[str, Any], names: Mapping[str, str]) -> list[str]:
    key = str(entry.get("workload", ""))
    values = [entry.get("before", ""), entry.get("after", "")]
    before, after = (human_bytes(value) if isinstance(value, int) else str(value) for value in values)
    why = str(entry.get("message") or entry.get("reason") or ("somebody else's value" if entry.get("foreign") else ""))
    moment = str(entry.get("time", "")).partition(".")[0].replace("T", " ")
    words = [str(entry.get(word, "")) for word in ("action", "what")]
    return [moment, names.get(key) or key, *words, before, after, str(entry.get("result", "")), why]
