"""Memory nodes: /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node)."""

from dataclasses import dataclass

from sysfs.errors import Gone
from sysfs.tree import Tree

_NODES = "/sys/devices/system/node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    number: int
    has_cpu: bool
    has_memory: bool


def nodes(tree: Tree) -> tuple[Node, ...]:
    """Online nodes; empty on a kernel without NUMA."""
    with_cpu, with_memory = _numbers(tree, "has_cpu"), _numbers(tree, "has_memory")
    return tuple(
        Node(number=number, has_cpu=number in with_cpu, has_memory=number in with_memory)
        for number in sorted(_numbers(tree, "online"))
    )


def _numbers(tree: Tree, name: str) -> frozenset[int]:
    try:
        return parse_list(tree.read(f"{_NODES}/{name}"))
    except Gone:
        return frozenset()


def parse_list(text: str) -> frozenset[int]:
    """The kernel's list format: "0-2,5" is 0, 1, 2 and 5."""
    spans = [part.partition("-") for part in text.strip().split(",") if part]
    return frozenset(n for first, _, last in spans for n in range(int(first), int(last or first) + 1))
