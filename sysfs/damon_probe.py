"""What this kernel's DAMON can do, without touching it: kdamonds may be somebody else's.

The files of a kdamond would tell, but making one to look is no look. Each of those files has a function of its name in
the kernel, and the kernel lists its functions (/proc/kallsyms). What that cannot tell, whoever uses DAMON finds out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from sysfs import damon
from sysfs.damon import ADMIN, STAT
from sysfs.damon_trace import PLACES
from sysfs.errors import Unsupported
from sysfs.tree import Tree

_SYMBOLS = "/proc/kallsyms"
KDAMONDS = f"{ADMIN}/nr_kdamonds"
_EVENT = "events/damon/damon_aggregated"
# Feature -> function, what it means.
_SIGNS = {
    "damon-snapshot": (b"damon_target_idx_show", "snapshots of several processes in one kdamond (Linux 6.6)"),
    "damon-migrate": (b"target_nid_show", "moves memory between nodes (Linux 6.11, processes 6.17)"),
    "damon-tune": (b"access_bp_show", "finds its intervals by itself (Linux 6.15)"),
    "damon-young": (b"addr_unit_show", "counts accessed bytes inside the regions of processes (Linux 6.18)"),
}
HINTS: Mapping[str, str] = {
    "damon": "needs a kernel built with CONFIG_DAMON_SYSFS=y, and nobody else who uses DAMON",
    "damon-sysfs": "needs a kernel built with CONFIG_DAMON_SYSFS=y and CONFIG_DAMON_VADDR=y",
    "damon-stat": "Linux 6.17 or later: echo Y > /sys/module/damon_stat/parameters/enabled",
    "damon-snapshot": "Linux 6.6 or later; without it snapshots come from tracefs",
    "damon-migrate": "Linux 6.11 or later",
    "damon-tune": "Linux 6.15 or later",
    "damon-young": "Linux 6.18 or later; without it a region is accessed or not, as a whole",
    "damon-trace": "mount -t tracefs none /sys/kernel/tracing; needs CONFIG_FTRACE=y",
}


class Absent(Unsupported):
    """Says in its own words what is missing."""

    def __init__(self, message: str) -> None:
        super().__init__(message)

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What is so because of Ebbtide, and must not make it change its mind."""

    kdamonds: int = 0  # that it made
    paused_stat: bool = False  # DAMON_STAT runs but for a class that lets us pause it: so it does for all others


def looks(*, live: bool, ours: Ours) -> Mapping[str, Callable[[Tree], str]]:
    """By feature: what was seen, or a KernelError."""
    read = _cached if live else _symbols
    signs = {name: _sign(name, read) for name in _SIGNS}
    return {
        "damon": lambda tree: _damon(tree, ours, read),
        "damon-sysfs": lambda tree: _interface(tree, read),
        "damon-stat": lambda tree: _stat(tree, ours),
        "damon-trace": _trace,
        **signs,
    }


def _sign(name: str, read: Callable[[str], bytes]) -> Callable[[Tree], str]:
    symbol, meaning = _SIGNS[name]

    def look(tree: Tree) -> str:
        tree.read(KDAMONDS)
        names = read(tree.path(_SYMBOLS))
        if not names:
            raise Absent(f"cannot be told before DAMON is used: {_SYMBOLS} cannot be read")
        if b" " + symbol + b"\n" not in names:
            raise Absent(f"this kernel's DAMON is older: no {symbol.decode()} in {_SYMBOLS}")
        return meaning

    return look


def _interface(tree: Tree, read: Callable[[str], bytes]) -> str:
    tree.read(KDAMONDS)
    names = read(tree.path(_SYMBOLS))
    if names and b" damon_va_" not in names:
        raise Absent("DAMON is there, but for physical memory only: this kernel lacks CONFIG_DAMON_VADDR")
    return "the sysfs interface is there"


def _damon(tree: Tree, ours: Ours, read: Callable[[str], bytes]) -> str:
    _interface(tree, read)
    count = int(tree.read(f"{ADMIN}/nr_kdamonds"))
    foreign = [*damon.exclusive(tree), *(["damon_stat, which a class lets us pause"] if ours.paused_stat else [])]
    if count and count != ours.kdamonds:
        foreign.append(f"{count} kdamond{'s' if count > 1 else ''} made through sysfs")
    if foreign:
        raise Absent(f"used by somebody else: {', '.join(foreign)}")
    return "present, we use it" if count else "present, nobody uses it"


def _stat(tree: Tree, ours: Ours) -> str:
    on = tree.read(STAT).strip() == "Y"
    if ours.paused_stat and not on:
        return "paused for a class that lets us (pausedamonstat: true); it runs again at the end"
    if not on:
        raise Absent(f"{STAT}: off")
    return "on: it wants DAMON for itself alone; a class may let us pause it (pausedamonstat: true)"


def _trace(tree: Tree) -> str:
    for place in PLACES:
        if tree.exists(f"{place}/{_EVENT}"):
            return f"{place}/{_EVENT} is there"
    raise Absent(f"no {PLACES[0]}/{_EVENT}")


def _symbols(path: str) -> bytes:
    """The kernel's list of functions, "" if there is none."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


@cache
def _cached(path: str) -> bytes:
    """Of the running kernel, whose functions do not change; only what we ask for is kept of its ten megabytes."""
    wanted = (b" damon", b"damos", *(symbol for symbol, _ in _SIGNS.values()))
    lines = _symbols(path).splitlines()
    return b"".join(b" " + line.split()[2] + b"\n" for line in lines if any(word in line for word in wanted))
