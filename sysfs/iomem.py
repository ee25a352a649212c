"""Where physical memory is: /proc/iomem."""

from sysfs.errors import Refused
from sysfs.tree import Tree

PATH = "/proc/iomem"


def system_ram(tree: Tree) -> tuple[tuple[int, int], ...]:
    """(start, end) in bytes of each range of memory, ascending. Without CAP_SYS_ADMIN the kernel shows zeros."""
    lines = (line.partition(" : ") for line in tree.read(PATH).splitlines() if not line.startswith(" "))
    ranges = [span.split("-") for span, _, name in lines if name == "System RAM"]
    found = tuple((int(first, 16), int(last, 16) + 1) for first, last in ranges)
    if not any(start or end > 1 for start, end in found):
        raise Refused(1, "shows no addresses: CAP_SYS_ADMIN is needed", PATH)
    return found
