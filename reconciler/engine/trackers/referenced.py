"""Accessed bits by clear_refs and smaps: works on every kernel, sees reads and writes, knows whole mappings only.

A mapping in which one page was used counts as used completely. So this takes idle mappings (a file, an arena, a
language runtime's generation), never the idle part of a busy heap: it errs on the side of leaving memory alone.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.processes import Process
from reconciler.engine.regions import Regions
from reconciler.engine.trackers.tracker import Means, Seen, counts, nothing
from reconciler.report import AgeBin
from sysfs import clear_refs, smaps


class Referenced:
    note = "tracker referenced sees whole mappings: one page in use keeps its mapping"

    def __init__(self, means: Means) -> None:
        self._tree, self._page_size = means.tree, means.surveyor.page_size

    def roster(self, known: Mapping[int, Process]) -> None:
        """Everybody is looked at alone."""

    def begin(self, known: Process) -> None:
        clear_refs.clear(self._tree, known.pid, clear_refs.REFERENCED)

    def look(self, known: Process) -> Seen:
        seen = smaps.referenced(self._tree, known.pid)
        clear_refs.clear(self._tree, known.pid, clear_refs.REFERENCED)
        used = _accessed(seen, known.regions, self._page_size)
        return Seen(accesses=counts(used), writes=nothing(len(used)))

    def finish(self) -> None:
        """Nothing is left to do."""

    def amounts(self) -> tuple[AgeBin, ...]:
        return ()

    def close(self) -> None:
        """Nothing is open."""


def _accessed(seen: smaps.Referenced, mine: Regions, page_size: int) -> NDArray[np.bool_]:
    """Regions that overlap a mapping in use. What is not mapped (any more) proves nothing: it counts as accessed."""
    used = seen.size > 0
    touched = regions.count(seen.start[used], seen.end[used], mine, page_size) > 0
    result: NDArray[np.bool_] = touched | (regions.count(seen.start, seen.end, mine, page_size) < mine["pages"])
    return result
