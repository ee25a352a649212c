"""How much memory the node has: /proc/meminfo (Documentation/filesystems/proc.rst)."""

from sysfs.tree import Tree


def read(tree: Tree) -> dict[str, int]:
    """Bytes by the kernel's own names (MemTotal, MemAvailable, ...); counts without a unit stay counts."""
    found = {}
    for line in tree.read("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        match value.split():
            case [number, "kB"] if number.isdigit():
                found[name] = int(number) * 1024
            case [number] if number.isdigit():
                found[name] = int(number)
    return found
