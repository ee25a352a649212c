"""`ebbtide prompt`: memtierd's prompt on the running daemon.

The daemon answers, pipes run here. What classes give cannot be changed from here; what a class would undo at once is
said.
"""

import argparse
import os
import secrets
import sys
from typing import TYPE_CHECKING

from reconciler.cli import options, published, select
from reconciler.cli.failure import Exit, Failure

if TYPE_CHECKING:
    from reconciler.cli.options import Options
    from reconciler.cli.talk import Run, Talk
    from reconciler.control.client import Client
    from reconciler.memtierd.console import Answer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without -c commands are read from standard input. Exit status: 1 if a command of -c or of a pipe failed."
    )
    add = parser.add_argument
    add("-w", "--workload", metavar="WORKLOAD", help="whose policy, tracker and mover; the only one if there is one")
    add("-c", "--commands", metavar="STRING", help="run these commands, and end")
    add("--echo", action="store_true", help="print each command before its answer")


def run(args: argparse.Namespace) -> int:
    from reconciler.cli.talk import Talk
    from reconciler.control import client  # gRPC is heavy

    common = options.of(args)
    workload = _workload(common, args.workload)
    with client.Client(common.socket, timeout=120.0) as ends:
        talking = Talk(_asking(ends, workload))
        _talk(args, talking)
    return Exit.FOUND if talking.failed else Exit.FINE


def _talk(args: argparse.Namespace, talking: "Talk") -> None:
    from reconciler.cli import talk

    if args.commands is not None:
        talking.read(args.commands.splitlines(), echo=args.echo)
    elif talk.at_terminal(sys.stdin):
        talking.listen(talk.history_file(dict(os.environ)))
    else:
        talking.read(iter(sys.stdin.readline, ""), prompt=True, echo=args.echo)


def _workload(common: "Options", word: str | None) -> str:
    """The id of the one that is meant; without a word the only one that is tracked, or "" for none."""
    standing = published.read(common)
    if standing.stale:
        raise Failure("the daemon", standing.stale, hint=published.START_HINT, code=Exit.STOPPED)
    rows = standing.report.workloads
    if word is not None:
        return select.one({row.id: row.name for row in rows}, word)
    tracked = [row.id for row in rows if row.engine is not None]
    return tracked[0] if len(tracked) == 1 else ""


def _asking(ends: "Client", workload: str) -> "Run":
    """A function that has the daemon answer lines; what was selected stays for this prompt."""
    from reconciler.control import client
    from reconciler.memtierd.console import Answer

    person = secrets.token_hex(16)

    def ask(line: str) -> "Answer":
        try:
            return published.load(Answer, ends.prompt(workload, person, line))
        except client.Unknown as error:
            raise Failure(workload or "prompt", str(error), code=Exit.UNKNOWN) from error
        except client.Wrong as error:
            raise Failure("prompt", str(error), code=Exit.USAGE) from error
        except client.Forbidden as error:
            raise Failure("the daemon", str(error), hint="try as root", code=Exit.PRIVILEGE) from error
        except client.Unavailable as error:
            raise Failure("the daemon", str(error), hint=published.START_HINT, code=Exit.STOPPED) from error

    return ask
