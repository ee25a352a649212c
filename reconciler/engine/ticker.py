"""A repeated deadline that neither drifts nor runs twice to make up for a delay."""

from dataclasses import dataclass


@dataclass(slots=True)
class Ticker:
    interval: float  # seconds
    due: float

    def take(self, now: float) -> bool:
        """Whether it is time; if so, the next time is one interval after this one was due."""
        if now < self.due:
            return False
        self.due += self.interval
        if self.due <= now:
            self.due = now + self.interval
        return True
