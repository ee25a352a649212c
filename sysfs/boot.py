"""Which boot and which kernel this is; cgroup inodes and process start times mean nothing after the next boot."""

from sysfs.errors import KernelError
from sysfs.tree import Tree


def boot_id(tree: Tree) -> str:
    return tree.read("/proc/sys/kernel/random/boot_id").strip()


def kernel(tree: Tree) -> str:
    """The release as `uname -r` prints it, for people only: what a kernel can do is found by trying, never by this."""
    try:
        return tree.read("/proc/sys/kernel/osrelease").strip()
    except KernelError:
        return "unknown"
