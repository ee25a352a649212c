"""Counters of the whole node: /proc/vmstat. Keys differ by kernel, so look up with a default."""

from sysfs.cgroup import flat_keyed
from sysfs.tree import Tree


def read(tree: Tree) -> dict[str, int]:
    return flat_keyed(tree.read("/proc/vmstat"))
