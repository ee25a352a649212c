"""`ebbtide daemon`: the reconciler, in the foreground."""

import argparse
import grp
import logging
from pathlib import Path

from reconciler import classfiles, logs, state
from reconciler.cli import options
from reconciler.cli.failure import Exit, Failure
from reconciler.gather import Places
from sysfs import allocator, process
from sysfs.tree import Tree


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--once", action="store_true", help="look, act and tell once, then end; for tests and cron")
    parser.add_argument(
        "--control-group", metavar="GROUP", help="whose members may look at control.sock; default: root"
    )
    parser.add_argument("-v", dest="verbose", action="store_true", help="log what is remembered and skipped, too")


def run(args: argparse.Namespace) -> int:
    from reconciler.daemon import Daemon  # numpy and gRPC are not needed to say `daemon --help`

    group = _group(args.control_group)
    process.name_ourselves("ebbtide")
    allocator.return_large_blocks()
    logs.show_stacks()
    logs.start({"": logging.WARNING, "ebbtide": logging.DEBUG if args.verbose else logging.INFO})
    try:
        daemon = Daemon(places(options.of(args)))
    except state.AlreadyRunning as running:
        raise _already_running(args.state_dir, str(running)) from running
    except PermissionError as error:
        message = f"{error.filename}: {error.strerror}"
        raise Failure("daemon", message, hint="run it as root", code=Exit.PRIVILEGE) from error
    if args.once:
        daemon.cycle("once")
        daemon.close()
        return Exit.FINE
    daemon.run(group)
    return Exit.FINE


def _group(word: str | None) -> int | None:
    """By name or number."""
    if word is None:
        return None
    try:
        return int(word) if word.isdecimal() else grp.getgrnam(word).gr_gid
    except KeyError as error:
        raise Failure("--control-group", f"there is no group {word}", code=Exit.USAGE) from error


def places(common: options.Options) -> Places:
    return Places(
        tree=Tree(common.root),
        config_dirs=common.config_dirs or classfiles.DEFAULT_DIRECTORIES,
        state_dir=Path(common.state_dir),
        run_dir=Path(common.run_dir),
    )


def _already_running(state_dir: str, pid: str) -> Failure:
    hint = "two daemons would fight; stop that one, or give this one another --state-dir (for tests only)"
    return Failure("daemon", f"process {pid} already manages {state_dir}", hint=hint)
