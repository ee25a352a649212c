"""What this kernel and these privileges allow, found by trying on ourselves (sysfs/trial.py) and by reading.

Other processes, and kdamonds that are not ours, are never touched. All differences between kernel versions end here:
other code asks `features.works(NAME)`. A tree that is not the running system (captured, or made by a test) is judged by
its files; a capture brings what was seen where it was made.
"""

import json
import mmap
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict

from reconciler.model import Feature, Features
from sysfs import boot, cgroup, damon_probe, numa, pressure, swap, trial
from sysfs.damon_probe import Ours
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

RECORDED = "/.ebbtide/features.json"  # in a captured tree
LRU_GEN, LRU_GEN_DEBUG = "/sys/kernel/mm/lru_gen/enabled", "/sys/kernel/debug/lru_gen"
_TRIES = 3  # a trial that fails is repeated at later looks, then believed

HINTS: Mapping[str, str] = {
    "cgroup2": "boot with systemd.unified_cgroup_hierarchy=1 (and without cgroup_disable=memory)",
    "swap": "add swap, for example zram: modprobe zram; zramctl -f -s 2G; mkswap and swapon /dev/zram0",
    "psi": "boot with psi=1",
    "pagemap": "run as root with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
    "pagemap-pfn": "run with CAP_SYS_ADMIN",
    "pagemap-scan": "Linux 6.7 or later; without it pagemap is read instead, which is slower",
    "idle-page": "needs a kernel built with CONFIG_IDLE_PAGE_TRACKING=y (Debian's are not), and CAP_SYS_ADMIN",
    "soft-dirty": "needs a kernel built with CONFIG_MEM_SOFT_DIRTY=y",
    "referenced": "needs a kernel built with CONFIG_PROC_PAGE_MONITOR=y",
    "process-madvise": "Linux 5.10 or later, and run with CAP_SYS_NICE and CAP_SYS_PTRACE",
    "mincore": "run with CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE",
    "cachestat": "Linux 6.5 or later",
    **damon_probe.HINTS,
    "mglru": "echo y > /sys/kernel/mm/lru_gen/enabled; mount -t debugfs none /sys/kernel/debug",
    "numa": "this machine has one memory node",
    "memory.reclaim": "Linux 5.19 or later with cgroup v2",
    "zswap": "echo Y > /sys/module/zswap/parameters/enabled (needs CONFIG_ZSWAP=y), with a swap device behind it",
    "zram": "modprobe zram",
}
NOTHING_OURS = Ours()
_tried: dict[str, tuple[Feature, int]] = {}  # of this process: neither kernel nor privileges change while it runs


def features(tree: Tree, ours: Ours = NOTHING_OURS) -> Features:
    """Cheap enough for every half minute: what cannot change is tried once."""
    if not is_live(tree) and tree.exists(RECORDED):
        return _recorded(tree)
    mount = cgroup.mount(tree)
    looks = {**_LOOKS, **damon_probe.looks(live=is_live(tree), ours=ours)}
    found = [_seen(name, lambda look=look: look(tree)) for name, look in looks.items()]  # type: ignore[misc]
    found += [_tried_once(tree, name) if is_live(tree) else _from_files(tree, name) for name in trial.TRIALS]
    knobs = cgroup.knob_names(tree, mount) if mount else frozenset()
    return Features(
        kernel=boot.kernel(tree),
        page_size=mmap.PAGESIZE if is_live(tree) else 4096,
        cgroup_mount=mount,
        knobs=knobs,
        features={feature.name: feature for feature in sorted(found, key=lambda feature: feature.name)},
    )


def is_live(tree: Tree) -> bool:
    """Whether this is the running system's /proc with our process ids: only then are trials and pids meaningful."""
    try:
        return tree.link("/proc/self") == str(os.getpid())
    except KernelError:
        return False


def record(features: Features) -> str:
    """As text for a captured tree."""
    return json.dumps({**asdict(features), "knobs": sorted(features.knobs)}, indent=1)


def _recorded(tree: Tree) -> Features:
    text = json.loads(tree.read(RECORDED))
    found = {name: Feature(**feature) for name, feature in text.pop("features").items()}
    return Features(**{**text, "knobs": frozenset(text["knobs"]), "features": found})


def _seen(name: str, look: Callable[[], str]) -> Feature:
    try:
        return Feature(name=name, works=True, detail=look())
    except KernelError as error:
        return Feature(name=name, works=False, detail=_said(error), hint=HINTS[name])


def _said(error: KernelError) -> str:
    """Without Python's "[Errno N]" and quotes: path, colon, the kernel's words."""
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _tried_once(tree: Tree, name: str) -> Feature:
    feature, tries = _tried.get(name, (None, 0))
    if feature is None or (not feature.works and tries < _TRIES):
        feature = _seen(name, lambda: trial.TRIALS[name](tree))
        _tried[name] = (feature, tries + 1)
    return feature


def _from_files(tree: Tree, name: str) -> Feature:
    """Without trying: what files show, and said so."""
    path = _EVIDENCE.get(name, "")
    shown = bool(path) and tree.exists(path)
    if name == "soft-dirty":  # the kernel shows the VMA flag only if it was built with the feature
        shown = shown and any(line.startswith("VmFlags:") and " sd" in line for line in tree.read(path).splitlines())
    detail = f"judged by {path} alone, not tried" if path else "cannot be told from files"
    return Feature(name=name, works=shown, detail=detail, hint="" if shown else HINTS[name])


_EVIDENCE = {
    "pagemap": "/proc/self/pagemap",
    "pagemap-pfn": "/proc/self/pagemap",
    "idle-page": trial.BITMAP,
    "soft-dirty": "/proc/self/smaps",
    "referenced": "/proc/self/smaps",
}


def _cgroup2(tree: Tree) -> str:
    mount = cgroup.mount(tree)
    if not mount:
        raise trial.Failed("no cgroup v2 mount with a memory controller")
    return f"mounted at {mount}"


def _swap(tree: Tree) -> str:
    space = swap.read(tree)
    if not space.total_bytes:
        raise trial.Failed("/proc/swaps lists no swap: anonymous memory cannot be paged out")
    names = ", ".join(f"{device.name} {device.size_bytes >> 20} MiB" for device in space.devices)
    return f"{names}; {space.free_bytes >> 20} MiB free"


def _psi(tree: Tree) -> str:
    return f"stalled for {pressure.read(tree).some_us} us since boot"


def _mglru(tree: Tree) -> str:
    enabled = tree.read(LRU_GEN).strip()
    if not int(enabled, 16) & 1:
        raise trial.Failed(f"{LRU_GEN}: {enabled}, that is off")
    tree.open(LRU_GEN_DEBUG, write=True).close()
    return f"on ({enabled}), {LRU_GEN_DEBUG} opens for writing"


def _numa(tree: Tree) -> str:
    nodes = [node for node in numa.nodes(tree) if node.has_memory]
    if len(nodes) < 2:
        raise trial.Failed("fewer than two nodes with memory")
    return ", ".join(f"node {node.number}{'' if node.has_cpu else ' (no CPU)'}" for node in nodes)


def _memory_reclaim(tree: Tree) -> str:
    mount = cgroup.mount(tree)
    if not mount or not tree.exists(mount + "/memory.reclaim"):
        raise trial.Failed("no memory.reclaim in the cgroup v2 tree")
    return f"{mount}/memory.reclaim is there"


def _zswap(tree: Tree) -> str:
    path = "/sys/module/zswap/parameters/enabled"
    if tree.read(path).strip() not in {"Y", "1"}:
        raise trial.Failed(f"{path}: off")
    return "on"


def _zram(tree: Tree) -> str:
    devices = [name for name in tree.list("/sys/block") if name.startswith("zram")]
    if not devices:
        raise Gone(2, "no zram device", "/sys/block")
    return ", ".join(devices)


_LOOKS: Mapping[str, Callable[[Tree], str]] = {
    "cgroup2": _cgroup2,
    "swap": _swap,
    "psi": _psi,
    "mglru": _mglru,
    "numa": _numa,
    "memory.reclaim": _memory_reclaim,
    "zswap": _zswap,
    "zram": _zram,
}
