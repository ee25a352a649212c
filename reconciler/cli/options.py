"""The options that every verb has, before or after its name."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reconciler.cli.failure import Exit, Failure

STATE_DIR = "/var/lib/ebbtide"
RUN_DIR = "/run/ebbtide"
OUTPUTS = ("table", "wide", "json", "yaml", "name")
USUAL = ("table", "json")  # what every verb has


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The common options as one value; a verb's own are in its namespace."""

    root: str = "/"
    config_dirs: tuple[str, ...] = ()  # empty: the default drop-in directories
    state_dir: str = STATE_DIR
    run_dir: str = RUN_DIR
    output: str = "table"
    color: bool | None = None  # None: on a terminal only
    legend: bool = True

    @property
    def status_file(self) -> str:
        return f"{self.run_dir}/status.json"

    @property
    def socket(self) -> str:
        return f"{self.run_dir}/control.sock"

    @property
    def pause_flag(self) -> str:
        return f"{self.run_dir}/paused"

    @property
    def json(self) -> bool:
        """For programs, in whichever notation."""
        return self.output in {"json", "yaml"}

    @property
    def wide(self) -> bool:
        return self.output == "wide"


def of(args: argparse.Namespace, outputs: Sequence[str] = USUAL) -> Options:
    """The verb's options; a Failure for an output that it does not have."""
    if args.output not in outputs:
        known = ", ".join(outputs)
        raise Failure(f"-o {args.output}", f"is not there for this verb; there are {known}", code=Exit.USAGE)
    return Options(
        root=args.root,
        config_dirs=tuple(args.config_dir or ()),
        state_dir=args.state_dir.rstrip("/") or "/",
        run_dir=args.run_dir.rstrip("/") or "/",
        output=args.output,
        color=args.color,
        legend=args.legend,
    )


def add(parser: argparse.ArgumentParser, *, defaults: bool) -> None:
    """Add the options; the copies behind the verb have no defaults, or they would undo what was said before it."""

    def default(value: Any) -> Any:
        return value if defaults else argparse.SUPPRESS

    group = parser.add_argument_group("common options")
    text, switch = group.add_argument, argparse.BooleanOptionalAction
    text("--root", metavar="DIR", default=default("/"), help="where /proc and /sys are, or a captured tree (/)")
    text(
        "--config-dir", metavar="DIR", action="append", default=default(None), help="class files; repeat, highest first"
    )
    text("--state-dir", metavar="DIR", default=default(STATE_DIR), help=f"records, baseline ({STATE_DIR})")
    text("--run-dir", metavar="DIR", default=default(RUN_DIR), help=f"status.json, control.sock ({RUN_DIR})")
    text(
        "-o",
        "--output",
        choices=OUTPUTS,
        default=default("table"),
        help="for people or programs; all verbs: table, json",
    )
    text("--color", action=switch, default=default(None), help="colours; otherwise on a terminal without NO_COLOR")
    text("--legend", action=switch, default=default(value=True), help="headings of tables, and what to do next")
