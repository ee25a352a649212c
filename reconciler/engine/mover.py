"""Moves memory: at most so many bytes a second, urgent things first, and believes nothing that it has not seen.

What a policy wants waits in columns (waiting.py) and is replaced by every decision; what a person asked for are tasks
(tasks.py), which go first and stay until they are done or explained. A step takes as much of both as the bucket allows.
How pages move is said by pageout.py, swapin.py and migration.py.

One thread steps; tasks may be added, listed, paused and removed from any.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np

from reconciler.engine import tasks
from reconciler.engine.bucket import Bucket
from reconciler.engine.destinations import room
from reconciler.engine.figures import Book, Figures
from reconciler.engine.migration import Migration
from reconciler.engine.pageout import PageOut
from reconciler.engine.passage import Ledger, Way, carry_out
from reconciler.engine.policies.policy import BACK, TO_SWAP, Move
from reconciler.engine.processes import Process
from reconciler.engine.ranges import Ranges
from reconciler.engine.rooms import Rooms
from reconciler.engine.site import BLOCK_PAGES, Doors, Site
from reconciler.engine.swapin import SwapIn
from reconciler.engine.tasks import Errand, Task, TaskReport
from reconciler.engine.waiting import Group, Waiting
from reconciler.engineconfig import SWAP, MoverConfig
from sysfs.errors import Busy, Gone, KernelError, Rejected
from sysfs.page_idle import PageIdle

MIB = 1 << 20
NOT_RUNNING, PAUSED, BUSY, ALL_DONE = "NotRunning", "Paused", "Busy", "AllDone"
_CATCH_UP_S = 0.25  # of bandwidth may be saved up while a step takes long
_STEP_TASKS = 64
_TROUBLE_S = 600.0  # what went wrong longer ago is not worth a note any more
_MOST_FINISHED = 100  # failed tasks that are remembered


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Of one step, in bytes."""

    advised: int = 0  # asked to leave memory
    left: int = 0  # verified
    to_nodes: int = 0  # verified
    back: int = 0  # brought back from swap, verified
    spent: int = 0  # of the bandwidth

    def __add__(self, other: "Moved") -> "Moved":
        return Moved(
            advised=self.advised + other.advised,
            left=self.left + other.left,
            to_nodes=self.to_nodes + other.to_nodes,
            back=self.back + other.back,
            spent=self.spent + other.spent,
        )


def _nothing() -> None:
    """Nobody waits for tasks."""


class Mover:
    def __init__(
        self,
        doors: Doors,
        config: MoverConfig,
        clock: Callable[[], float],
        *,
        book: Book | None = None,
        rooms: Rooms | None = None,
        wake: Callable[[], None] = _nothing,
    ) -> None:
        self._doors, self._clock, self._wake = doors, clock, wake
        self.book = book or Book()
        self.rooms = rooms or Rooms(doors.tree, clock)
        self._trouble = "", float("-inf")
        self.running = True  # its owner says when it is not
        self._paused = False
        self.configure(config)
        self._waiting = Waiting()
        self._numbers = count(1)
        self._errands: dict[int, Errand] = {}
        self._lock = threading.Lock()
        self._marks: PageIdle | None = None

    @property
    def trouble(self) -> str:
        """Why something could not be moved last; "" if nothing went wrong lately."""
        why, when = self._trouble
        return why if self._clock() - when < _TROUBLE_S else ""

    def configure(self, config: MoverConfig) -> None:
        """Another interval and bandwidth, from now on."""
        self.config, self.interval = config, config.interval_ms / 1000
        rate = config.bandwidth_mib * MIB
        self._bucket = Bucket(rate, rate * max(2 * self.interval, _CATCH_UP_S), self._clock)

    # -- what a policy wants -----------------------------------------------------------------------------------------

    def replace(self, moves: Sequence[Move]) -> None:
        """New moves; those of the last decision are forgotten."""
        self._start_afresh()
        self._waiting.replace(moves)

    def keep(self, moves: Sequence[Move]) -> None:
        """Drop what is not wanted any more; called after each look."""
        self._waiting.keep(moves)

    def waiting(self) -> int:
        """Moves of the policy that wait."""
        return len(self._waiting)

    def pending(self) -> int:
        """Moves and tasks that are not finished; 0 while paused, for then nothing is to be done."""
        return 0 if self._paused or not self.running else len(self._waiting) + len(self._unfinished())

    def wait(self) -> float:
        """Seconds until the next step."""
        due = 0.0
        if not len(self._waiting):
            due = min((made.due for made in self._unfinished()), default=0.0) - self._clock()
        return max(self.interval, self._bucket.wait(), due)

    # -- tasks -------------------------------------------------------------------------------------------------------

    def add(self, task: Task) -> int:
        """Its number. `Gone` if there is no such process, `Refused` where nobody may look at it."""
        made = tasks.errand(next(self._numbers), task, self._doors)
        self._start_afresh()
        with self._lock:
            self._errands[made.number] = made
        self._wake()
        return made.number

    def tasks(self) -> tuple[TaskReport, ...]:
        """Those that wait, are under way, or failed; who is done is gone from the list."""
        with self._lock:
            return tuple(made.report() for made in self._errands.values())

    def remove(self, number: int) -> bool:
        """Whether there was such a task."""
        with self._lock:
            return self._errands.pop(number, None) is not None

    def pause(self) -> None:
        self._paused = True

    def proceed(self) -> None:
        self._paused = False
        self._wake()

    def state(self) -> str:
        """In memtierd's words."""
        if not self.running:
            return NOT_RUNNING
        if self._paused:
            return PAUSED
        return BUSY if self.pending() else ALL_DONE

    def close(self) -> None:
        if self._marks is not None:
            self._marks.__exit__(None, None, None)
            self._marks = None

    def _unfinished(self) -> list[Errand]:
        with self._lock:
            return [made for made in self._errands.values() if not made.finished]

    def _start_afresh(self) -> None:
        """A rest earns no storm: what was not used while there was nothing to do is lost."""
        if not len(self._waiting) and not self._unfinished():
            self._bucket.empty()

    # -- a step ------------------------------------------------------------------------------------------------------

    def step(self, known: Mapping[int, Process], stopped: Callable[[], bool]) -> Moved:
        """Move as much as is allowed now. `known`: processes whose regions are told what happened."""
        budget = self._bucket.level()
        if budget < 0 or not self.pending() or self.config.bandwidth_mib <= 0:
            return Moved()
        moved = self._of_tasks(known, budget, stopped)
        if moved.spent <= budget:
            moved += self._of_policy(known, budget - moved.spent, stopped)
        self._bucket.spend(moved.spent)
        return moved

    def _of_tasks(self, known: Mapping[int, Process], budget: float, stopped: Callable[[], bool]) -> Moved:
        moved, now = Moved(), self._clock()
        for made in [each for each in self._unfinished() if each.due <= now][:_STEP_TASKS]:
            if moved.spent > budget or stopped():
                break
            moved += self._of_errand(made, known.get(made.task.pid), budget - moved.spent)
            if made.finished:
                self._finished(made)
        return moved

    def _of_policy(self, known: Mapping[int, Process], budget: float, stopped: Callable[[], bool]) -> Moved:
        moved, left_over = Moved(), list[tuple[Group, int]]()
        for group in self._waiting.take(max(budget, BLOCK_PAGES * self._doors.page_size)):
            if moved.spent > budget or stopped():
                left_over.append((group, 0))
            elif group.pid in known:
                done, address = self._of_group(known[group.pid], group, budget - moved.spent)
                moved += done
                left_over += [(group, address)] if address is not None else []
        for group, address in reversed(left_over):
            self._waiting.put_back(group, address)
        return moved

    # -- one process -------------------------------------------------------------------------------------------------

    def _of_group(self, known: Process, group: Group, budget: float) -> tuple[Moved, int | None]:
        ledger, wanted = Ledger(self._doors.page_size, known.regions), group.ranges()
        try:
            marks = self._idle_marks() if group.only_idle else None
            with Site(self._doors, known.identity, known.mapped, marks) as site:
                to = self._destination(group.to, int(group.rows["bytes"].sum()))
                way = self._way(site, known.figures, to)
                passed = carry_out(site, way, wanted, budget, ledger)
        except Gone:  # exited or exec'ed meanwhile
            return Moved(), None
        except KernelError as error:  # a security module may forbid one process; the others go on
            self._troubled(str(error))
            ledger.book_failure(wanted)
            return Moved(), None
        visited = _before(wanted, passed.next)
        self._book(ledger, to, visited)
        self._nowhere(way)
        return _moved(ledger, to, passed.spent), passed.next

    def _of_errand(self, made: Errand, known: Process | None, budget: float) -> Moved:
        """A turn of a task; a process whose regions are tracked is told."""
        made.state = tasks.MOVING
        ledger = made.ledger
        ledger.mine = known.regions if known is not None and known.identity == made.identity else ledger.mine[:0]
        ledger.of_region = {}
        before = (ledger.wanted, ledger.moved, ledger.looked)
        figures, wanted = self.book.figures(made.identity, self._clock()), made.rest
        to = self._destination(made.task.to, int(budget))
        try:
            with Site(self._doors, made.identity, made.mapped) as site:
                way = self._way(site, figures, to)
                passed = carry_out(site, way, wanted, budget, ledger)
        except KernelError as error:
            self._fails(made, error)
            return Moved()
        self._book(ledger, to, _before(wanted, passed.next))
        made.passed(passed.next)
        if made.attempt == 1:
            made.done += ledger.wanted - before[0] if to == BACK else ledger.looked - before[2]
        made.moved += ledger.moved - before[1]
        if passed.next is None:
            why = way.why if isinstance(way, Migration) else ""
            made.end_attempt(self._clock(), lambda: tasks.why_stayed(self._doors, made, why))
        this = Ledger(ledger.page_size, wanted=ledger.wanted - before[0], moved=ledger.moved - before[1])
        return _moved(this, to, passed.spent)

    def _fails(self, made: Errand, error: KernelError) -> None:
        self._troubled(str(error))
        if isinstance(error, Gone):
            made.finish(f"process {made.task.pid} has ended, or is another program now")
        elif isinstance(error, Busy) and made.attempt < tasks.ATTEMPTS:
            made.again(self._clock(), str(error))
        else:
            made.finish(str(error))

    def _finished(self, made: Errand) -> None:
        """Who is done leaves the list; who failed stays to be read, with the last hundred."""
        self.book.happened(f"task {made.state}", self._clock())
        with self._lock:
            if made.state == tasks.DONE:
                self._errands.pop(made.number, None)
            failed = [number for number, each in self._errands.items() if each.finished]
            for number in failed[:-_MOST_FINISHED]:
                del self._errands[number]

    def _way(self, site: Site, figures: Figures, to: tuple[int, ...]) -> Way:
        if to == TO_SWAP:
            return PageOut(site, figures)
        if to == BACK:
            return SwapIn(site, figures)
        return Migration(site, to, self.rooms, figures, self.book)

    def _destination(self, to: tuple[int, ...], size: int) -> tuple[int, ...]:
        """Of a list that names swap beside nodes: the nodes as long as one of them has room, then swap."""
        nodes = tuple(node for node in to if node != SWAP)
        if not nodes or len(nodes) == len(to):
            return to
        fits = any(node.number in nodes and room(node) >= size for node in self.rooms.nodes())
        return nodes if fits else TO_SWAP

    def _book(self, ledger: Ledger, to: tuple[int, ...], visited: Ranges) -> None:
        if not len(ledger.mine):
            return
        if to == TO_SWAP:
            ledger.book_out(visited)
        elif to == BACK:
            ledger.book_back(visited)
        else:
            ledger.book_nodes(visited)

    def _idle_marks(self) -> PageIdle:
        if self._marks is None:
            try:
                self._marks = PageIdle(self._doors.tree, self._doors.page_size)
            except KernelError as error:
                raise Rejected(
                    None,
                    f"pages may only move while they are idle, and nobody can tell: {error.strerror}",
                    error.filename,
                ) from error
        return self._marks

    def _nowhere(self, way: Way) -> None:
        if isinstance(way, Migration) and way.why:
            self._troubled(way.why)

    def _troubled(self, why: str) -> None:
        self._trouble = why, self._clock()
        self.book.happened(f"mover: {why}", self._clock())


def _moved(ledger: Ledger, to: tuple[int, ...], spent: int) -> Moved:
    size = ledger.moved * ledger.page_size
    if to == TO_SWAP:
        return Moved(advised=spent, left=size, spent=spent)
    if to == BACK:
        return Moved(back=size, spent=spent)
    return Moved(to_nodes=size, spent=spent)


def _before(wanted: Ranges, address: int | None) -> Ranges:
    """The part of the ranges below an address."""
    if address is None:
        return wanted
    start, end = wanted
    mask = start < np.uint64(address)
    return start[mask], np.minimum(end[mask], np.uint64(address))
