"""Pressure stall information, /proc/pressure/memory and CGROUP/memory.pressure (Documentation/accounting/psi.rst)."""

from dataclasses import dataclass

from sysfs.tree import Tree

NODE = "/proc/pressure/memory"


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
