"""A small world for policies: processes with regions on nodes and in swap, and a mover that obeys or complains.

It asserts what no policy may do: move what the brakes forbid or what is not there, to where a process may not be.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.policies.policy import BACK, TO_SWAP, Kinds, Move, NodeRoom, Policy, Seat, View
from reconciler.engine.regions import REGION, Regions

PAGE = 4096
WINDOW = 512
ANON, FILE = 1, 2
BOTH: Kinds = frozenset({ANON, FILE})
ALL = 1 << 40


@dataclass
class Space:
    """A process: `regions` many windows, full of pages on its first node."""

    number: int
    allowed: frozenset[int] = frozenset({0})
    oom_score: int = 666
    pages: int = WINDOW  # in each region
    home: int = 0
    nodes: int = 1
    table: Regions = field(init=False)
    on_node: NDArray[np.int64] = field(init=False)
    looked: int = 0

    def __post_init__(self) -> None:
        self.table = np.zeros(self.number, REGION)
        self.table["start"] = np.arange(self.number, dtype=np.uint64) * np.uint64(WINDOW * PAGE)
        self.table["pages"], self.table["present"], self.table["kind"] = WINDOW, self.pages, ANON
        self.on_node = np.zeros((self.number, self.nodes), np.int64)
        self.on_node[:, self.home] = self.pages

    @property
    def present(self) -> int:
        return int(self.table["present"].sum())

    @property
    def swapped(self) -> int:
        return int(self.table["swapped"].sum())


@dataclass
class World:
    spaces: dict[int, Space]
    sizes: tuple[int, ...] = (1 << 20,)  # pages of each node
    numbers: tuple[int, ...] = (0,)
    locates: bool = True
    leaving: Kinds = BOTH
    moving: Kinds = BOTH
    now: int = 0
    turn: int = 0
    moved: int = 0  # pages, of the last round

    def free(self, column: int) -> int:
        return self.sizes[column] - sum(int(space.on_node[:, column].sum()) for space in self.spaces.values())

    def view(self) -> View:
        return View(
            seats={pid: self._seat(space) for pid, space in self.spaces.items()},
            now=self.now,
            turn=self.turn,
            page_size=PAGE,
            leaving=self.leaving,
            moving=self.moving,
            nodes=tuple(self._node(i) for i in range(len(self.sizes))),
        )

    def look(self, used: dict[int, Iterable[int]] | None = None, seconds: int = 5) -> None:
        """Time passes and regions are used; what was in swap comes back to the home node."""
        self.now += 10 * seconds
        for pid, space in self.spaces.items():
            seen = np.zeros(space.number, np.uint32)
            seen[list((used or {}).get(pid, ()))] = 1
            back = np.where(seen, space.table["swapped"], 0)
            space.table["present"] += back
            space.table["swapped"] -= back
            space.on_node[:, space.home] += back
            space.table = regions.look(space.table, seen > 0, (seen, np.zeros_like(seen)), self.now)
            space.looked = self.now

    def round(self, policy: Policy, pages: int = ALL) -> int:
        """One interval of the policy, in which so many pages can be moved; returns how many were."""
        self.turn += 1
        policy.observe(self.view())
        self.moved = 0
        while step := self._step(policy.moves(self.view()), min(pages - self.moved, 5 * WINDOW)):
            self.moved += step
        return self.moved

    def _step(self, moves: Iterable[Move], budget: int) -> int:
        """A little of what is first in the queue."""
        queue = [
            (move.urgency, int(move.order[i]), move.pid, i, move) for move in moves for i in range(len(move.start))
        ]
        done = 0
        for _, _, _, i, move in sorted(queue, key=lambda row: row[:4]):
            if done >= budget:
                break
            done += self._move(move, i)
        return done

    def _move(self, move: Move, i: int) -> int:
        space = self.spaces[move.pid]
        row = int(np.flatnonzero(space.table["start"] == move.start[i])[0])
        assert int(move.end[i] - move.start[i]) == int(space.table["pages"][row]) * PAGE
        assert 0 < move.size[i] <= int(move.end[i] - move.start[i])
        kind = int(space.table["kind"][row])
        assert kind in (self.leaving if move.to == TO_SWAP else self.moving)
        if move.to == TO_SWAP:
            return self._page_out(space, row)
        if move.to == BACK:
            return self._page_in(space, row)
        assert set(move.to) <= space.allowed
        return self._migrate(space, row, [self.numbers.index(node) for node in move.to])

    @staticmethod
    def _page_out(space: Space, row: int) -> int:
        left = int(space.table["present"][row])
        space.table["swapped"][row] += left
        space.table["present"][row] = 0
        space.on_node[row] = 0
        return left

    def _page_in(self, space: Space, row: int) -> int:
        back = int(space.table["swapped"][row])
        assert self.free(space.home) >= back
        space.table["present"][row] += back
        space.table["swapped"][row] = 0
        space.on_node[row, space.home] += back
        return back

    def _migrate(self, space: Space, row: int, columns: list[int]) -> int:
        target = next((column for column in columns if self.free(column) >= WINDOW), None)
        if target is None:
            return 0
        others = [column for column in range(len(self.sizes)) if column not in columns]
        moved = int(space.on_node[row, others].sum())
        space.on_node[row, others] = 0
        space.on_node[row, target] += moved
        return moved

    def _seat(self, space: Space) -> Seat:
        return Seat(
            regions=space.table.copy(),
            looked=space.looked,
            on_node=space.on_node.copy() if self.locates else None,
            allowed=space.allowed,
            oom_score=space.oom_score,
        )

    def _node(self, column: int) -> NodeRoom:
        return NodeRoom(
            number=self.numbers[column],
            has_cpu=column == 0,
            total_bytes=self.sizes[column] * PAGE,
            free_bytes=self.free(column) * PAGE,
        )
