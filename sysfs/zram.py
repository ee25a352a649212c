"""Compressed memory as a block device (Documentation/admin-guide/blockdev/zram.rst)."""

import re

from sysfs.errors import Gone, Rejected
from sysfs.tree import Tree

_CONTROL, _BLOCK = "/sys/class/zram-control", "/sys/block"
_NAME = re.compile(r"zram(\d+)", re.ASCII)


def supported(tree: Tree) -> bool:
    """Whether the module is loaded, or built in."""
    return tree.exists(f"{_CONTROL}/hot_add")


def numbers(tree: Tree) -> frozenset[int]:
    """Of all devices that there are, whoever made them."""
    found = (_NAME.fullmatch(name) for name in tree.list(_BLOCK))
    return frozenset(int(match[1]) for match in found if match)


def add(tree: Tree) -> int:
    """Make a device; gives its number. For this file, reading is the deed."""
    return int(tree.read(f"{_CONTROL}/hot_add"))


def inode(tree: Tree, number: int) -> int:
    """Of its folder: the number of a device that has gone is given to the next one, an inode is not."""
    return tree.inode(f"{_BLOCK}/zram{number}")


def size_bytes(tree: Tree, number: int) -> int:
    """0 = it has not been set up."""
    return int(tree.read(f"{_BLOCK}/zram{number}/disksize"))


def set_up(tree: Tree, number: int, size: int, algorithm: str = "") -> None:
    """The compression first: it cannot be changed once there is a size."""
    folder = f"{_BLOCK}/zram{number}"
    if algorithm:
        try:
            tree.write(f"{folder}/comp_algorithm", algorithm)
        except (Gone, Rejected) as error:  # old kernels say ENOENT to a compression that they do not know
            known = tree.read(f"{folder}/comp_algorithm").replace("[", "").replace("]", "").strip()
            raise Rejected(error.errno, f"zram has no compression {algorithm}, but {known}", folder) from error
    tree.write(f"{folder}/disksize", str(size))


def take_away(tree: Tree, number: int) -> None:
    """What is in it is lost; `Busy` while it is in use."""
    if size_bytes(tree, number):
        tree.write(f"{_BLOCK}/zram{number}/reset", "1")
    tree.write(f"{_CONTROL}/hot_remove", str(number))
