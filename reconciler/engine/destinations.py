"""Which of several memory nodes pages go to: the nearest that has room, within what their process's cpuset allows."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reconciler.engine.policies.policy import NodeRoom

_KEPT_FREE = 100  # one part in so many of a node stays free, or the kernel reclaims there to make room for us


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A node, or why there is none."""

    node: int | None = None
    why: str = ""


def room(node: NodeRoom) -> int:
    """Bytes that may still be moved to it."""
    return max(node.free_bytes - node.total_bytes // _KEPT_FREE, 0)


def choose(
    origin: int, listed: Collection[int], allowed: Collection[int], rooms: Sequence[NodeRoom], size: int
) -> Choice:
    """For `size` bytes that are on node `origin` (-1 = nobody knows): by distance, then by room.

    `allowed` is the process's cpuset.mems; empty means all nodes.
    """
    here = {node.number: node for node in rooms}
    there = [here[number] for number in listed if number in here]
    if not there:
        return Choice(why=f"{_named(listed)}: {_missing(here)}")
    open_to = [node for node in there if not allowed or node.number in allowed]
    if not open_to:
        return Choice(why=f"{_named(listed)}: the process's cpuset.mems allows {_named(allowed)} only")
    fits = [node for node in open_to if room(node) >= size]
    if not fits:
        rooms_left = ", ".join(f"node {node.number} has room for {room(node) >> 20} MiB" for node in open_to)
        return Choice(why=f"no room for {-(-size >> 20)} MiB: {rooms_left}")
    distances = here[origin].distances if origin in here else {}
    best = min(fits, key=lambda node: (distances.get(node.number, 0), -room(node), node.number))
    return Choice(node=best.number)


def _named(nodes: Collection[int]) -> str:
    numbers = ", ".join(str(number) for number in sorted(nodes))
    return f"node {numbers}" if len(nodes) == 1 else f"nodes {numbers}"


def _missing(here: Collection[int]) -> str:
    return f"no such memory node here, only {_named(here)}" if here else "this kernel shows no memory nodes"
