"""A token bucket that may go into debt: the average rate holds whatever the size of a single piece.

It starts empty and never holds more than `burst`, so that a rest earns no storm.
"""

import threading
from collections.abc import Callable


class Bucket:
    def __init__(self, rate: float, burst: float, clock: Callable[[], float]) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._level, self._at = 0.0, clock()
        self._lock = threading.Lock()  # one budget is shared by all workers

    def set_rate(self, rate: float, burst: float) -> None:
        with self._lock:
            self._refill()
            self._rate, self._burst = rate, burst

    def level(self) -> float:
        with self._lock:
            self._refill()
            return self._level

    def spend(self, amount: float) -> None:
        with self._lock:
            self._refill()
            self._level -= amount

    def empty(self) -> None:
        """What was saved up is lost; a debt stays."""
        with self._lock:
            self._refill()
            self._level = min(self._level, 0.0)

    def wait(self, level: float = 0.0) -> float:
        """Seconds until it holds this much; infinite for a rate of 0."""
        missing = level - self.level()
        if missing <= 0:
            return 0.0
        return missing / self._rate if self._rate > 0 else float("inf")

    def _refill(self) -> None:
        now = self._clock()
        self._level = min(self._level + max(now - self._at, 0) * self._rate, self._burst)
        self._at = now
