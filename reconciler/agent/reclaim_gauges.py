"""What the control law of `reclaim:` is told: one workload's memory, stall, refaults and ages, and the node's swap."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from reconciler import brakes
from reconciler.agent import coldness, generations
from reconciler.agent.coldness import Amounts
from reconciler.agent.generations import Ledger
from reconciler.agent.pressure import Meter, Percent
from reconciler.agent.reclaim_signals import Signals
from reconciler.agentconfig import PsiConfig
from reconciler.engine.accessed import ALL, AccessedTable
from sysfs import cgroup, mglru, reclaim, swap, vmstat
from sysfs.errors import Busy, Gone, KernelError, Rejected, Unsupported
from sysfs.mglru import Lruvec
from sysfs.reclaim import Sample
from sysfs.tree import Tree

MINUTE, MINUTES = 60.0, 300.0

Accessed = Callable[[str, Sequence[float]], AccessedTable]  # LookupError where nothing tracks the workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look: what the law gets, and what it was made of."""

    signals: Signals
    sample: Sample
    percent: Percent


class SwapGauge:
    """What the node writes to swap: an SSD does not ask whose it was. zram writes to memory, and wears nothing out."""

    def __init__(self, tree: Tree, page_size: int) -> None:
        self._tree, self._page_size = tree, page_size
        self._written: deque[tuple[float, int]] = deque()  # when, bytes in all

    def read(self, now: float) -> tuple[swap.Swap, int, int]:
        """The devices, and bytes of the last one and five minutes; of less where we have not looked for so long."""
        total = vmstat.read(self._tree).get("pswpout", 0) * self._page_size
        if not self._written or now >= self._written[-1][0] + 1:
            self._written.append((now, total))
        while len(self._written) > 1 and self._written[1][0] <= now - MINUTES:
            self._written.popleft()
        return swap.read(self._tree), self._since(now - MINUTE, total), self._since(now - MINUTES, total)

    def _since(self, begin: float, total: int) -> int:
        before = max((each for each in self._written if each[0] <= begin), default=self._written[0])
        return max(total - before[1], 0)


def wears(devices: swap.Swap) -> bool:
    return any(not each.name.startswith("/dev/zram") for each in devices.devices)


class Gauge:
    """Of one cgroup; each reading is about the time since the last one. `Gone` when the cgroup is."""

    def __init__(self, tree: Tree, directory: str, page_size: int, clock: Callable[[], float]) -> None:
        self.directory = directory
        self.inode = tree.inode(directory)  # the same path may be another cgroup later
        self.taken = 0  # bytes, by us: for how much of it came back
        self._tree, self._page_size, self._clock = tree, page_size, clock
        self._meter = Meter(tree, clock, directory)
        self._last: tuple[float, Sample] | None = None
        self._back: deque[tuple[float, int]] = deque()
        self._talks: bool | None = None

    def sample(self) -> Sample:
        return reclaim.read(self._tree, self.directory, self._page_size)

    def takes_swappiness(self) -> bool:
        """Whether this kernel's memory.reclaim does; asked once, by asking for nothing. True where nobody may ask."""
        if self._talks is None:
            self._talks = reclaim.takes_swappiness(self._tree, self.directory)
        return self._talks

    def forget_swappiness(self) -> None:
        """It was refused after all."""
        self._talks = False

    def read(self, psi: PsiConfig, node: SwapGauge, *, asking: bool = True) -> Reading:
        """`asking`: whether the kernel may be asked what it takes, which is a write of nothing."""
        if self._tree.inode(self.directory) != self.inode:
            raise Gone(None, "another cgroup has taken its place", self.directory)
        now, sample = self._clock(), self.sample()
        percent, no_psi = self._pressure(psi)
        devices, minute, minutes = node.read(now)
        seconds, refaulted = self._since(now, sample)
        signals = Signals(
            seconds=seconds,
            usage=sample.usage,
            anon=sample.anon,
            file=sample.file,
            dirty=sample.dirty,
            protected=sample.protected,
            high=sample.high,
            no_psi=no_psi,
            memory_percent=percent.memory,
            io_percent=percent.io,
            refaulted=refaulted,
            brake=self._brake(now, sample, percent, devices),
            wears=wears(devices),
            swapped_60=minute,
            swapped_300=minutes,
            swappiness=reclaim.swappiness(self._tree),
            takes_swappiness=self.takes_swappiness() if asking else True,
        )
        return Reading(signals=signals, sample=sample, percent=percent)

    def _since(self, now: float, sample: Sample) -> tuple[float, int]:
        last, self._last = self._last, (now, sample)
        if last is None:
            return 0.0, 0
        refaulted = max(sample.refaulted - last[1].refaulted, 0)
        self._back.append((now, refaulted))
        while self._back[0][0] < now - MINUTE:
            self._back.popleft()
        return now - last[0], refaulted

    def _pressure(self, psi: PsiConfig) -> tuple[Percent, str]:
        try:
            return self._meter.read(psi), ""
        except (Unsupported, Gone, ValueError) as error:
            return Percent(), str(error)

    def _brake(self, now: float, sample: Sample, percent: Percent, devices: swap.Swap) -> brakes.Signals:
        back = sum(size for at, size in self._back if at >= now - MINUTE)
        return brakes.Signals(
            stall_percent=percent.memory,
            out_bytes=max(self.taken - back, 0),
            came_back_bytes=back,
            swap_total_bytes=devices.total_bytes,
            swap_free_bytes=devices.free_bytes,
            swap_limit_bytes=cgroup.limits(self._tree, self.directory).swap_bytes,
            swap_used_bytes=sample.swap,
        )


class Ages:
    """How old memory is, by the kernel's generations where something ages them, else by the workload's tracker."""

    def __init__(self, tree: Tree, page_size: int, clock: Callable[[], float], accessed: Accessed | None) -> None:
        self._tree, self._page_size, self._clock, self._accessed = tree, page_size, clock, accessed
        self._lruvecs: tuple[Lruvec, ...] = ()
        self._looked = 0.0
        self._ledgers: dict[tuple[str, int], Ledger] = {}

    def refresh(self) -> None:
        """Once for all workloads: the file is about every cgroup of the node."""
        try:
            self._lruvecs = mglru.read(self._tree)
        except (KernelError, ValueError):  # no MGLRU, no debugfs, or not ours to read
            self._lruvecs = ()
        self._looked = self._clock()
        there = {(each.path, each.node) for each in self._lruvecs}
        self._ledgers = {key: kept for key, kept in self._ledgers.items() if key in there}

    def age(self, cgroup_path: str, at_least: float) -> None:
        """Make generations that are `at_least` seconds long: nothing is taken by it, and uses become visible."""
        old = [each for each in self._mine(cgroup_path) if each.generations[-1].age_ms >= 1000 * at_least]
        for each in old:
            with suppress(Gone, Rejected, Busy):  # removed meanwhile, or others age it as fast as we read
                mglru.age(self._tree, each)
        if old:
            self.refresh()

    def of(self, workload: str, cgroup_path: str, seconds: float, evicted: int) -> tuple[Amounts | None, str]:
        """And which source it is from; `seconds` since the look with which this one will be compared.

        `evicted`: bytes that have left memory since then.
        """
        found = self._generations(cgroup_path, evicted)
        if found is not None and found.fresh <= seconds:
            return found, "mglru"
        tracked = self._tracked(workload, seconds)
        if tracked is not None:
            return tracked
        return found, "mglru" if found is not None else ""

    def _generations(self, cgroup_path: str, evicted: int) -> Amounts | None:
        mine = self._mine(cgroup_path)
        if not mine:
            return None
        before = {(each.path, each.node): self._ledgers.get((each.path, each.node), Ledger()) for each in mine}
        whole = max(sum(each.total for each in before.values()), 1)
        for each in mine:
            known = before[each.path, each.node]
            found = generations.ledger(_of(each, self._page_size), self._looked)
            share = evicted * known.total // whole  # the kernel tells it for the cgroup only
            self._ledgers[each.path, each.node] = generations.continued(known, found, self._looked, share)
        largest = max(mine, key=lambda each: self._ledgers[each.path, each.node].total)
        ledgers = [self._ledgers[key] for key in before]
        return generations.amounts(ledgers, self._looked, largest.generations[-1].age_ms / 1000)

    def _mine(self, path: str) -> list[Lruvec]:
        return [each for each in self._lruvecs if each.path == path or each.path.startswith(path.rstrip("/") + "/")]

    def _tracked(self, workload: str, seconds: float) -> tuple[Amounts, str] | None:
        if self._accessed is None:
            return None
        try:
            table = self._accessed(workload, coldness.limits(seconds))
        except LookupError:
            return None
        if not table.rows:
            return None
        every = any(row.pid == ALL for row in table.rows)
        pairs = (
            (row.at_least, row.bytes - row.swapped_pages * self._page_size)
            for row in table.rows
            if not every or row.pid == ALL
        )
        return coldness.amounts(pairs), table.tracker


def _of(lruvec: Lruvec, page_size: int) -> list[tuple[int, float, int]]:
    return [
        (each.number, each.age_ms / 1000, (each.anon_pages + each.file_pages) * page_size)
        for each in lruvec.generations
    ]
