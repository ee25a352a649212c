"""Pages come back from swap before somebody waits for them.

MADV_WILLNEED reads them in the background, many at a time, but leaves them to the swap cache: a page is the process's
again when it is touched. So after the advice each page is read once through /proc/PID/mem, and then pagemap is asked.
"""

from contextlib import suppress

from reconciler.engine.figures import Figures
from reconciler.engine.site import Batch, Site
from sysfs import pagemap
from sysfs.errors import Rejected, Unsupported
from sysfs.maps import Kind


class SwapIn:
    def __init__(self, site: Site, figures: Figures) -> None:
        self._site, self._figures = site, figures

    def choose(self, batch: Batch) -> None:
        batch.wanted = ((batch.entries & pagemap.SWAPPED) != 0) & (batch.kind == Kind.ANON)

    def perform(self, batches: list[Batch]) -> int:
        """Returns the bytes that came."""
        start, end = self._site.runs(batches)
        if not len(start):
            return 0
        with suppress(Unsupported, Rejected):  # it only makes the reading faster
            self._site.target.bring_back(start, end)
        doors = self._site.doors
        with doors.memory(doors.tree, self._site.pid, doors.page_size) as memory:
            for low, high in zip(start.tolist(), end.tolist(), strict=True):
                memory.touch(low, high)
        for batch in batches:
            batch.moved = batch.wanted & ((self._site.again(batch) & pagemap.PRESENT) != 0)
        came = sum(int(batch.moved.sum()) for batch in batches) * self._site.page_size
        self._figures.brought_back(int((end - start).sum()), came)
        return came
