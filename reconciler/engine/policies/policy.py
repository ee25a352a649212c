"""What every policy sees, and what it may ask for. Policies are pure: they look at a View and name Moves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.regions import Addresses, Regions
from reconciler.engineconfig import SWAP

Kinds = frozenset[int]  # sysfs.maps.Kind
Mask = NDArray[np.bool_]
Pages = NDArray[np.int64]
TO_SWAP = (SWAP,)
BACK = ()  # as a destination: from swap into memory


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRoom:
    """A memory node now."""

    number: int
    has_cpu: bool
    total_bytes: int
    free_bytes: int  # free, and what the kernel gives up at once (inactive file pages, reclaimable slab)
    distances: Mapping[int, int] = field(default_factory=dict)  # to other nodes, 10 = itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One process."""

    regions: Regions
    looked: int  # deciseconds, of the tracker's last look
    on_node: NDArray[np.int64] | None = None  # pages of each region on each of View.nodes, if the policy `locates`
    allowed: frozenset[int] = frozenset()  # memory nodes of its cpuset; empty = all
    oom_score: int = 0  # /proc/PID/oom_score, 0..2000: who is killed first when memory runs out
    idle: tuple[Addresses, Addresses] | None = None  # starts, ends of pages without access between the last two looks


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a policy decides from."""

    seats: Mapping[int, Seat]  # by pid
    now: int  # deciseconds since the engine started
    turn: int  # decisions so far
    page_size: int
    leaving: Kinds  # pages that may go to swap, or back to their file, now: the brakes decide
    moving: Kinds  # pages that may go to other nodes now
    nodes: tuple[NodeRoom, ...] = ()
    interest: Mapping[int, tuple[Addresses, Addresses]] | None = None  # by pid: starts, ends; None = everything


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Address ranges of a process that should be elsewhere; columns of equal length, in any order."""

    pid: int
    start: Addresses
    end: Addresses
    size: NDArray[np.int64]  # bytes that are expected to move: what is present, at most the range
    order: NDArray[np.uint32]  # lower goes sooner, among moves of the same urgency
    to: tuple[int, ...]  # nodes of which any will do, TO_SWAP, or BACK
    urgency: int = 1  # 0 = first: active memory that comes back
    only_idle: bool = False  # of these ranges, pages whose idle mark stands when they are about to move


class Policy(Protocol):
    """`observe` is called once an interval, `moves` after it and whenever a look or a brake may have changed them."""

    @property
    def note(self) -> str:
        """What a reader of its results must know, "" if nothing."""

    @property
    def resets(self) -> bool:
        """Whether it wants the columns `accesses` and `writes` to count from one decision to the next."""

    @property
    def locates(self) -> bool:
        """Whether it wants Seat.on_node."""

    def observe(self, view: View) -> None: ...

    def moves(self, view: View) -> Sequence[Move]: ...

    def dump(self, words: tuple[str, ...], view: View) -> str:
        """The answer to the prompt's `policy -dump WORDS`."""
