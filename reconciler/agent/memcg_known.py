"""The cgroups that the memcg part knows, one by one and node by node: who they are and what was done with them.

A cgroup is its path, the kernel's number for it and its directory's inode: whoever comes back with others is new.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from reconciler.agent.memcg_rules import Reason, counted
from reconciler.agent.pressure import Meter
from reconciler.report import EvictionReport
from sysfs.errors import KernelError
from sysfs.mglru import Lruvec
from sysfs.tree import Tree

Key = tuple[str, int]  # path, node


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where all of it happens."""

    tree: Tree
    mount: str  # of cgroup v2
    page_size: int
    clock: Callable[[], float]

    def directory(self, path: str) -> str:
        return self.mount + path.rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """An eviction that may have taken too much: `taken_bytes`, and how much had come back until its end."""

    taken_bytes: int
    refaulted_bytes: int


@dataclass(slots=True, kw_only=True)
class Known:
    """Written by the thread that runs passes alone; each value is replaced as a whole, so anybody may read."""

    lruvec: Lruvec
    inode: int
    meter: Meter  # of the time between its passes
    read_at: float  # when `lruvec` was
    new: bool = True  # until its first pass has ended
    served: float = 0.0  # when a pass was last done with it; those that waited longest come first
    run_aging_count: int = 0
    sleep_psi_exceeds_limit: int = 0
    eviction: EvictionReport = field(default_factory=EvictionReport)
    bytes: int = 0
    would_bytes: int = 0
    reason: str = ""
    regret: Regret | None = None

    @property
    def key(self) -> Key:
        return self.lruvec.path, self.lruvec.node

    def saw(self, lruvec: Lruvec, now: float) -> None:
        self.lruvec, self.read_at = lruvec, now

    def youngest_ms(self, now: float) -> int:
        """The age of its youngest generation by now."""
        return self.lruvec.generations[-1].age_ms + int(1000 * (now - self.read_at))

    def ended(self, reason: Reason, words: str, pages: int = 0) -> None:
        """An eviction, or what would have been one."""
        self.reason = f"{reason}: {words}"
        self.eviction = counted(self.eviction, reason, pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Who was there when we looked."""

    known: Mapping[Key, Known] = field(default_factory=dict)
    offline: int = 0


def refreshed(before: Sight, found: Iterable[Lruvec], ground: Ground) -> Sight:
    """Offline cgroups are left out: those whose directory is gone, whose number is 0, or that have a successor."""
    inodes: dict[str, int | None] = {}
    live: dict[Key, Lruvec] = {}
    offline = 0
    for each in found:
        key = each.path, each.node
        inode = inodes[each.path] if each.path in inodes else inodes.setdefault(each.path, _inode(ground, each.path))
        if inode is None or (each.memcg == 0 and each.path != "/") or (key in live and live[key].memcg == inode):
            offline += 1
            continue
        offline += key in live  # the kernel lists cgroups in the order in which they were made: the later one lives
        live[key] = each
    now = ground.clock()
    return Sight(
        known={
            key: _continued(before.known.get(key), each, inodes[each.path] or 0, ground, now)
            for key, each in live.items()
        },
        offline=offline,
    )


def _inode(ground: Ground, path: str) -> int | None:
    try:
        return ground.tree.inode(ground.directory(path))
    except KernelError:
        return None


def _continued(before: Known | None, found: Lruvec, inode: int, ground: Ground, now: float) -> Known:
    if before is None or (before.inode, before.lruvec.memcg) != (inode, found.memcg):
        meter = Meter(ground.tree, ground.clock, ground.directory(found.path), own=True)
        return Known(lruvec=found, inode=inode, meter=meter, read_at=now)
    before.saw(found, now)
    return before
