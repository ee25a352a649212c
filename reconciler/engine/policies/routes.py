"""Where memory may go: to listed nodes on which the process may have memory, and to swap what finds no room there.

Policies say *what* should go; this says where to, as far as brakes, cpusets and free memory allow, and who goes first.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from reconciler.engine.policies.policy import TO_SWAP, Kinds, Mask, Move, Pages, Seat, View
from reconciler.engine.regions import Regions, ends
from reconciler.engineconfig import SWAP

_KEPT_FREE = 100  # one part in so many of a node stays free, as the mover keeps it


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Regions of one process that go the same way."""

    to: tuple[int, ...]
    rows: Mask
    pages: Pages  # of every region, that would move

    def only(self, rows: Mask) -> Self:
        return replace(self, rows=self.rows & rows)


def reachable(listed: Sequence[int], seat: Seat, view: View) -> tuple[int, ...]:
    """The listed nodes, in their order, that are there and where the process may have memory."""
    there = {node.number for node in view.nodes if node.total_bytes} or set(listed)
    allowed = seat.allowed or there
    return tuple(node for node in listed if node != SWAP and node in there and node in allowed)


def pages_on(listed: Sequence[int], seat: Seat, view: View) -> Pages:
    """Pages of each region that are on the listed nodes now; none as long as nobody has looked."""
    columns = [i for i, node in enumerate(view.nodes) if node.number in listed]
    if seat.on_node is None or not columns:
        return np.zeros(len(seat.regions), np.int64)
    found: Pages = np.minimum(seat.on_node[:, columns].sum(axis=1), seat.regions["present"])
    return found


def of_kinds(regions: Regions, kinds: Kinds) -> Mask:
    result: Mask = np.isin(regions["kind"], sorted(kinds))
    return result


def parts(seat: Seat, view: View, wanted: Mask, listed: Sequence[int]) -> list[Part]:
    """What of the wanted regions goes where. What is on a listed node already stays there."""
    nodes, regions = reachable(listed, seat, view), seat.regions
    absent = regions["present"].astype(np.int64) - pages_on(listed, seat, view)
    wanted = wanted & (absent > 0)
    fits = _fits(seat, wanted, absent * view.page_size, nodes, view) if SWAP in listed else wanted
    to_nodes = fits & of_kinds(regions, view.moving)
    to_swap = wanted & ~fits & of_kinds(regions, view.leaving)
    found = [Part(to=nodes, rows=to_nodes, pages=absent)] if nodes and to_nodes.any() else []
    return found + ([Part(to=TO_SWAP, rows=to_swap, pages=absent)] if to_swap.any() else [])


def moves(pid: int, seat: Seat, view: View, wanted: Mask, listed: Sequence[int], urgency: int = 1) -> list[Move]:
    """At most two Moves of whole regions, longest unused first."""
    return [of_regions(pid, seat, view, part, urgency) for part in parts(seat, view, wanted, listed)]


def of_regions(pid: int, seat: Seat, view: View, part: Part, urgency: int = 1) -> Move:
    rows = seat.regions[part.rows]
    return Move(
        pid=pid,
        start=rows["start"],
        end=ends(rows, view.page_size),
        size=part.pages[part.rows] * view.page_size,
        order=rows["changed"],
        to=part.to,
        urgency=urgency,
    )


def in_turn(found: Sequence[Move], page_size: int) -> list[Move]:
    """Moves of one purpose, all processes in one order, whose `order` now counts the pages that go before.

    So moves of several purposes share the bandwidth evenly, whatever each of them sorts by.
    """
    if not found:
        return []
    order = np.concatenate([move.order for move in found])
    pages = np.concatenate([move.size for move in found]) // page_size
    turn = np.argsort(order, kind="stable")
    before = np.empty(len(order), np.uint32)
    before[turn] = np.minimum(np.cumsum(pages[turn]) - pages[turn], 0xFFFFFFFF)
    edges = np.cumsum([len(move.order) for move in found])[:-1]
    return [replace(move, order=mine) for move, mine in zip(found, np.split(before, edges), strict=True)]


def _fits(seat: Seat, wanted: Mask, sizes: Pages, nodes: tuple[int, ...], view: View) -> Mask:
    """The longest unused of the wanted regions, as many as the nodes have room for."""
    index = np.flatnonzero(wanted)
    index = index[np.argsort(seat.regions["changed"][index], kind="stable")]
    result = np.zeros(len(wanted), np.bool_)
    result[index[np.cumsum(sizes[index]) <= _room(nodes, view)]] = True
    return result


def _room(nodes: tuple[int, ...], view: View) -> int:
    """Bytes. Of a node that nobody has looked at there is as much as anybody wants."""
    known = {node.number: max(node.free_bytes - node.total_bytes // _KEPT_FREE, 0) for node in view.nodes}
    return sum(known.get(node, 1 << 62) for node in nodes)
