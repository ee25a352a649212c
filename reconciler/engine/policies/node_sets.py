"""Sets of memory nodes to which processes are bound, and how much memory is left in each.

A set, not a node, runs out of memory: who may use two nodes is in no need as long as one of them has room, and who is
bound to one node is killed when that is full, however much is free elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from reconciler.engine.policies.policy import NodeRoom, View
from reconciler.engineconfig import AvoidOomConfig, Watermark


class Pressure(IntEnum):
    NONE = 0
    MEDIUM = 1  # less than the memory at which freeing stops
    HIGH = 2  # less than the memory at which it starts


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSet:
    """All sizes in bytes, sums of the nodes'."""

    nodes: frozenset[int]
    available: int
    start: int
    stop: int

    @property
    def pressure(self) -> Pressure:
        if self.available < self.start:
            return Pressure.HIGH
        return Pressure.MEDIUM if self.available < self.stop else Pressure.NONE

    def __str__(self) -> str:
        return ", ".join(str(node) for node in sorted(self.nodes))


def with_memory(view: View) -> dict[int, NodeRoom]:
    return {node.number: node for node in view.nodes if node.total_bytes}


def allowed(bound: frozenset[int], known: Iterable[int]) -> frozenset[int]:
    """The nodes of a process that is bound so; an empty set is no bound."""
    return bound & frozenset(known) if bound else frozenset(known)


def of(view: View, config: AvoidOomConfig) -> dict[frozenset[int], NodeSet]:
    """The sets of all processes, and of all nodes together."""
    known = with_memory(view)
    found = {allowed(seat.allowed, known) for seat in view.seats.values()} | {frozenset(known)}
    return {nodes: _summed(nodes, known, config) for nodes in found if nodes}


def pressures(sets: Iterable[NodeSet]) -> dict[int, Pressure]:
    """Of each node the highest of the sets that it is in."""
    found: dict[int, Pressure] = {}
    for each in sets:
        found |= {node: max(each.pressure, found.get(node, Pressure.NONE)) for node in each.nodes}
    return found


def bytes_of(mark: Watermark, node: NodeRoom) -> int:
    return mark.size_bytes if mark.percent is None else int(node.total_bytes * mark.percent / 100)


def _summed(nodes: frozenset[int], known: dict[int, NodeRoom], config: AvoidOomConfig) -> NodeSet:
    mine = [known[node] for node in sorted(nodes)]
    return NodeSet(
        nodes=nodes,
        available=sum(node.free_bytes for node in mine),
        start=sum(bytes_of(config.start, node) for node in mine),
        stop=sum(bytes_of(config.stop, node) for node in mine),
    )
