"""Memory nodes: /sys/devices/system/node (Documentation/ABI/stable/sysfs-devices-node)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

_NODES = "/sys/devices/system/node"


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    number: int
    has_cpu: bool
    has_memory: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeMemory:
    """Bytes of a node's memory, and how far it is from others (10 = itself)."""

    number: int
    has_cpu: bool
    total_bytes: int
    free_bytes: int
    giving_bytes: int  # what the kernel gives up at once: reclaimable slab and most of the inactive file pages
    distances: Mapping[int, int] = field(default_factory=dict)


_POOL = "hugepages-"
_INACTIVE_GIVEN = 0.8  # of the inactive file pages: some are dirty, or are used again before their turn


def nodes(tree: Tree) -> tuple[Node, ...]:
    """Online nodes; empty on a kernel without NUMA."""
    with_cpu, with_memory = _numbers(tree, "has_cpu"), _numbers(tree, "has_memory")
    return tuple(
        Node(number=number, has_cpu=number in with_cpu, has_memory=number in with_memory)
        for number in sorted(_numbers(tree, "online"))
    )


def balancing(tree: Tree) -> bool:
    """Whether the kernel itself moves pages between nodes (Documentation/admin-guide/sysctl/kernel.rst)."""
    try:
        return tree.read("/proc/sys/kernel/numa_balancing").strip() != "0"
    except KernelError:
        return False


def memory(tree: Tree) -> tuple[NodeMemory, ...]:
    """Of all nodes that have some, in ascending order; numbers may have holes. Empty on a kernel without NUMA."""
    online = nodes(tree)
    numbers = [node.number for node in online]
    return tuple(_memory(tree, node, numbers) for node in online if node.has_memory)


def hugepages(tree: Tree, node: int) -> dict[int, int]:
    """Page size in bytes -> bytes of the static pool on a node (Documentation/admin-guide/mm/hugetlbpage.rst)."""
    directory = f"{_NODES}/node{node}/hugepages"
    try:
        names = [name for name in tree.list(directory) if name.startswith(_POOL) and name.endswith("kB")]
    except Gone:
        return {}
    sizes = {name: int(name.removeprefix(_POOL).removesuffix("kB")) * 1024 for name in names}
    return {size: size * int(tree.read(f"{directory}/{name}/nr_hugepages")) for name, size in sizes.items()}


def _memory(tree: Tree, node: Node, online: list[int]) -> NodeMemory:
    directory = f"{_NODES}/node{node.number}"
    sizes = _sizes(tree.read(f"{directory}/meminfo"))
    giving = sizes.get("SReclaimable", 0) + int(_INACTIVE_GIVEN * sizes.get("Inactive(file)", 0))
    return NodeMemory(
        number=node.number,
        has_cpu=node.has_cpu,
        total_bytes=sizes.get("MemTotal", 0),
        free_bytes=sizes.get("MemFree", 0),
        giving_bytes=giving,
        distances=_distances(tree, directory, online),
    )


def _sizes(text: str) -> dict[str, int]:
    """Bytes of "Node 0 MemFree:   123 kB" lines."""
    lines = (line.split() for line in text.splitlines())
    return {words[2].rstrip(":"): int(words[3]) * 1024 for words in lines if len(words) == 5 and words[3].isdigit()}


def _distances(tree: Tree, directory: str, online: list[int]) -> dict[int, int]:
    """The file has one number for each online node, in their order."""
    try:
        return dict(zip(online, map(int, tree.read(f"{directory}/distance").split()), strict=False))
    except Gone:
        return {}


def _numbers(tree: Tree, name: str) -> frozenset[int]:
    try:
        return parse_list(tree.read(f"{_NODES}/{name}"))
    except Gone:
        return frozenset()


def parse_list(text: str) -> frozenset[int]:
    """The kernel's list format: "0-2,5" is 0, 1, 2 and 5."""
    spans = [part.partition("-") for part in text.strip().split(",") if part]
    return frozenset(n for first, _, last in spans for n in range(int(first), int(last or first) + 1))
