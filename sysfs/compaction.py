"""Compaction on demand: the files that start it when "1" is written to them, and return when it is done.

/proc/sys/vm/compact_memory (Documentation/admin-guide/sysctl/vm.rst) and /sys/devices/system/node/nodeN/compact
(Documentation/ABI/stable/sysfs-devices-node). The writer itself does the work inside the kernel, maybe for minutes, and
only a signal that ends it ends the work: whoever writes should be a process that can be killed. So nothing writes here.
"""

from sysfs.tree import Tree

WHOLE = "/proc/sys/vm/compact_memory"
ORDER = "1"


def file(node: int | None) -> str:
    """Of one memory node, or of all one after the other."""
    return WHOLE if node is None else f"/sys/devices/system/node/node{node}/compact"


def is_offered(tree: Tree) -> bool:
    """Kernels without CONFIG_COMPACTION do not."""
    return tree.exists(WHOLE)
