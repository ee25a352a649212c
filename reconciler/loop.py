"""The loop: look, plan, act, tell. Level-triggered: a wake-up is permission to look, never a thing to believe.

Wake-ups within 200 ms count as one (never waiting longer than 1 s); without any, it looks every 30 s. Nothing slow runs
in here: scanning and moving belong to the engine's threads. The single guard around a cycle is in `run`.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler import backoff
from reconciler.actions import Outcome

DEBOUNCE_SECONDS = 0.2
CEILING_SECONDS = 1.0
RESYNC_SECONDS = 30.0
REFRESH_SECONDS = 5.0

log = logging.getLogger("ebbtide.loop")
Clock = Callable[[], float]


@dataclass(slots=True)
class Doorbell:
    """Collects wake-ups from any thread; only their reasons are kept, for the log and the status."""

    _condition: threading.Condition = field(default_factory=threading.Condition)
    _reasons: dict[str, None] = field(default_factory=dict)

    def ring(self, reason: str) -> None:
        with self._condition:
            self._reasons[reason] = None
            self._condition.notify_all()

    def wait(self, seconds: float) -> bool:
        """Until it has been rung, or the time is over; True if it has. A ring before the call counts."""
        with self._condition:
            return self._condition.wait_for(lambda: bool(self._reasons), max(seconds, 0.0))

    def wait_for_another(self, seconds: float) -> bool:
        """Until it rings once more."""
        with self._condition:
            return self._condition.wait(max(seconds, 0.0))

    def answer(self) -> str:
        """The reasons since the last answer, as text."""
        with self._condition:
            reasons, self._reasons = self._reasons, {}
        return ", ".join(reasons)


@dataclass(slots=True, kw_only=True)
class Loop:
    """Runs `cycle(reason)` whenever there is a reason to; `cycle` returns when it wants to be called again, or None."""

    cycle: Callable[[str], float | None]
    clock: Clock
    idle_seconds: float = RESYNC_SECONDS
    alive: Callable[[], None] = lambda: None  # a sign of life after each completed cycle
    failed: Callable[[], None] = lambda: None  # after a cycle with a bug
    refresh: Callable[[], None] = lambda: None  # figures move while nothing else does
    refresh_seconds: float = REFRESH_SECONDS
    doorbell: Doorbell = field(default_factory=Doorbell)
    stop: bool = False

    def wake(self, reason: str) -> None:
        self.doorbell.ring(reason)

    def finish(self) -> None:
        """Leave after the current cycle; may be called from a signal handler's thread."""
        self.stop = True
        self.doorbell.ring("stop")

    def run(self) -> None:
        reason = "start"
        while not self.stop:
            deadline = self._guarded(reason)
            self._rest(deadline)
            reason = self.doorbell.answer() or "resync"

    def _guarded(self, reason: str) -> float | None:
        """One cycle; a bug in it is logged and the loop goes on, but systemd's watchdog hears nothing of it."""
        try:
            deadline = self.cycle(reason)
        except Exception:
            log.exception("event=cycle-failed reason=%s", reason)
            self.failed()
            return self.clock() + CEILING_SECONDS
        self.alive()
        return deadline

    def _rest(self, deadline: float | None) -> None:
        end = self.clock() + self.idle_seconds
        end = end if deadline is None else min(end, deadline)
        while not self.stop:
            if self.doorbell.wait(min(end - self.clock(), self.refresh_seconds)):
                self._debounce()
                return
            if self.clock() >= end:
                return
            self.refresh()

    def _debounce(self) -> None:
        """After the first ring wait for the others of the same burst."""
        ceiling = self.clock() + CEILING_SECONDS
        while not self.stop and self.clock() < ceiling:
            if not self.doorbell.wait_for_another(min(DEBOUNCE_SECONDS, ceiling - self.clock())):
                return


def next_look(retries_deadline: float | None, outcomes: tuple[Outcome, ...], now: float) -> float | None:
    """When to look again without being woken: after changes soon (their effect is verified), else at the next retry."""
    deadlines = [retries_deadline] if retries_deadline is not None else []
    if outcomes:
        deadlines.append(now + backoff.FIRST_SECONDS)
    return min(deadlines, default=None)
