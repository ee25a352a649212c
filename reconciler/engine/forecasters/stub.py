"""The forecaster that has no opinion."""

from reconciler.engine.heatmap import Heats


class Stub:
    note = ""

    def forecast(self, heats: Heats) -> Heats | None:
        del heats
        return None

    def dump(self, words: tuple[str, ...]) -> str:
        del words
        return "stub: no forecast"

    def close(self) -> None:
        """Nothing was started."""
