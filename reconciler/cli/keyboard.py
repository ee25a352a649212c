"""Single keys from a terminal, for a verb that shows something live: no Enter, no echo, and as it was afterwards."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Pressed = Callable[[float], str]
"""The next key within so many seconds, "" if there was none."""


@contextmanager
def keys() -> Iterator[Pressed]:
    """Of standard input; where that is no terminal nobody presses anything, and time passes all the same."""
    if not sys.stdin.isatty():
        yield _rest
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)  # Ctrl-C still is a signal
        yield lambda seconds: _next(descriptor, seconds)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _next(descriptor: int, seconds: float) -> str:
    ready, _, _ = select.select([descriptor], [], [], max(seconds, 0.0))
    return os.read(descriptor, 1).decode("ascii", "replace") if ready else ""


def _rest(seconds: float) -> str:
    time.sleep(max(seconds, 0.0))
    return ""
