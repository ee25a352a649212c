"""`ebbtide events`: what changed, from the daemon's memory of the latest transitions; with --follow as it comes."""

import argparse
import json
from collections.abc import Mapping
from typing import Any

from reconciler.cli import asking, options, published, render, select
from reconciler.cli.failure import Exit, Failure

PAST = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("workloads", nargs="*", metavar="WORKLOAD", help="only these; without it, all, and what concerns the node")
    add("-f", "--follow", action="store_true", help="go on as they come, until Ctrl-C or the daemon's end")
    add("-n", "--lines", type=int, metavar="N", help=f"how many of the past ({PAST}; with --follow 0)")
    parser.epilog = "With -o json each line is a document of its own."


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    past = (0 if args.follow else PAST) if args.lines is None else args.lines
    if past < 0:
        raise Failure("--lines", "must not be negative", code=Exit.USAGE)
    chosen = _chosen(common, args.workloads)
    with asking.daemon(common, "events") as ends:
        for one in ends.watch(past, follow=args.follow):
            if chosen is None or one["workload"] in chosen:
                _show(common, one)
    return Exit.FINE


def _chosen(common: options.Options, words: list[str]) -> set[str] | None:
    if not words:
        return None
    rows = published.read(common).report.workloads
    return set(select.all_of({row.id: row.name for row in rows}, words))


def _show(common: options.Options, one: Mapping[str, Any]) -> None:
    render.show([json.dumps({"version": 1, **one}) if common.json else line(one)])


def line(one: Mapping[str, Any]) -> str:
    """TIME KIND WHO BEFORE -> AFTER: TEXT, without what there is not."""
    change = " -> ".join(filter(None, [one["before"], one["after"]]))
    words = [one["time"], one["kind"], one["name"] or one["workload"], change]
    return ": ".join(filter(None, [" ".join(filter(None, words)), one["text"]]))
