"""`ebbtide heatmap WORKLOAD`: which of its memory was used when, and its working set over time."""

import argparse
from pathlib import Path
from typing import Any

from reconciler.cli import asking, options, published, render, select
from reconciler.cli.failure import Exit, Failure
from reconciler.files import write_atomically

FORMS = ("svg", "png", "html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("workload", metavar="WORKLOAD", help="namespace/pod/container, or an id")
    files = parser.add_mutually_exclusive_group()
    for form in FORMS:
        files.add_argument(f"--{form}", metavar="FILE", help=f"a picture as {form.upper()} instead (needs matplotlib)")
    parser.epilog = "The last hour in steps of 15 s; the daemon keeps it in memory, so it begins with the daemon."


def run(args: argparse.Namespace) -> int:
    common = options.of(args, (*options.USUAL, "yaml"))
    found = ask(common, args.workload)
    file = next(((form, name) for form in FORMS if (name := getattr(args, form))), None)
    if common.json:
        render.show_document(found, common.output)
    elif file:
        _write(*file, found)
    else:
        from reconciler.cli import heat_lines  # numpy is heavy

        page = render.page(color=common.color, legend=common.legend)
        render.show([page.paint(found["name"], render.BOLD), *heat_lines.lines(found, page)])
    return Exit.FINE


def ask(common: options.Options, word: str) -> dict[str, Any]:
    """The document of schema/heatmap.schema.json."""
    standing = published.read(common)
    names = {row.id: row.name for row in standing.report.workloads}
    workload = select.one(names, word)
    with asking.daemon(common, "heatmap", hint="ask again in a quarter of a minute") as ends:
        return {"version": 1, "workload": workload, "name": names[workload], **ends.heatmap(workload)}


def _write(form: str, file: str, found: dict[str, Any]) -> None:
    from reconciler.cli import pictures

    try:
        data = pictures.of_workload(found, form)
    except ImportError as error:
        raise Failure(f"--{form}", f"needs matplotlib: {error}", hint=pictures.INSTALL) from error
    except ValueError as error:
        raise Failure(found["name"], str(error), hint="ask again in a quarter of a minute") from error
    write_atomically(Path(file), data, mode=0o644)
