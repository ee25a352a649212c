"""Pressure stall information, /proc/pressure/memory and CGROUP/memory.pressure (Documentation/accounting/psi.rst)."""

import io
import math
import select
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sysfs import errors
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

NODE = "/proc/pressure/memory"
SHORTEST_WINDOW_US, LONGEST_WINDOW_US = 500_000, 10_000_000  # the lower bound is gone since Linux 6.4
EVERYBODYS_WINDOW_US = 2_000_000  # without CAP_SYS_RESOURCE a window is a multiple of this (6.5; before, there is none)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pressure:
    """Stall time since the start in microseconds; averages move too slowly to control anything with them."""

    some_us: int = 0  # at least one task waited for memory
    full_us: int = 0  # all of them did


def read(tree: Tree, path: str = NODE) -> Pressure:
    """Of the node, or of the memory.pressure file given; `Gone` or `Unsupported` if pressure is not accounted."""
    totals = dict(_totals(tree.read(path)))
    return Pressure(some_us=totals.get("some", 0), full_us=totals.get("full", 0))


def _totals(text: str) -> list[tuple[str, int]]:
    lines = [line.split() for line in text.splitlines()]
    return [(words[0], int(words[-1].removeprefix("total="))) for words in lines if words]


class Trigger:
    """Fires when tasks have waited too long within a window, at most once in each window.

    The kernel looks ten times in a window, and forgets the trigger when this is closed. `total` gives the stall so far,
    in microseconds: windows of those without CAP_SYS_RESOURCE begin at another counter's value, so that they may fire
    at once although nobody has waited (psi_trigger_create, seen on Linux 6.18). Such an event is none.
    """

    def __init__(self, file: io.RawIOBase, path: str, total: Callable[[], int], stall_us: int) -> None:
        self._file, self._path = file, path
        self._total, self._least = total, total() + stall_us
        self._poll = select.poll()
        self._poll.register(file.fileno(), select.POLLPRI)

    def fired(self, seconds: float = 0.0) -> bool:
        """Since it was last asked, or within so many seconds from now. `Gone` when the cgroup is."""
        happened = dict(self._poll.poll(math.ceil(seconds * 1000))).get(self._file.fileno(), 0)
        if happened & (select.POLLERR | select.POLLHUP):
            raise Gone(None, "is not there any more", self._path)
        return bool(happened & select.POLLPRI) and self._total() >= self._least

    def close(self) -> None:
        self._file.close()


def trigger(tree: Tree, path: str, of: Literal["some", "full"], stall_us: int, window_us: int) -> Trigger:
    """One that fires when stall within `window_us` reaches `stall_us` (both microseconds, 0 < stall <= window).

    `Rejected` for a window that the kernel does not take, from 500 ms to 10 s and without CAP_SYS_RESOURCE only in
    steps of 2 s; `Refused`, `Gone` or `Unsupported` where there is no such pressure for us. The caller closes it.
    """

    def total() -> int:
        found = read(tree, path)
        return found.some_us if of == "some" else found.full_us

    file = tree.open(path, write=True)
    try:
        made = Trigger(file, path, total, stall_us)
        file.write(f"{of} {stall_us} {window_us}\0".encode())
    except OSError as error:
        file.close()
        raise error if isinstance(error, KernelError) else errors.of(error, path) from error
    return made
