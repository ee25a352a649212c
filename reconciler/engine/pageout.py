"""Pages leave memory: anonymous ones for swap, file pages for their file; and nothing is believed that was not seen.

Pages are advised, then looked at: anonymous pages must have become swap entries, file pages must have left the page
cache. What stayed is advised once more (pages rest in per-CPU batches for a moment); what stays then is left to a later
turn.
"""

from collections.abc import Iterator

import numpy as np

from reconciler.engine.figures import Figures
from reconciler.engine.site import Batch, Mask, Site
from sysfs import pagemap, residency
from sysfs.errors import KernelError
from sysfs.maps import Kind, Maps

ATTEMPTS = 2


class PageOut:
    def __init__(self, site: Site, figures: Figures) -> None:
        self._site, self._figures = site, figures

    def choose(self, batch: Batch) -> None:
        batch.wanted = self._site.movable(batch)

    def perform(self, batches: list[Batch]) -> int:
        """Ask for what can leave, look, and ask once more for what stayed; returns bytes advised."""
        advised = 0
        for _ in range(ATTEMPTS):
            start, end = self._site.runs(batches)
            if not len(start):
                break
            advised = max(advised, self._site.target.page_out(start, end))
            for batch in batches:
                self._verify(batch)
        if advised:
            left = sum(int(batch.moved.sum()) for batch in batches) * self._site.page_size
            self._figures.paged_out(advised, left)
        return advised

    def _verify(self, batch: Batch) -> None:
        after = self._site.again(batch)
        was_file = (batch.entries & pagemap.FILE) != 0
        unmapped = batch.wanted & was_file & ((after & pagemap.PRESENT) == 0)
        if unmapped.any():
            unmapped &= ~self._resident(batch.start, len(batch.entries))
        batch.moved = (batch.wanted & ~was_file & ((after & pagemap.SWAPPED) != 0)) | unmapped

    def _resident(self, start: int, pages: int) -> Mask:
        """Which pages of the address range are still in the page cache; unknown means they are."""
        site, result = self._site, np.ones(pages, np.bool_)
        end = start + pages * site.page_size
        for low, high, offset, at in _file_parts(site.mapped, start, end):
            first = (max(start, low) - start) // site.page_size
            size = min(end, high) - max(start, low)
            try:
                found = residency.resident(site.doors.tree, site.pid, (low, high), offset + at, size)
            except KernelError:
                continue
            result[first : first + len(found)] = found
        return result


def _file_parts(mapped: Maps, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """File mappings that overlap, as (start, end, file offset of start, bytes from start to the overlap)."""
    first = int(np.searchsorted(mapped.end, start, side="right"))
    last = int(np.searchsorted(mapped.start, end, side="left"))
    for i in range(first, last):
        if mapped.kind[i] == Kind.FILE:
            low = int(mapped.start[i])
            yield low, int(mapped.end[i]), int(mapped.offset[i]), max(start - low, 0)
