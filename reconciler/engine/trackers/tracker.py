"""What every tracker does, what it is given, and which there are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.kdamonds import Kdamonds
from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.regions import Addresses
from reconciler.engineconfig import TrackerConfig
from reconciler.model import Features
from reconciler.report import AgeBin
from sysfs.tree import Tree

Counts = NDArray[np.uint32]
WITHOUT_ADDRESSES = frozenset({"mglru", "stub"})  # of their looks nobody may conclude that a region is idle


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one look saw: columns with one row a region, in the order of `Process.regions`."""

    accesses: Counts  # pages or samples that were accessed, as the tracker counts
    writes: Counts  # the same for what can only have been written
    unused: Counts | None = None  # deciseconds without access that the kernel vouches for, 0 = nothing known
    held: NDArray[np.bool_] | None = None  # regions that count as used, though nothing new was seen of them
    idle: tuple[Addresses, Addresses] | None = None  # pages without access since the look before: starts, ends

    @property
    def accessed(self) -> NDArray[np.bool_]:
        result: NDArray[np.bool_] = (self.accesses > 0) | (self.writes > 0)
        return result if self.held is None else result | self.held


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a tracker may use."""

    tree: Tree
    surveyor: Surveyor
    config: TrackerConfig
    features: Features
    clock: Callable[[], float]  # monotonic seconds
    directories: Callable[[], tuple[str, ...]] = tuple  # the workload's cgroups, absolute
    lists_idle: bool = False  # Seen.idle is wanted, from trackers that see single pages
    makers: "Makers" = field(default_factory=dict)  # for trackers made of trackers
    kdamonds: Kdamonds | None = None  # the engine's; None = some of one's own, remembered nowhere
    workload: str = ""  # whose memory it is, for messages


class Tracker(Protocol):
    @property
    def note(self) -> str:
        """What a reader of its results must know, "" if nothing."""

    def roster(self, known: Mapping[int, Process]) -> None:
        """Who is tracked from now on, by pid; called after each watch, before anybody is looked at."""

    def begin(self, known: Process) -> None:
        """Start afresh with a process; it is in the next roster."""

    def look(self, known: Process) -> Seen:
        """What was accessed since the last look."""

    def finish(self) -> None:
        """After all processes of one round were looked at."""

    def amounts(self) -> tuple[AgeBin, ...]:
        """How much memory was last used when, from trackers that know it without addresses."""

    def close(self) -> None:
        """Give back everything that was taken from the kernel."""


Maker = Callable[[Means], Tracker]
Makers = Mapping[str, Maker]


def limited(pages: NDArray[np.int64], most: int) -> Counts:
    """Pages that were seen, at most so many a region; 0 = all."""
    return (np.minimum(pages, most) if most else pages).astype(np.uint32)


def counts(seen: NDArray[np.bool_]) -> Counts:
    """1 for each region that was seen."""
    return seen.astype(np.uint32)


def nothing(regions: int) -> Counts:
    return np.zeros(regions, np.uint32)
