"""What every forecaster does, and what it is given."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from reconciler.engine.heatmap import Heats


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a forecaster may use."""

    page_size: int
    clock: Callable[[], float]  # monotonic seconds
    wall_clock: Callable[[], int]  # nanoseconds since 1970


class Forecaster(Protocol):
    @property
    def note(self) -> str:
        """Why there is no forecast though there should be one, "" if all is well."""

    def forecast(self, heats: Heats) -> Heats | None:
        """What the heats will be; None = no forecast. Never raises, and comes back before its deadline."""

    def dump(self, words: tuple[str, ...]) -> str:
        """The answer to the prompt's `policy -dump forecast WORDS`."""

    def close(self) -> None:
        """End what was started."""
