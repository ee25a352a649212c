"""Several forecasters in a row: each is given the last forecast that there was, the first one the heats themselves."""

from collections.abc import Sequence

from reconciler.engine.forecasters.forecaster import Forecaster
from reconciler.engine.heatmap import Heats


class Chain:
    def __init__(self, forecasters: Sequence[Forecaster]) -> None:
        self._forecasters = tuple(forecasters)

    @property
    def note(self) -> str:
        return "; ".join(filter(None, (each.note for each in self._forecasters)))

    def forecast(self, heats: Heats) -> Heats | None:
        last: Heats | None = None
        for each in self._forecasters:
            answer = each.forecast(heats if last is None else last)
            last = last if answer is None else answer
        return last

    def dump(self, words: tuple[str, ...]) -> str:
        lines = [f"chain of {len(self._forecasters)}:", *(each.dump(words) for each in self._forecasters)]
        return "\n".join(lines)

    def close(self) -> None:
        for each in self._forecasters:
            each.close()
