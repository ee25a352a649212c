"""The moves of a policy that wait for their turn, as columns: urgent ones first, then in the policy's order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import ranges
from reconciler.engine.policies.policy import Move
from reconciler.engine.ranges import Ranges

_STEP = 512  # moves that are taken together

_WAITING = np.dtype(
    [
        ("pid", np.int32),
        ("key", np.uint64),  # the start that the policy named
        ("start", np.uint64),  # of what is left
        ("end", np.uint64),
        ("bytes", np.int64),
        ("order", np.uint32),
        ("urgency", np.int32),
        ("to", np.uint16),  # which of the destinations
        ("only_idle", np.bool_),
    ]
)
Table = NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Moves of one process to one place, taken together."""

    pid: int
    to: tuple[int, ...]
    only_idle: bool
    rows: Table

    def ranges(self) -> Ranges:
        return ranges.joined((self.rows["start"], self.rows["end"]))


class Waiting:
    def __init__(self) -> None:
        self._destinations: list[tuple[int, ...]] = []
        self._table = np.empty(0, _WAITING)

    def __len__(self) -> int:
        return len(self._table)

    def replace(self, moves: Sequence[Move]) -> None:
        """All that waits now."""
        self._destinations = sorted({move.to for move in moves})
        pieces = [self._rows(move) for move in moves]
        table = np.concatenate(pieces) if pieces else np.empty(0, _WAITING)
        self._table = table[np.lexsort((table["order"], table["urgency"]))]

    def keep(self, moves: Sequence[Move]) -> None:
        """Drop what is not wanted any more."""
        by_pid = np.argsort(self._table["pid"], kind="stable")
        pids = self._table["pid"][by_pid]
        kept = np.zeros(len(self._table), np.bool_)
        for move in moves:
            if move.to not in self._destinations:
                continue
            first, last = np.searchsorted(pids, [move.pid, move.pid + 1])
            mine = by_pid[first:last]
            same = self._table["to"][mine] == self._destinations.index(move.to)
            kept[mine] |= same & np.isin(self._table["key"][mine], move.start)
        self._table = self._table[kept]

    def take(self, budget: float) -> list[Group]:
        """What fills the budget (bytes), at least one move, no longer waiting; in the order in which it is due."""
        sizes = np.cumsum(self._table["bytes"][:_STEP])
        number = int(np.searchsorted(sizes, budget, side="left")) + 1
        taken, self._table = self._table[:number], self._table[number:]
        return list(self._groups(taken))

    def put_back(self, group: Group, address: int) -> None:
        """What of a group lies at or above an address waits again, before all others."""
        rest = group.rows[group.rows["end"] > address].copy()
        rest["start"] = np.maximum(rest["start"], np.uint64(address))
        rest["bytes"] = np.minimum(rest["bytes"], (rest["end"] - rest["start"]).astype(np.int64))
        self._table = np.concatenate((rest, self._table))

    def _groups(self, taken: Table) -> Iterator[Group]:
        kinds = taken[["pid", "to", "only_idle"]]
        while len(taken):
            same = kinds == kinds[0]
            pid, to, only_idle = kinds[0].item()
            yield Group(pid=pid, to=self._destinations[to], only_idle=only_idle, rows=taken[same])
            taken, kinds = taken[~same], kinds[~same]

    def _rows(self, move: Move) -> Table:
        table = np.empty(len(move.start), _WAITING)
        table["pid"], table["key"], table["start"], table["end"] = move.pid, move.start, move.start, move.end
        table["bytes"], table["order"], table["urgency"] = np.maximum(move.size, 1), move.order, move.urgency
        table["to"], table["only_idle"] = self._destinations.index(move.to), move.only_idle
        return table
