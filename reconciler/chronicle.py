"""What is kept of what the daemon does: ledger of savings, journal of actions, figures over time, and the metrics."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from reconciler import books, ledger
from reconciler.actions import Outcome
from reconciler.files import write_atomically
from reconciler.journal import Journal
from reconciler.metrics import Metrics
from reconciler.model import MetricsSettings
from reconciler.report import Report
from reconciler.trends import Trends

TEXTFILE = "ebbtide.prom"
_log = logging.getLogger("ebbtide.chronicle")


class Chronicle:
    def __init__(
        self,
        state_dir: Path,
        run_dir: Path,
        version: str,
        kernel: str,
        wall: Callable[[], float] = time.time,
        stalled: Callable[[Report], Mapping[str, int]] = lambda _: {},
    ) -> None:
        """`stalled`: microseconds in which tasks waited for memory so far, by workload and of the node ("")."""
        self._state_dir, self._run_dir, self._wall = state_dir, run_dir, wall
        self.ledger = books.load(state_dir)
        self.journal = Journal(state_dir)
        self.trends = Trends()
        self._stalled = stalled
        self.metrics = Metrics(version, kernel)
        self._settings = MetricsSettings()
        self._first = True
        self._stored = wall()

    def cycle(self, report: Report, outcomes: Sequence[Outcome], settings: MetricsSettings) -> Report:
        """After a cycle: what was done, and everything that `look` does."""
        self._settings = settings
        self.journal.outcomes(outcomes, report.cycles)
        self.metrics.cycle(report, outcomes, self._wall())
        return self.look(report)

    def look(self, report: Report) -> Report:
        """Between cycles: figures only. Gives the report with what was saved."""
        now, before = self._wall(), self.ledger
        self.ledger = ledger.look(before, report, now, first=self._first)
        self._first = False
        self.journal.moved(before, self.ledger)
        if now - self._stored >= books.EVERY_SECONDS or now < self._stored:
            self.store()
        report = ledger.told(self.ledger, report)
        if self.trends.due(now):
            self.trends.add(report, self._stalled(report), now)
        self.metrics.show(report, self.ledger, self._settings)
        if self._settings.textfile:
            self._write_textfile()
        return report

    def store(self) -> None:
        self._stored = self._wall()
        books.store(self._state_dir, self.ledger)

    def _write_textfile(self) -> None:
        path = self._run_dir / TEXTFILE
        try:
            write_atomically(path, self.metrics.text(), mode=0o644)
        except OSError as error:
            _log.warning("event=metrics-not-written path=%s error=%s", path, error.strerror)
