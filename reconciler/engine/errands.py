"""How commands of routines run: beside the engine's own threads, which nothing may delay, and never for ever."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import tzinfo

from reconciler import errand


def in_a_thread(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=f"routine-{name}"[:60], daemon=True).start()


@dataclass(frozen=True, slots=True, kw_only=True)
class Errands:
    send: Callable[[str, Callable[[], None]], None] = in_a_thread  # name and work
    limit: float = errand.SECONDS
    most_output: int = errand.MOST_OUTPUT  # bytes of one command
    wall_ns: Callable[[], int] = time.time_ns
    zone: tzinfo | None = None  # None = the machine's own
