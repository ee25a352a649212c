"""How much of some nodes a workload may use, and what room that leaves for moves.

What is there counts, of all processes, as it is now: nothing is remembered, so a process that exits frees its part.
What is about to move there counts as if it were there, and what is about to leave still counts: a node is never
promised twice. A quota limits what is moved to a node; what processes allocate there themselves is theirs.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.policies.policy import View
from reconciler.engineconfig import SWAP, NodeSize


def used(view: View, node: int) -> int:
    """Bytes of all processes on a node, or in swap."""
    if node == SWAP:
        return sum(int(seat.regions["swapped"].sum()) for seat in view.seats.values()) * view.page_size
    columns = [i for i, room in enumerate(view.nodes) if room.number == node]
    located = [seat.on_node for seat in view.seats.values() if seat.on_node is not None]
    return sum(int(pages[:, columns].sum()) for pages in located) * view.page_size


def size(limit: NodeSize, view: View) -> int:
    """Bytes that may be used."""
    if limit.percent is None:
        return limit.size_bytes
    return sum(int(room.total_bytes * limit.percent / 100) for room in view.nodes if room.number == limit.node)


def rooms(limits: Sequence[NodeSize], view: View) -> "Rooms":
    return Rooms({limit.node: max(size(limit, view) - used(view, limit.node), 0) for limit in limits})


class Rooms:
    """Bytes that may still be moved to each of the nodes that have a limit."""

    def __init__(self, left: Mapping[int, int]) -> None:
        self._left = dict(left)

    def share(self, nodes: tuple[int, ...], sizes: NDArray[np.int64]) -> Iterator[tuple[tuple[int, ...], slice]]:
        """Which rows may go where, first come, first served; rows for which nobody has room are in no slice.

        Any of the nodes that a row is given will do, so its size is taken from each of them.
        """
        first, total = 0, np.append(0, np.cumsum(sizes))
        while first < len(sizes):
            nodes = tuple(node for node in nodes if self._left.get(node, sizes[first]) >= sizes[first])
            if not nodes:
                return
            limits = [self._left[node] for node in nodes if node in self._left]
            last = len(sizes)
            if limits:
                last = int(np.searchsorted(total, total[first] + min(limits), side="right")) - 1
            for node in set(nodes) & set(self._left):
                self._left[node] -= int(total[last] - total[first])
            yield nodes, slice(first, last)
            first = last
