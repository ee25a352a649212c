"""`ebbtide complete`, for the shells: one word a line, quickly, and silence where nothing is known."""

import argparse
import json
from pathlib import Path

from reconciler.cli import options, render
from reconciler.cli.failure import Exit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("workloads", "classes"), help="whose names")


def run(args: argparse.Namespace) -> int:
    render.show(words(Path(options.of(args).run_dir), args.what))
    return Exit.FINE


def words(run_dir: Path, what: str) -> list[str]:
    """From the daemon's last report: a shell that waits for the kernel at every TAB would be no help."""
    try:
        rows = json.loads((run_dir / "status.json").read_text())["workloads"]
        found = {row["name" if what == "workloads" else "class_name"] for row in rows}
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return sorted(filter(None, found))
