"""Accessed memory by DAMON: the kernel samples pages of regions that it splits and merges by what it sees.

Cheap for any size of memory, and it says *where* memory is used, not exactly how much: hot pages that lie scattered
between cold ones make whole regions look hot. From Linux 6.18 on the kernel also counts the bytes of each region that
were accessed in its last aggregation interval; a region in which there were none is idle to the last page.

What counts as accessed, because taking it might hurt: what DAMON does not cover (yet); regions that are larger than
`filteraddressrangesizemax`, whose few samples prove nothing; and regions that look idle now, but whose age says that
they were used since the last look.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import kdamond_targets, regions
from reconciler.engine.kdamond import Seen as Looked
from reconciler.engine.kdamonds import Kdamonds, Wish
from reconciler.engine.processes import Process
from reconciler.engine.regions import Addresses, Regions
from reconciler.engine.trackers.tracker import Means, Seen, counts, nothing
from reconciler.model import Identity
from reconciler.report import AgeBin
from sysfs.damon import Snapshot
from sysfs.errors import Busy

# One snapshot shows one aggregation interval, and hot memory may be missed in it: short ones are asked several times.
_VOTES, _LONG_US = 3, 250_000


class Damon:
    def __init__(self, means: Means) -> None:
        config = means.config.damon
        self._page_size, self._clock = means.surveyor.page_size, means.clock
        self._largest = config.range_size_max
        self._pool = means.kdamonds or Kdamonds(means.tree, clock=means.clock)
        self._alone = means.kdamonds is None
        self._member = self._pool.join(
            Wish(
                name=means.workload,
                attributes=kdamond_targets.attributes(config),
                kdamonds=config.kdamonds,
                number=config.nr_kdamonds,
                pause_stat=config.pause_damon_stat,
            )
        )
        self._round: list[Looked] | None = None
        self._looked: dict[Identity, float] = {}
        self._used: dict[Identity, Addresses] = {}  # regions that were ever seen accessed
        self._busy = ""
        self._large: dict[Identity, int] = {}  # bytes that are not believed
        self.note = ""

    def roster(self, known: Mapping[int, Process]) -> None:
        self._member.follow({each.identity: kdamond_targets.spans(each.mapped) for each in known.values()})
        now = {each.identity for each in known.values()}
        self._looked = {key: when for key, when in self._looked.items() if key in now}
        self._used = {key: starts for key, starts in self._used.items() if key in now}

    def begin(self, known: Process) -> None:
        """The next roster tells the kernel."""
        self._used.pop(known.identity, None)
        self._looked[known.identity] = self._clock()

    def look(self, known: Process) -> Seen:
        if self._round is None:
            self._round = self._snapshots()
        key, now = known.identity, self._clock()
        votes = [self._vote(each, known, now) for each in self._round if len(each.snapshots.get(key, ()))]
        self._looked[key] = now
        if not votes:  # nobody knows anything
            return Seen(accesses=counts(np.ones(len(known.regions), bool)), writes=nothing(len(known.regions)))
        accesses = np.maximum.reduce([counted for counted, _ in votes])
        unused = self._unused(known, votes[-1][1], accesses)
        return Seen(accesses=accesses, writes=nothing(len(accesses)), unused=unused)

    def _vote(self, looked: Looked, known: Process, now: float) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """Accesses by one snapshot, and ages in deciseconds."""
        key = known.identity
        seen = Columns(looked.snapshots[key], known.regions, self._page_size)
        large = seen.too_large(self._largest)
        self._large[key] = int(known.regions["present"][large].sum()) * self._page_size
        window = min(now - self._looked.get(key, now), looked.watched_s.get(key, 0.0))
        unsure = seen.partly | large | seen.used_within(window, looked.aggregation_us)
        accesses = np.maximum(seen.accesses(exact=looked.exact), unsure.astype(np.uint32))
        return accesses, seen.age * looked.aggregation_us // 100_000

    def _snapshots(self) -> list[Looked]:
        """Of one round, for all processes. While somebody else keeps DAMON busy, everything counts as accessed."""
        self._busy, self._large = "", {}
        try:
            found = [self._member.look()]
            while len(found) < _VOTES and found[0].aggregation_us <= _LONG_US and not found[0].traced:
                found.append(self._member.look())
        except Busy as error:
            self._busy = str(error)
            return []
        return found

    def _unused(self, known: Process, age: NDArray[np.int64], accesses: NDArray[np.uint32]) -> NDArray[np.uint32]:
        """Deciseconds by DAMON's age, which is about a whole region: not where we have seen an access ourselves.

        Before about Linux 6.10 single accesses to a region that is idle as a rule do not end its age.
        """
        starts = known.regions["start"]
        before = self._used.get(known.identity, starts[:0])
        self._used[known.identity] = np.union1d(before[np.isin(before, starts)], starts[accesses > 0])
        result: NDArray[np.uint32] = np.where(np.isin(starts, self._used[known.identity]), 0, age).astype(np.uint32)
        return result

    def finish(self) -> None:
        looked, self._round = self._round or [], None
        notes = [f"DAMON is busy, so all memory counts as accessed: {self._busy}"] if self._busy else []
        if any(each.traced for each in looked):
            notes.append("DAMON's snapshots come from tracefs, because this kernel is older than 6.6")
        if large := sum(self._large.values()):
            notes.append(
                f"{large >> 20} MiB lie in DAMON regions beyond filteraddressrangesizemax: they count as accessed"
            )
        self.note = "; ".join(notes)

    def amounts(self) -> tuple[AgeBin, ...]:
        return ()

    def close(self) -> None:
        self._member.leave()
        if self._alone:
            self._pool.close()


class Columns:
    """DAMON's regions seen from ours: columns with one row for each of our regions."""

    def __init__(self, found: Snapshot, mine: Regions, page_size: int) -> None:
        self._found, self._mine, self._page_size = found, mine, page_size
        ends = regions.ends(mine, page_size)
        self._first = np.searchsorted(found.end, mine["start"], side="right")
        self._last = np.searchsorted(found.start, ends, side="left")
        covered = regions.count(found.start, found.end, mine, page_size)
        self.partly: NDArray[np.bool_] = covered < mine["pages"]  # nobody knows about the rest
        self.age = self._over(np.minimum, found.age.astype(np.int64))

    def _over(self, operation: np.ufunc, column: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of all regions that overlap ours; 0 where there is none."""
        result = np.zeros(len(self._mine), np.int64)
        rows = np.flatnonzero(self._last > self._first)
        if len(rows):
            edges = np.column_stack((self._first[rows], self._last[rows])).ravel()
            result[rows] = operation.reduceat(np.append(column, column[-1:]), edges)[::2]
        return result

    def accesses(self, *, exact: bool) -> NDArray[np.uint32]:
        """Samples that hit or, where the kernel counts them, pages: a region's accessed bytes may be anywhere in it."""
        samples = self._over(np.maximum, self._found.accesses.astype(np.int64))
        if exact:
            pages = self._over(np.maximum, -(-self._found.passed.astype(np.int64) // self._page_size))
            samples = np.maximum(samples > 0, np.minimum(pages, self._mine["pages"]))
        return samples.astype(np.uint32)

    def too_large(self, largest: int) -> NDArray[np.bool_]:
        sizes = (self._found.end - self._found.start).astype(np.int64)
        result: NDArray[np.bool_] = self._over(np.maximum, sizes) > (
            largest if largest >= 0 else np.iinfo(np.int64).max
        )
        return result

    def used_within(self, seconds: float, aggregation_us: int) -> NDArray[np.bool_]:
        """Whose access pattern changed so lately. One interval of doubt: `seconds` and ages end at different times."""
        result: NDArray[np.bool_] = (self.age + 2) * aggregation_us < seconds * 1e6
        return result
