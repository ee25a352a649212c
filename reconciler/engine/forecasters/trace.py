"""The forecaster that only writes heats down, as tables that are appended to a file.

    table: heat forecast NANOSECONDS pid addr size heat created updated
    PID ADDRESS(hexadecimal) BYTES HEAT CREATED UPDATED

Each round is a table. The file is opened anew for it, so it may be moved away at any time; at MOST_BYTES it is full,
and that is said.
"""

import os
from collections.abc import Iterator

from reconciler import documents, files
from reconciler.engine.forecasters.forecaster import Means
from reconciler.engine.heatmap import Heats
from reconciler.engineconfig import ForecasterConfig

MOST_BYTES = 1 << 30
_ZERO = 1e-9  # what is less would be written as 0


class Trace:
    def __init__(self, config: ForecasterConfig, means: Means, most_bytes: int = MOST_BYTES) -> None:
        self._config, self._means, self._most = config, means, most_bytes
        self.note = ""

    def forecast(self, heats: Heats) -> Heats | None:
        try:
            self.note = self._append(heats)
        except OSError as error:
            self.note = f"forecaster trace: cannot write {self._config.file}: {error.strerror}"
        except ValueError as error:  # a name that no file can have
            self.note = f"forecaster trace: cannot write {documents.shorten(self._config.file)}: {error}"
        return None

    def _append(self, heats: Heats) -> str:
        with open(files.open_to_append(self._config.file), "a", encoding="ascii") as file:
            if (size := os.fstat(file.fileno()).st_size) >= self._most:
                return (
                    f"forecaster trace: {self._config.file} has {size >> 20} MiB, no more is written: move it away, "
                    "the next round begins a new one"
                )
            file.writelines(self._lines(heats))
        return ""

    def _lines(self, heats: Heats) -> Iterator[str]:
        yield f"table: heat forecast {self._means.wall_clock()} pid addr size heat created updated\n"
        for pid, ranges in heats.items():
            for start, pages, heat, created, updated in ranges.tolist():
                if heat >= _ZERO or not self._config.hide_heat_zero:
                    yield f"{pid} {start:x} {pages * self._means.page_size} {heat:.9f} {created} {updated}\n"

    def dump(self, words: tuple[str, ...]) -> str:
        del words
        return f"trace: writes {self._config.file}" + (f" ({self.note})" if self.note else "")

    def close(self) -> None:
        """Nothing is open."""
