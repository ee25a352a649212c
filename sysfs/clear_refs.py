"""/proc/PID/clear_refs: forget what was accessed or written (Documentation/filesystems/proc.rst).

The kernel holds the process's mmap lock for writing meanwhile: about 10 ms per 256 MiB mapped.
"""

from sysfs.tree import Tree

REFERENCED, SOFT_DIRTY = "1", "4"


def clear(tree: Tree, pid: int, what: str) -> None:
    tree.write(f"/proc/{pid}/clear_refs", what)
