"""A tracker that says where, and MGLRU beside it that says how much: DAMON, where the kernel has both.

DAMON's regions cannot show hot pages that are scattered more finely than they are; the amounts do.
"""

from collections.abc import Mapping

from reconciler.engine.processes import Process
from reconciler.engine.trackers.mglru import Mglru
from reconciler.engine.trackers.tracker import Means, Seen, Tracker
from reconciler.report import AgeBin
from sysfs.errors import KernelError


class Beside:
    def __init__(self, tracker: Tracker, means: Means) -> None:
        self._tracker, self._trouble = tracker, ""
        self._amounts: Mglru | None = None
        try:
            self._amounts = Mglru(means)
        except KernelError as error:
            self._lose(error)

    @property
    def note(self) -> str:
        return "; ".join(filter(None, (self._tracker.note, self._trouble)))

    def roster(self, known: Mapping[int, Process]) -> None:
        self._tracker.roster(known)

    def begin(self, known: Process) -> None:
        self._tracker.begin(known)

    def look(self, known: Process) -> Seen:
        return self._tracker.look(known)

    def finish(self) -> None:
        self._tracker.finish()
        if self._amounts is not None:
            try:
                self._amounts.finish()
            except KernelError as error:  # the other one goes on
                self._lose(error)

    def amounts(self) -> tuple[AgeBin, ...]:
        return self._amounts.amounts() if self._amounts is not None else ()

    def close(self) -> None:
        self._tracker.close()

    def _lose(self, error: KernelError) -> None:
        self._amounts, self._trouble = None, f"amounts by age cannot be read: {error}"
