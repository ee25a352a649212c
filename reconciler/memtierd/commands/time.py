"""`time`: the time, stopwatches, and waiting."""

from collections.abc import Iterator

from reconciler.memtierd.commands.command import Again, Command, Wrong, no_words
from reconciler.memtierd.desk import Desk, Waiting
from reconciler.memtierd.flags import Flag, Given

_LONGEST_S = 366 * 86400.0
_LOST_S = 10.0  # a line that does not come again for so long was given up


def run(given: Given, desk: Desk) -> Iterator[str]:
    no_words(given)
    now = desk.host.time()
    if desk.waiting is not None and desk.waiting.given == given and desk.waiting.until > now - _LOST_S:
        _wait(desk, desk.waiting)
        return
    if "now" in given:
        yield f"{now:.6f}"
    for name in given.parts("start"):
        desk.stopwatches[name] = now
        yield f'stopwatch "{name}" started {now:.6f}'
    for name in given.parts("elapsed"):
        yield f"{now - _started(desk, name):.6f}"
    for name in given.parts("stop"):
        yield f'stopwatch "{name}" stopped at {now - _started(desk, name):.6f}'
        del desk.stopwatches[name]
    if "sleep" in given:
        _wait(desk, Waiting(given=given, until=now + _seconds(given.text("sleep"))))


def _wait(desk: Desk, waiting: Waiting) -> None:
    """Where nobody may be kept waiting for long, the same line comes again until it is time."""
    left = max(waiting.until - desk.host.time(), 0.0)
    desk.host.sleep(min(left, desk.host.patience))
    desk.waiting = waiting if left > desk.host.patience else None
    if desk.waiting is not None:
        raise Again


def _started(desk: Desk, name: str) -> float:
    if name not in desk.stopwatches:
        raise Wrong(f'stopwatch "{name}" is not started')
    return desk.stopwatches[name]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _LONGEST_S:
        raise Wrong(f"-sleep: {text!r} is no number of seconds")
    return seconds


COMMAND = Command(
    name="time",
    summary="print the time, run stopwatches, wait",
    run=run,
    flags=(
        Flag(name="now", text="print the time: seconds since 1970"),
        Flag(name="start", value="NAME[,NAME...]", text="start stopwatches, or start them again"),
        Flag(name="elapsed", value="NAME[,NAME...]", text="print how many seconds ago they were started"),
        Flag(name="stop", value="NAME[,NAME...]", text="print that, and stop them"),
        Flag(name="sleep", value="SECONDS", text="wait"),
    ),
)
