"""All that touches a disk, in a thread of its own, so that no slow disk delays an answer to the runtime.

What is to be written waits as one sum of changes, in which the latest word on each container wins: there is no queue
that could run full. After each writing, and every second, the thread looks at classes and marks anew. Who needs them
fresh may wait for that, but only a moment; and nobody waits for a disk that has made somebody wait in vain.
"""

import functools
import logging
import threading
from collections.abc import Callable
from typing import Self

from nri.changes import Changes
from reconciler import logfmt
from sysfs.errors import KernelError

log = logging.getLogger("ebbtide.nri")

LOOK_SECONDS = 0.3  # of the runtime's two
REFRESH_SECONDS = 1.0
CLOSE_SECONDS = 5.0


class Guard:
    """Does what may fail; one log line for each new failure."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said = ""

    def attempt(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001  whatever it is: the plugin must go on
            self._say(error)
        else:
            self._said = ""

    def _say(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self._said:
            ours = not isinstance(error, OSError | KernelError)  # a bug, then; else a trace says no more
            log.error(logfmt.line(f"event={self._name}-failed", error=text), exc_info=ours)
        self._said = text


class Background:
    def __init__(self, perform: Callable[[Changes], None], refresh: Callable[[], None]) -> None:
        self._perform, self._refresh = perform, refresh
        self._guards = Guard("writing"), Guard("look")
        self._turn = threading.Condition()
        self._waiting = Changes()
        self._asked = self._seen = 0  # looks
        self._late = self._closing = False
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Write what is left, unless the disk hangs."""
        with self._turn:
            self._closing = True
            self._turn.notify_all()
        self._thread.join(CLOSE_SECONDS)

    def submit(self, changes: Changes) -> None:
        with self._turn:
            self._waiting = self._waiting.then(changes)
            self._turn.notify_all()

    def catch_up(self, seconds: float = LOOK_SECONDS) -> None:
        """Wait until everything so far is written and looked at; not for long, and not twice for one that hangs."""
        with self._turn:
            if self._late:
                return
            self._asked = asked = self._asked + 1
            self._turn.notify_all()
            self._late = not self._turn.wait_for(lambda: self._seen >= asked, seconds)
            if self._late:
                log.warning(logfmt.line("event=slow-disk", waited=f"{seconds}s", using="what was read before"))

    def _run(self) -> None:
        last = False
        while not last:
            changes, asked, last = self._next()
            self._guards[0].attempt(functools.partial(self._perform, changes))
            self._guards[1].attempt(self._refresh)
            with self._turn:
                self._seen, self._late = asked, False
                self._turn.notify_all()

    def _next(self) -> tuple[Changes, int, bool]:
        with self._turn:
            self._turn.wait_for(self._due, REFRESH_SECONDS)
            changes, self._waiting = self._waiting, Changes()
            return changes, self._asked, self._closing

    def _due(self) -> bool:
        return self._closing or self._asked > self._seen or self._waiting != Changes()
