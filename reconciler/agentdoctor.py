"""What this node allows the agent: one verdict a part, and what the balloon of a virtual machine asks of compaction."""

from collections.abc import Iterator
from dataclasses import dataclass

from reconciler.model import Features, Problem, Severity
from sysfs import balloon
from sysfs.errors import KernelError
from sysfs.tree import Tree

_PAGE_TYPES, _COMPACT, _SWAPS = "/proc/pagetypeinfo", "/proc/sys/vm/compact_memory", "/proc/swaps"
_PARAMETER = "on the host, give the balloon free-page-reporting (Kata: reclaim_guest_freed_memory = true)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    name: str
    works: bool
    detail: str


def verdicts(tree: Tree, features: Features, *, live: bool) -> Iterator[Verdict]:
    yield _limits(tree, features)
    yield _memcg(features)
    yield _compact(tree, live=live)
    yield _swap(tree, features)
    yield _reclaim(features)
    if (found := balloon.read(tree)) is not None:
        yield _reporting(tree, found)


def problems(tree: Tree) -> Iterator[Problem]:
    found = balloon.read(tree)
    if found is not None and not found.reports:
        said = "the balloon reports no free pages: memory that leaves this machine stays taken on the host"
        yield Problem(where=f"balloon {found.device}", message=said, hint=_PARAMETER, severity=Severity.NOTE)


def _limits(tree: Tree, features: Features) -> Verdict:
    both = all(_reads(tree, f"/proc/pressure/{what}") for what in ("memory", "io"))
    if features.works("psi") and both:
        return Verdict(name="pressure limits", works=True, detail="memory and io stall of the node and of each cgroup")
    said = "no PSI (boot with psi=1): limits count as never exceeded, unless psi: required"
    return Verdict(name="pressure limits", works=False, detail=said)


def _memcg(features: Features) -> Verdict:
    if features.works("mglru"):
        return Verdict(name="memcg", works=True, detail="by MGLRU")
    why = features.features["mglru"].detail if "mglru" in features.features else "no MGLRU"
    if features.works("memory.reclaim"):
        return Verdict(name="memcg", works=True, detail=f"by memory.reclaim, without ages ({why})")
    return Verdict(name="memcg", works=False, detail=f"neither MGLRU ({why}) nor memory.reclaim")


def _compact(tree: Tree, *, live: bool) -> Verdict:
    if not _reads(tree, _PAGE_TYPES):
        return Verdict(name="compact", works=False, detail=f"{_PAGE_TYPES} cannot be read (root only)")
    if live and not tree.exists(_COMPACT):
        return Verdict(name="compact", works=False, detail="the kernel was built without CONFIG_COMPACTION")
    order = balloon.order(tree)
    size = "" if order is None else f"page blocks are of order {order}"
    return Verdict(name="compact", works=True, detail=size)


def _swap(tree: Tree, features: Features) -> Verdict:
    if not tree.exists(_SWAPS):
        return Verdict(name="swap", works=False, detail="the kernel was built without CONFIG_SWAP")
    zram = "files, or zram" if features.works("zram") or tree.exists("/sys/class/zram-control") else "files"
    return Verdict(name="swap", works=True, detail=f"{zram}; files only on ext4, xfs or btrfs")


def _reclaim(features: Features) -> Verdict:
    lacking = [name for name in ("memory.reclaim", "psi") if not features.works(name)]
    return Verdict(
        name="reclaim", works=not lacking, detail=f"missing: {', '.join(lacking)}" if lacking else "by memory.reclaim"
    )


def _reporting(tree: Tree, found: balloon.Balloon) -> Verdict:
    name, order = "free page reporting", balloon.order(tree)
    if not found.reports:
        return Verdict(name=name, works=False, detail=f"{found.device} is a balloon without it")
    if order is None:
        said = "the reported order cannot be read; compact_order: 9 fits 4 KiB pages, 5 fits 64 KiB pages"
        return Verdict(name=name, works=True, detail=said)
    return Verdict(name=name, works=True, detail=f"blocks of order {order}: compact_order: {order} fits")


def _reads(tree: Tree, path: str) -> bool:
    try:
        return bool(tree.read(path))
    except KernelError:
        return False
