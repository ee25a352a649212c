"""A plugin that connects by itself: for ever, because the runtime may be restarted at any time."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from nri import mux, session
from reconciler import logfmt

log = logging.getLogger("ebbtide.nri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """How time passes between attempts."""

    sleep: Callable[[float], None]
    random: Callable[[], float]
    tick: Callable[[], None]


def run(open_session: Callable[[], session.Session], waiting: Waiting) -> NoReturn:
    """Serve one connection after the other; only an exception of the caller's (a signal) ends this."""
    attempt, said = 0, ""
    while True:
        good, reason = _one(open_session)
        if good or reason != said:  # one line when something changes, not one for each attempt
            log.warning(logfmt.line("event=disconnected", reason=reason))
        attempt, said = (0 if good else attempt + 1), reason
        _pause(session.delay(attempt, waiting.random()), waiting)


def _one(open_session: Callable[[], session.Session]) -> tuple[bool, str]:
    """Whether the runtime took us in, and why that ended."""
    try:
        current = open_session()
    except OSError as error:
        return False, f"cannot connect: {error.strerror or error}"
    try:
        current.run()
    except (session.Refused, mux.Garbage, OSError) as error:
        return current.good and not isinstance(error, session.Refused), str(error)
    finally:
        current.close()


def _pause(seconds: float, waiting: Waiting) -> None:
    """Wait in short steps: the service manager wants signs of life meanwhile."""
    while seconds > 0:
        waiting.tick()
        waiting.sleep(min(seconds, session.TICK_SECONDS))
        seconds -= session.TICK_SECONDS
