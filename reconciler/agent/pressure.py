"""Stall time as a percentage, from the kernel's totals on the monotonic clock (Documentation/accounting/psi.rst).

The kernel's averages move too slowly to stop anything by, so totals are compared. A meter belongs to whoever asks: each
has its own beginning. Its first reading is 0, later ones say how much of the time since then was lost to waiting.
"""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.agentconfig import Combine, PsiConfig
from sysfs import cgroup, pressure
from sysfs.errors import Gone, KernelError, Unsupported
from sysfs.tree import Tree

NODE = "/proc/pressure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stall:
    """Totals in microseconds."""

    memory_us: int = 0
    io_us: int = 0

    def combined(self, how: Combine) -> int:
        return self.memory_us + self.io_us if how is Combine.SUM else max(self.memory_us, self.io_us)

    def since(self, before: "Stall") -> "Stall":
        """Never negative: a cgroup that was made again begins at 0, and shares of children overlap."""
        return Stall(memory_us=max(self.memory_us - before.memory_us, 0), io_us=max(self.io_us - before.io_us, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Percent:
    """Of the time between two readings; memory and io together may pass 100."""

    memory: float = 0.0
    io: float = 0.0
    combined: float = 0.0


def percent(before: Stall, after: Stall, seconds: float, how: Combine) -> Percent:
    """Of stall totals `seconds` apart; 0 where no time has passed."""
    if seconds <= 0:
        return Percent()
    grown, scale = after.since(before), 1e4 * seconds
    return Percent(memory=grown.memory_us / scale, io=grown.io_us / scale, combined=grown.combined(how) / scale)


def read(tree: Tree, directory: str = "", *, full: bool = False, own: bool = False) -> Stall:
    """Totals of a cgroup's directory, "" = the node. `own`: without those of the cgroups right below it.

    The stalls of children overlap, so what is left after subtracting can only be too small. `Gone` without the cgroup,
    `Unsupported` where the kernel accounts no pressure (psi=1 on its command line turns it on).
    """
    stall = _read(tree, directory, full=full)
    for child in _children(tree, directory) if own and directory else ():
        try:
            stall = stall.since(_read(tree, child, full=full))
        except (Gone, Unsupported):  # one that has just ended has left its share in ours
            continue
    return stall


def _read(tree: Tree, directory: str, *, full: bool) -> Stall:
    memory, io = (pressure.read(tree, path) for path in files(directory))
    return Stall(memory_us=memory.full_us if full else memory.some_us, io_us=io.full_us if full else io.some_us)


def files(directory: str = "") -> tuple[str, str]:
    """Where the kernel tells of memory and of io, for a cgroup's directory or the node ("")."""
    if not directory:
        return f"{NODE}/memory", f"{NODE}/io"
    return f"{directory}/memory.pressure", f"{directory}/io.pressure"


def _children(tree: Tree, directory: str) -> list[str]:
    return [f"{directory}/{name}" for name in cgroup.children(tree, directory)]


class Meter:
    """Percentages of one cgroup (or the node) since this meter's last reading."""

    def __init__(self, tree: Tree, clock: Callable[[], float], directory: str = "", *, own: bool = False) -> None:
        self._tree, self._clock, self._directory, self._own = tree, clock, directory, own
        self._last: tuple[float, Stall] | None = None

    def read(self, config: PsiConfig) -> Percent:
        """Since the last reading, which this one replaces. Raises `KernelError`."""
        now, stall = self._clock(), read(self._tree, self._directory, full=config.full, own=self._own)
        last, self._last = self._last, (now, stall)
        return percent(last[1], stall, now - last[0], config.combine) if last else Percent()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a limit says: over it, or unreadable and so as bad where `psi: required`."""

    stop: bool
    reason: str = ""


def judge(meter: Meter, config: PsiConfig, limit: float) -> Verdict:
    """Whether stall since the meter's last reading is above `limit` percent: equal is not above."""
    try:
        found = meter.read(config).combined
    except (KernelError, ValueError) as error:
        said = f"pressure cannot be read: {error}"
        return Verdict(stop=config.required, reason=said)
    if found > limit:
        return Verdict(stop=True, reason=f"pressure: tasks waited {found:.1f} % of the time (limit {limit:g} %)")
    return Verdict(stop=False)
