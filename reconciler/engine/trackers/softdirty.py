"""Written pages by the soft-dirty bit (Documentation/admin-guide/mm/soft-dirty.rst): page-exact, blind for reads.

The bit stays with a page in swap. A write between our look and the clearing that follows at once is lost, which is
why the age policy wants two looks.
"""

from reconciler.engine import regions
from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.trackers.tracker import Accessed
from sysfs import clear_refs
from sysfs.pagemap import IS_SOFT_DIRTY
from sysfs.tree import Tree


class SoftDirty:
    note = "tracker softdirty does not see reads: memory that is only read counts as idle"

    def __init__(self, tree: Tree, surveyor: Surveyor) -> None:
        self._tree, self._surveyor = tree, surveyor

    def begin(self, known: Process) -> None:
        clear_refs.clear(self._tree, known.pid, clear_refs.SOFT_DIRTY)

    def look(self, known: Process) -> Accessed:
        runs = self._surveyor.runs(known, lambda opened, start, end: opened.scan(start, end, dirty=True))
        clear_refs.clear(self._tree, known.pid, clear_refs.SOFT_DIRTY)
        written = runs.having(IS_SOFT_DIRTY)
        result: Accessed = regions.count(written.start, written.end, known.regions, self._surveyor.page_size) > 0
        return result

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is open."""
