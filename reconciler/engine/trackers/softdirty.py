"""Written pages by the soft-dirty bit (Documentation/admin-guide/mm/soft-dirty.rst): page-exact, blind for reads.

The bit stays with a page in swap. A write between our look and the clearing that follows at once is lost, which is
why the age policy wants two looks.
"""

from collections.abc import Mapping

from reconciler.engine import regions
from reconciler.engine.processes import Process
from reconciler.engine.trackers.tracker import Means, Seen, limited, nothing
from reconciler.report import AgeBin
from sysfs import clear_refs
from sysfs.pagemap import IS_HUGE, IS_SOFT_DIRTY, Runs


class SoftDirty:
    note = "tracker softdirty does not see reads: memory that is only read counts as idle"

    def __init__(self, means: Means) -> None:
        self._tree, self._surveyor = means.tree, means.surveyor
        self._most = means.config.max_count_per_region

    def roster(self, known: Mapping[int, Process]) -> None:
        """Everybody is looked at alone."""

    def begin(self, known: Process) -> None:
        clear_refs.clear(self._tree, known.pid, clear_refs.SOFT_DIRTY)

    def look(self, known: Process) -> Seen:
        runs = self._surveyor.runs(known, lambda opened, start, end: opened.scan(start, end, dirty=True))
        clear_refs.clear(self._tree, known.pid, clear_refs.SOFT_DIRTY)
        pages = self._count(known, runs.having(IS_SOFT_DIRTY, IS_HUGE))
        huge = self._count(known, runs.having(IS_SOFT_DIRTY | IS_HUGE))
        pages += -(-huge // (self._surveyor.page_size // 8))  # a huge page has one bit, and counts once
        return Seen(accesses=nothing(len(pages)), writes=limited(pages, self._most))

    def _count(self, known: Process, runs: Runs) -> regions.Counts:
        return regions.count(runs.start, runs.end, known.regions, self._surveyor.page_size)

    def finish(self) -> None:
        """Nothing is left to do."""

    def amounts(self) -> tuple[AgeBin, ...]:
        return ()

    def close(self) -> None:
        """Nothing is open."""
