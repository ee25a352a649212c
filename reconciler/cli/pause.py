"""`ebbtide pause`: the daemon goes on looking and changes nothing, until `ebbtide resume` or a reboot."""

import argparse
import os

from reconciler import state
from reconciler.cli import daemon_link, options, render
from reconciler.cli.failure import Exit, Failure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "What is set stays set. A flag file in the run directory keeps it so across restarts of the daemon."


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    flag(common)
    running = daemon_link.report(common) is not None
    if running:
        daemon_link.wake(common, "pause")
        if daemon_link.wait(common, lambda report: report.state == "paused") is None:
            raise Failure("pause", "the daemon has not said that it paused", hint="see `ebbtide status` and its log")
    if common.json:
        render.show_document({"version": 1, "paused": True, "daemon": running})
    else:
        absent = "; the daemon is not running, and will change nothing when it starts"
        render.show([f"paused{'' if running else absent}"])
    return Exit.FINE


def flag(common: options.Options) -> None:
    try:
        os.makedirs(common.run_dir, mode=0o755, exist_ok=True)
        state.pause(common.run_dir)
    except PermissionError as error:
        raise Failure(common.pause_flag, "permission denied", hint="try as root", code=Exit.PRIVILEGE) from error
