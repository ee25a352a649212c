"""How much room the memory nodes have: read at most once a second, and reckoned in between."""

from collections.abc import Callable
from dataclasses import replace

from reconciler.engine.policies.policy import NodeRoom
from sysfs import numa
from sysfs.errors import KernelError
from sysfs.tree import Tree

_FRESH_S = 1.0


class Rooms:
    def __init__(self, tree: Tree, clock: Callable[[], float]) -> None:
        self._tree, self._clock = tree, clock
        self._read = float("-inf")
        self._nodes: tuple[NodeRoom, ...] = ()

    def nodes(self) -> tuple[NodeRoom, ...]:
        """In ascending order; empty where the kernel does not say, as without NUMA."""
        now = self._clock()
        if now - self._read >= _FRESH_S:
            self._read = now
            try:
                self._nodes = tuple(_room(node) for node in numa.memory(self._tree))
            except KernelError:
                self._nodes = ()
        return self._nodes

    def moved(self, origin: int, node: int, size: int) -> None:
        """So many bytes went from one node to another."""
        change = {origin: size, node: -size}
        self._nodes = tuple(
            replace(each, free_bytes=max(each.free_bytes + change.get(each.number, 0), 0)) for each in self._nodes
        )

    def is_full(self, node: int) -> None:
        """The kernel found no page there, whatever it said before."""
        self._nodes = tuple(replace(each, free_bytes=0) if each.number == node else each for each in self._nodes)


def _room(node: numa.NodeMemory) -> NodeRoom:
    return NodeRoom(
        number=node.number,
        has_cpu=node.has_cpu,
        total_bytes=node.total_bytes,
        free_bytes=node.free_bytes + node.giving_bytes,
        distances=node.distances,
    )
