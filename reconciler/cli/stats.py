"""`ebbtide stats [WORKLOAD]`: what the daemon's loops did to each process, the prompt's `stats`."""

import argparse

from reconciler.cli import asking, options, published, render, select
from reconciler.cli.failure import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", nargs="?", metavar="WORKLOAD", help="only this one; without it, all together")


def run(args: argparse.Namespace) -> int:
    common = options.of(args, (*options.USUAL, "yaml"))
    names = {row.id: row.name for row in published.read(common).report.workloads}
    workload = select.one(names, args.workload) if args.workload else ""
    hint = "its class needs a `memtierdconfig`; `ebbtide explain` shows what it has"
    with asking.daemon(common, "stats", hint=hint) as ends:
        found = ends.stats(workload)
    text = found.pop("text")
    if common.json:
        document = {"version": 1, "workload": workload, "name": names.get(workload, ""), **found}
        render.show_document(document, common.output)
    else:
        render.show(text.splitlines())
    return Exit.FINE
