"""Waiting for what other threads and processes do: generous, and never what is judged."""

import threading
import time
from collections.abc import Callable

LONG = 60.0  # seconds


def eventually(condition: Callable[[], bool], seconds: float = LONG) -> bool:
    """Whether it became true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        threading.Event().wait(0.02)
    return True
