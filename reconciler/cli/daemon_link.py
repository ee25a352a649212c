"""How a verb tells the running daemon to look again, and waits until it has."""

import time
from collections.abc import Callable

from reconciler.cli import published
from reconciler.cli.failure import Failure
from reconciler.cli.options import Options
from reconciler.report import Report

PATIENCE = 10.0  # seconds; a cycle takes milliseconds, its ceiling for waiting is one second


def report(options: Options) -> Report | None:
    """The running daemon's last report; None when no daemon runs."""
    try:
        standing = published.read(options)
    except Failure:
        return None
    return None if standing.stale else standing.report


def wake(options: Options, reason: str) -> None:
    """Ask for a cycle now. Without an answer the daemon still sees changed files, a moment later."""
    from reconciler.control import client

    try:
        with client.Client(options.socket) as ends:
            ends.wake(reason)
    except (client.Unavailable, client.Busy):
        return


def held(options: Options) -> dict[int, str]:
    """Which workload (id) tracks each process; nothing from a daemon that does not answer."""
    from reconciler.control import client

    try:
        with client.Client(options.socket) as ends:
            return ends.held()
    except (client.Unavailable, client.Wrong, client.Unknown, client.Busy):
        return {}


def wait(options: Options, done: Callable[[Report], bool], patience: float = PATIENCE) -> Report | None:
    """The first report that is as wanted; None when none came in time."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        seen = report(options)
        if seen is not None and done(seen):
            return seen
        time.sleep(0.05)
    return None
