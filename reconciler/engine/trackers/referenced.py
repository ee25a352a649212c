"""Accessed bits by clear_refs and smaps: works on every kernel, sees reads and writes, knows whole mappings only.

A mapping in which one page was used counts as used completely. So this takes idle mappings (a file, an arena, a
language runtime's generation), never the idle part of a busy heap: it errs on the side of leaving memory alone.
"""

import numpy as np

from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.trackers.tracker import Accessed
from sysfs import clear_refs, smaps
from sysfs.tree import Tree


class Referenced:
    note = "tracker referenced sees whole mappings: one page in use keeps its mapping"

    def __init__(self, tree: Tree, surveyor: Surveyor) -> None:
        self._tree = tree
        del surveyor

    def begin(self, known: Process) -> None:
        clear_refs.clear(self._tree, known.pid, clear_refs.REFERENCED)

    def look(self, known: Process) -> Accessed:
        seen = smaps.referenced(self._tree, known.pid)
        clear_refs.clear(self._tree, known.pid, clear_refs.REFERENCED)
        start = known.regions["start"]
        index = np.searchsorted(seen.start, start, side="right") - 1
        last = np.maximum(index, 0)
        inside = (index >= 0) & (start < seen.end[last]) if len(seen.start) else np.zeros(len(start), np.bool_)
        # A mapping that is gone or new since the regions were cut proves nothing: it counts as accessed.
        result: Accessed = ~inside | (seen.size[last] > 0) if len(seen.start) else ~inside
        return result

    def finish(self) -> None:
        """Nothing is left to do."""

    def close(self) -> None:
        """Nothing is open."""
