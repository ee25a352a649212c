"""What to move where so that sets of nodes get memory free again, without bringing another set into need.

Candidates are regions with pages on the nodes in need. The process that the kernel would kill first, with the most
memory there, goes first: `score` is oom_score times KiB. Scores within a factor of two count as alike, and among those
the longest unused goes first; pages in use are moved, too, for this is about staying alive.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.policies import node_sets, routes
from reconciler.engine.policies.age import retried
from reconciler.engine.policies.node_sets import NodeSet
from reconciler.engine.policies.policy import Mask, Move, Pages, View
from reconciler.engine.regions import Addresses, ends
from reconciler.engineconfig import AvoidOomConfig

MIB = 1 << 20
_NEAR = 20  # the distance of nodes of which none is known
_NOWHERE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """One row a region, in the order in which they should go."""

    pid: NDArray[np.int64]
    start: Addresses
    end: Addresses
    on: Mapping[int, Pages]  # by node: bytes there
    score: NDArray[np.int64]
    to: NDArray[np.int64]  # the node that was chosen

    def on_any(self, nodes: frozenset[int]) -> Pages:
        return sum((self.on[node] for node in nodes if node in self.on), np.zeros(len(self.pid), np.int64))


@dataclass(slots=True, kw_only=True)
class Books:
    """What is free where, if all that was chosen has moved."""

    view: View
    config: AvoidOomConfig
    sets: Mapping[frozenset[int], NodeSet]
    free: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        self.free = {number: node.free_bytes for number, node in node_sets.with_memory(self.view).items()}

    def available(self, nodes: frozenset[int]) -> int:
        return sum(self.free[node] for node in nodes)

    def deficit(self, nodes: frozenset[int]) -> int:
        return self.sets[nodes].stop - self.available(nodes)

    def rooms(self, target: int, share: float) -> Iterator[tuple[frozenset[int], int]]:
        """The sets with the target in it, also the target alone, and how many bytes each may lose.

        What is left must not be less than a floor, at `share` of the way from where freeing starts to where it stops.
        """
        node = node_sets.with_memory(self.view)[target]
        start, stop = node_sets.bytes_of(self.config.start, node), node_sets.bytes_of(self.config.stop, node)
        yield frozenset({target}), max(self.free[target] - _between(start, stop, share), 0)
        for nodes, each in self.sets.items():
            if target in nodes:
                yield nodes, max(self.available(nodes) - _between(each.start, each.stop, share), 0)

    def book(self, target: int, found: Candidates, chosen: NDArray[np.intp]) -> None:
        for node in self.free.keys() - {target}:
            size = int(found.on[node][chosen].sum())
            self.free[node] += size
            self.free[target] -= size


def candidates(view: View, needy: frozenset[int]) -> Candidates:
    """All regions that may move now and have pages on the nodes."""
    found = list(_of_processes(view, needy))
    rows = np.concatenate(found) if found else np.empty(0, _row(view))
    octave = np.log2(np.maximum(rows["score"], 1)).astype(np.int64)
    rows = rows[np.lexsort((rows["start"], rows["changed"], -octave))]
    on = {node.number: rows["on"][:, i] for i, node in enumerate(view.nodes)}
    to = np.full(len(rows), _NOWHERE, np.int64)
    return Candidates(pid=rows["pid"], start=rows["start"], end=rows["end"], on=on, score=rows["score"], to=to)


def relieve(found: Candidates, needy: frozenset[int], books: Books) -> str:
    """Choose a node for as many candidates as the set needs; returns why that is not enough, "" if it is."""
    reachable = np.zeros(len(found.pid), np.bool_)
    for share in (1.0, 0.5):  # first where much is free, then where a little more than the start is
        for target, may in _targets(found, needy, books.view):
            reachable |= may
            _choose(found, may, target, needy, books, share)
    if (deficit := books.deficit(needy)) <= 0:
        return ""
    each = books.sets[needy]
    said = f"{each.available // MIB} MiB are available on node {each}, {each.stop // MIB} MiB should be"
    return f"{said}, {deficit // MIB} MiB more cannot be freed: {_reason(found, needy, books.view, reachable)}"


def moves(found: Candidates) -> list[Move]:
    chosen = np.flatnonzero(found.to != _NOWHERE)
    pairs = sorted(set(zip(found.pid[chosen].tolist(), found.to[chosen].tolist(), strict=True)))
    return [_move(found, chosen[(found.pid[chosen] == pid) & (found.to[chosen] == to)], pid, to) for pid, to in pairs]


def describe(found: Candidates, page_size: int, most: int) -> Iterator[str]:
    """One line a candidate, as memtierd prints it; so many at most."""
    numbers = sorted(found.on)
    table = np.array([found.on[number] for number in numbers])
    for i in range(min(len(found.pid), most)):
        source, size = numbers[int(table[:, i].argmax())], int(table[:, i].sum())
        yield (
            f"pid: {found.pid[i]} {found.start[i]:x} size: {size // MIB} MB (in {page_size // 1024} kB pages) "
            f"fromNode: {source} score: {found.score[i]}"
        )


def _of_processes(view: View, needy: frozenset[int]) -> Iterator[NDArray[np.void]]:
    needed = [i for i, node in enumerate(view.nodes) if node.number in needy]
    for pid, seat in view.seats.items():
        if seat.on_node is None:
            continue
        here = seat.on_node[:, needed].sum(axis=1)
        may = routes.of_kinds(seat.regions, view.moving) & retried(seat.regions, view.turn)
        index = np.flatnonzero(may & (here > 0))
        mine, rows = seat.regions[index], np.empty(len(index), _row(view))
        rows["pid"], rows["start"], rows["end"] = pid, mine["start"], ends(mine, view.page_size)
        rows["changed"], rows["on"] = mine["changed"], seat.on_node[index] * view.page_size
        rows["score"] = seat.oom_score * (here[index] * view.page_size // 1024)
        yield rows


def _row(view: View) -> np.dtype[np.void]:
    fields = [("pid", np.int64), ("start", np.uint64), ("end", np.uint64), ("changed", np.uint32), ("score", np.int64)]
    return np.dtype([*fields, ("on", np.int64, (len(view.nodes),))])


def _targets(found: Candidates, needy: frozenset[int], view: View) -> Iterator[tuple[int, Mask]]:
    """Nodes outside the set, near ones first, then those with most free memory, with who of the candidates may go."""
    known = node_sets.with_memory(view)
    distance = {
        number: min(known[source].distances.get(number, _NEAR) for source in needy) for number in known.keys() - needy
    }
    for number in sorted(distance, key=lambda number: (distance[number], -known[number].free_bytes, number)):
        bound = [pid for pid, seat in view.seats.items() if number in node_sets.allowed(seat.allowed, known)]
        may = np.isin(found.pid, bound) & (found.on_any(needy) > 0)
        if may.any():
            yield number, may


def _choose(found: Candidates, may: Mask, target: int, needy: frozenset[int], books: Books, share: float) -> None:
    """The first candidates that cover the deficit, as far as the target, and each set that it is in, has room."""
    if (deficit := books.deficit(needy)) <= 0:
        return
    index, everywhere = np.flatnonzero(may & (found.to == _NOWHERE)), frozenset(found.on)
    number = int(np.searchsorted(np.cumsum(found.on_any(needy)[index]), deficit)) + 1
    for nodes, room in books.rooms(target, share):
        comes = np.cumsum(
            found.on_any(everywhere - nodes)[index]
        )  # from outside: what moves within a set costs nothing
        number = min(number, int(np.searchsorted(comes, room, side="right")))
    chosen = index[:number]
    found.to[chosen] = target
    books.book(target, found, chosen)


def _reason(found: Candidates, needy: frozenset[int], view: View, reachable: Mask) -> str:
    if not view.moving:
        return "nothing may be moved now"
    if needy >= node_sets.with_memory(view).keys():
        return "no other nodes are left"
    if not (found.on_any(needy) > 0).any():
        return "nothing of the workload that may be moved is there"
    if not reachable.any():
        return "the processes there may not use other nodes"
    return "the other nodes are full" if (found.to[reachable] == _NOWHERE).any() else "that is all that may be moved"


def _move(found: Candidates, rows: NDArray[np.intp], pid: int, to: int) -> Move:
    size = found.on_any(frozenset(found.on) - {to})[rows]
    order = rows.astype(np.uint32)
    return Move(pid=pid, start=found.start[rows], end=found.end[rows], size=size, order=order, to=(to,), urgency=0)


def _between(start: int, stop: int, share: float) -> int:
    return start + int((stop - start) * share)


def needs(sets: Sequence[NodeSet], before: frozenset[frozenset[int]]) -> list[NodeSet]:
    """Sets that need memory, the poorest first: from when less is available than at the start until the stop."""
    found = [each for each in sets if each.available < (each.stop if each.nodes in before else each.start)]
    return sorted(found, key=lambda each: (each.available, sorted(each.nodes)))
