"""Finds all memory and treats it alike: every region gets the same number of accesses, if its pages have certain bits.

Without accesses to report everything looks idle from the start; with the ratio policy that pages out a whole workload.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.processes import Process
from reconciler.engine.trackers.tracker import Means, Seen, nothing
from reconciler.engineconfig import FinderConfig
from reconciler.report import AgeBin
from sysfs import pagemap
from sysfs.pagemap import Pagemap


class Finder:
    note = "tracker finder looks at no accesses: all memory is reported alike"

    def __init__(self, means: Means) -> None:
        self._tree, self._page_size, self._config = means.tree, means.surveyor.page_size, means.config.finder
        self._set, self._clear = _bits(self._config)

    def roster(self, known: Mapping[int, Process]) -> None:
        """Everybody is looked at alone."""

    def begin(self, known: Process) -> None:
        """There is nothing to remember."""

    def look(self, known: Process) -> Seen:
        number = np.full(len(known.regions), self._config.accesses, np.uint32)
        if self._set | self._clear:
            number[~self._matching(known)] = 0
        return Seen(accesses=number, writes=nothing(len(number)))

    def finish(self) -> None:
        """Nothing is left to do."""

    def amounts(self) -> tuple[AgeBin, ...]:
        return ()

    def close(self) -> None:
        """Nothing is open."""

    def _matching(self, known: Process) -> NDArray[np.bool_]:
        """Regions with at least one page whose bits are as asked."""
        result = np.zeros(len(known.regions), np.bool_)
        with Pagemap(self._tree, known.pid, self._page_size) as opened:
            for start, end in regions.spans(known.regions, self._page_size):
                for at, entries in opened.chunks(start, end):
                    found = np.flatnonzero((entries & (self._set | self._clear)) == self._set)
                    addresses = np.uint64(at) + found.astype(np.uint64) * np.uint64(self._page_size)
                    result[np.searchsorted(known.regions["start"], addresses, side="right") - 1] = True
        return result


def _bits(config: FinderConfig) -> tuple[np.uint64, np.uint64]:
    """Bits of a pagemap entry that must be set, and that must not."""
    wanted, unwanted = 0, 0
    for asked, bit in (
        (config.present, pagemap.PRESENT),
        (config.exclusive, pagemap.EXCLUSIVE),
        (config.soft_dirty, pagemap.SOFT_DIRTY),
    ):
        wanted |= int(bit) if asked else 0
        unwanted |= int(bit) if asked is False else 0
    return np.uint64(wanted), np.uint64(unwanted)
