"""`ebbtide resume`: undo `pause`, and manage again what `release` gave back."""

import argparse

from reconciler import released, state
from reconciler.cli import daemon_link, options, render, select
from reconciler.cli.failure import Exit, Failure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help="only manage these released ones again; without it, everything: the pause ends, and no release stands",
    )


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    try:
        names = _end_releases(common, args.workloads)
        if not args.workloads:
            state.unpause(common.run_dir)
    except PermissionError as error:
        raise Failure("resume", str(error), hint="try as root", code=Exit.PRIVILEGE) from error
    running = daemon_link.report(common) is not None
    if running:
        daemon_link.wake(common, "resume")
    if common.json:
        managed = [{"id": workload, "name": name} for workload, name in names.items()]
        render.show_document({"version": 1, "resumed": not args.workloads, "managed": managed, "daemon": running})
    else:
        render.show(["; ".join(_said([*names.values()], everything=not args.workloads, running=running))])
    return Exit.FINE


def _end_releases(common: options.Options, words: list[str]) -> dict[str, str]:
    """Remove the marks that the words mean; what is managed again: names by id."""
    marks = released.read(common.state_dir)
    if words and released.ALL in marks:
        why = "every workload was released, one cannot be taken out of that"
        raise Failure("resume", why, hint="`ebbtide resume` takes all back; then release the others by name")
    report = daemon_link.report(common)
    known = {workload.id: workload.name for workload in report.workloads} if report else {}
    names = {workload: known.get(workload, workload) for workload in sorted(marks)}
    chosen = select.all_of(names, words)
    for workload in chosen:
        released.unmark(common.state_dir, workload)
    return {workload: names[workload] for workload in chosen}


def _said(names: list[str], *, everything: bool, running: bool) -> list[str]:
    result = ["resumed"] if everything else []
    if names:
        shown = ["everything" if name == released.ALL else name for name in names]
        result.append(f"managed again: {', '.join(shown)}")
    return result if running else [*result, "the daemon is not running"]
