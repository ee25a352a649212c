"""Accessed pages by the kernel's idle page bitmap: page-exact, reads and writes, needs CONFIG_IDLE_PAGE_TRACKING.

A page is marked idle once and asked in every look; only pages that were accessed are marked again, at the end of the
round. So an access between asking and marking is never lost for a page that was idle, and a page that several
processes of the workload share is seen as accessed by each of them.

So a mark that stands in a look stood since the look before, and those pages can be listed: unless that was a moment
ago, as a process's first look may follow its marking, and a look that was put off is followed by the next.
"""

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.processes import Process
from reconciler.engine.trackers.tracker import Means, Seen, limited, nothing
from reconciler.model import Identity
from reconciler.report import AgeBin
from sysfs import pagemap
from sysfs.errors import Refused
from sysfs.page_idle import PageIdle, Pages
from sysfs.pagemap import Pagemap

# 32 MiB of frame numbers. Beyond, marks are set early: a page that another process of the workload shares may then look
# idle there in this round, which matters little, because shared pages are not paged out.
_MOST_REMEMBERED = 4 << 20
_MOST_OF_IT = 0.9  # of an interval is a whole one: threads are never quite on time


class IdlePage:
    note = ""

    def __init__(self, means: Means) -> None:
        self._tree, self._page_size = means.tree, means.surveyor.page_size
        self._idle = PageIdle(means.tree, means.surveyor.page_size)
        self._again: list[Pages] = []
        self._most, self._lists = means.config.max_count_per_region, means.lists_idle
        self._whole_s = _MOST_OF_IT * means.config.scan_interval_ms / 1000
        self._clock, self._marked = means.clock, dict[Identity, float]()

    def roster(self, known: Mapping[int, Process]) -> None:
        """Everybody is looked at alone."""
        identities = {each.identity for each in known.values()}
        self._marked = {who: when for who, when in self._marked.items() if who in identities}

    def begin(self, known: Process) -> None:
        self._marked[known.identity] = self._clock()
        for _, frames in self._frames(known):
            self._idle.mark_heads(frames)

    def look(self, known: Process) -> Seen:
        now = self._clock()
        pages, used, idle = np.zeros(len(known.regions), np.int64), list[Pages](), _Runs(self._page_size)
        for addresses, frames in self._frames(known):
            found, heads = self._idle.accessed(frames)
            if self._lists:
                idle.add(addresses[~found])
            owners = np.searchsorted(known.regions["start"], addresses[found], side="right") - 1
            first = np.append(True, (heads[1:] != heads[:-1]) | (owners[1:] != owners[:-1]))[: len(heads)]
            pages += np.bincount(owners[first], minlength=len(pages))  # a huge page counts once in a region
            used.append(np.unique(heads))
            if sum(len(some) for some in used) > _MOST_REMEMBERED:
                self._idle.mark(np.concatenate(used))
                used = []
        self._remember(used)  # only now: what a look has seen that failed later is seen again by the next
        listed = idle.all() if self._lists and now - self._marked.get(known.identity, now) >= self._whole_s else None
        self._marked[known.identity] = now
        return Seen(accesses=limited(pages, self._most), writes=nothing(len(pages)), idle=listed)

    def _remember(self, used: list[Pages]) -> None:
        self._again += used
        if sum(len(some) for some in self._again) > _MOST_REMEMBERED:
            self.finish()

    def finish(self) -> None:
        again, self._again = self._again, []
        if again:
            self._idle.mark(np.concatenate(again))

    def amounts(self) -> tuple[AgeBin, ...]:
        return ()

    def close(self) -> None:
        self._idle.__exit__(None, None, None)

    def _frames(self, known: Process) -> Iterator[tuple[NDArray[np.uint64], Pages]]:
        """Addresses and page frames of what is present, a piece at a time."""
        with Pagemap(self._tree, known.pid, self._page_size) as opened:
            for start, end in regions.spans(known.regions, self._page_size):
                for at, entries in opened.chunks(start, end):
                    index = np.flatnonzero(entries & pagemap.PRESENT)
                    frames = entries[index] & pagemap.PFN
                    if len(frames) and not frames.any():
                        raise Refused(None, "hides page frame numbers: CAP_SYS_ADMIN is needed", opened.path)
                    yield np.uint64(at) + index.astype(np.uint64) * np.uint64(self._page_size), frames


class _Runs:
    """Ranges of neighbouring pages, collected in the order of their addresses."""

    def __init__(self, page_size: int) -> None:
        self._size = np.uint64(page_size)
        self._starts, self._ends = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]

    def add(self, pages: NDArray[np.uint64]) -> None:
        if len(pages):
            edge = np.flatnonzero(np.diff(pages) != self._size)
            self._starts.append(pages[np.append(0, edge + 1)])
            self._ends.append(pages[np.append(edge, len(pages) - 1)] + self._size)

    def all(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        return np.concatenate(self._starts), np.concatenate(self._ends)
