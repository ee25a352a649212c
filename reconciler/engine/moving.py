"""What a workload's policy wants moved, as far as the brakes allow, handed to its mover."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TypeVar

from reconciler import brakes, logfmt
from reconciler.brakes import Hold
from reconciler.engine import locating, pages_of_interest
from reconciler.engine.damos import Damos
from reconciler.engine.figures import Book
from reconciler.engine.forecasters import catalogue as forecasters
from reconciler.engine.forecasters import forecaster
from reconciler.engine.gauges import Gauges
from reconciler.engine.locating import Located
from reconciler.engine.members import Members
from reconciler.engine.mover import Moved, Mover
from reconciler.engine.pages_of_interest import Interest
from reconciler.engine.policies import catalogue
from reconciler.engine.policies.policy import Move, NodeRoom, Policy, Seat, View
from reconciler.engine.processes import Process
from reconciler.engine.rooms import Rooms
from reconciler.engine.site import Site
from reconciler.engine.surroundings import Surroundings
from reconciler.engine.ticker import Ticker
from reconciler.engine.trackers.tracker import Means
from reconciler.engineconfig import AvoidOomConfig, DamosConfig, DemoteIdleConfig
from reconciler.model import EngineTask
from sysfs import cgroup, numa, process
from sysfs.errors import KernelError
from sysfs.maps import Kind
from sysfs.tree import Tree

_BRAKE_CHECK_S = 1.0
_BALANCING = (
    "the kernel moves pages between nodes, too, to where they are used, and may undo what this policy does:"
    " echo 0 > /proc/sys/kernel/numa_balancing"
)
_T = TypeVar("_T")

_log = logging.getLogger("ebbtide.engine")


class Moving:
    def __init__(self, task: EngineTask, around: Surroundings, kinds: frozenset[int]) -> None:
        self._task, self._around, self._kinds = task, around, kinds
        self._forecaster = forecasters.of_policy(task.config.policy, _means(around))
        epoch_ns = time.time_ns() - int((around.clock() - around.epoch) * 1e9)
        self.policy: Policy = catalogue.make(task.config.policy, self._forecaster, epoch_ns)
        self._kernel: Damos | None = None  # who acts instead of our mover
        self._done = ""  # what it has done so far, for people
        self._rival = ""  # who else moves pages between nodes
        self._interest: Interest | None = None
        self._doors = replace(around.doors, page_size=around.features.page_size)
        self.book, self._rooms = Book(), Rooms(around.tree, around.clock)
        self.mover = Mover(
            self._doors,
            task.config.mover,
            around.clock,
            book=self.book,
            rooms=self._rooms,
            wake=lambda: around.hurry(task.workload, around.clock()),
        )
        self._gauges = Gauges(around.tree)
        self._checking = Ticker(_BRAKE_CHECK_S, around.clock())
        self._hold, self.brake = Hold(), ""
        self._leaving = self._movable = kinds
        self._located: dict[int, Located] = {}
        self._allowed: dict[int, frozenset[int]] = {}
        self._scores: dict[int, int] = {}
        self._turn = 0
        self.sums, self.back = Moved(), 0  # back: bytes that were paged out and used again

    def wanted(self) -> bool:
        return self._task.config.moves()

    def decides(self) -> bool:
        """Whether its policy is asked at all: one that keeps a record of heats is, also when nothing is moved."""
        return self.wanted() or self.policy.resets

    def pending(self) -> int:
        return self.mover.pending()

    def wait(self) -> float:
        return self.mover.wait()

    def arm(self, means: Means) -> None:
        """What may fail where this kernel lacks it: that ends the loop."""
        policy = self._task.config.policy
        if isinstance(policy, DamosConfig) and self.wanted():
            self._kernel = Damos(policy, means)

    def roster(self, members: Members) -> None:
        """Whose memory it is about, after each watch. The kernel acts at once: so the brakes are looked at before."""
        if self._kernel is not None:
            self._allow(members)
            self._let_the_kernel_act(self._kernel)
            self._kernel.roster(members.known)

    def close(self) -> None:
        self.mover.running = False
        self.mover.close()
        if self._kernel is not None:
            self._kernel.close()
            self._kernel = None
        if self._forecaster is not None:
            self._forecaster.close()

    def notes(self) -> list[str]:
        """What a reader of the report must know."""
        notes = [self.policy.note, *(self._interest.notes if self._interest is not None else ()), self._rival]
        notes += [kernel.note, self._done] if (kernel := self._kernel) is not None else []
        return [note for note in notes if note]

    def came_back(self, size: int) -> None:
        self.back += size
        self._gauges.came_back(self._around.clock(), size)

    def decide(self, members: Members, now: int) -> None:
        """Policies that only measure observe, too: what they learn can be read."""
        self._turn += 1
        if self.wanted():
            self._allow(members)
        self._survey(members)
        view = self.view(members, now)
        self.policy.observe(view)
        if self.wanted():
            self.mover.replace(self.policy.moves(view))
        if self._kernel is not None:
            self._let_the_kernel_act(self._kernel)
            self._done = self._said_of(self._kernel)
        if self.policy.resets:
            members.reset_counters()
        self.book.happened("decision", self._around.clock())

    def _let_the_kernel_act(self, kernel: Damos) -> None:
        """The brakes hold schemes, too, and as a whole: a scheme takes memory of every kind."""
        free = self._leaving if self._task.config.pages_out() else self._movable
        if free != self._kinds and not kernel.paused:
            kernel.pause()
        elif free == self._kinds and kernel.paused:
            kernel.proceed()

    def _said_of(self, kernel: Damos) -> str:
        """Asked by the loop itself: DAMON may let others wait, and reports must not."""
        try:
            done = kernel.figures()
        except KernelError as error:
            return f"what the kernel has done cannot be read: {error}"
        return (
            f"the kernel tried {done.tried_bytes >> 20} MiB and applied {kernel.action} to"
            f" {done.applied_bytes >> 20} MiB; its quota was exceeded {done.quota_exceeded} times"
        )

    def looked(self, members: Members, now: int) -> None:
        """After a round of looks: what is in use again is not moved any more."""
        if self.mover.waiting():
            self.mover.keep(self._moves(members, now))

    def step(self, members: Members, now: int, stopped: Callable[[], bool]) -> None:
        if self._checking.take(self._around.clock()):
            self._check(members, now)
        self.sums += self.mover.step(members.known, stopped)

    def _check(self, members: Members, now: int) -> None:
        if self.wanted():
            self._allow(members)
        if self.mover.waiting():
            self.mover.keep(self._moves(members, now))

    def view(self, members: Members, now: int) -> View:
        nodes = self._rooms.nodes()
        return View(
            seats={pid: self._seat(each, nodes) for pid, each in members.known.items()},
            now=now,
            turn=self._turn,
            page_size=self._around.features.page_size,
            leaving=self._leaving,
            moving=self._movable,
            nodes=nodes,
            interest=self._interest.ranges if self._interest is not None else None,
        )

    def node_bytes(self) -> dict[str, int]:
        """On each node, at the last decision of a policy that asks where memory is."""
        size, found = self._around.features.page_size, dict[str, int]()
        for each in list(self._located.values()):
            for node, pages in zip(each.nodes, each.pages.sum(axis=0).tolist(), strict=True):
                found[str(node)] = found.get(str(node), 0) + pages * size
        return found

    # -- where memory is ---------------------------------------------------------------------------------------------

    def _seat(self, known: Process, nodes: Sequence[NodeRoom]) -> Seat:
        located, mine = self._located.get(known.pid), known.regions  # once: a scan may replace them meanwhile
        return Seat(
            regions=mine,
            looked=known.looked,
            on_node=located.of(mine, [node.number for node in nodes]) if located is not None else None,
            allowed=self._allowed.get(known.pid, frozenset()),
            oom_score=self._scores.get(known.pid, 0),
            idle=known.idle,
        )

    def _survey(self, members: Members) -> None:
        """Which nodes processes may use, and all else that only this policy wants to know."""
        nodes = tuple(node.number for node in self._rooms.nodes())
        if len(nodes) > 1:
            self._allowed = self._of_each(members, process.memory_nodes)
        match self._task.config.policy:
            case AvoidOomConfig():
                self._scores = self._of_each(members, process.oom_score)
            case DemoteIdleConfig(pages_of_interest_directory=directory) if directory:
                self._interest = pages_of_interest.read(directory, self._around.features.page_size)
        self._rival = _BALANCING if self._places() and len(nodes) > 1 and numa.balancing(self._around.tree) else ""
        if self.policy.locates:
            self._located = self._locate(members, nodes)

    def _places(self) -> bool:
        """Whether it is decided here which node memory is on."""
        policy = self._task.config.policy
        return self.wanted() and (self.policy.locates or (isinstance(policy, DamosConfig) and bool(policy.nodes)))

    def _of_each(self, members: Members, read: Callable[[Tree, int], _T]) -> dict[int, _T]:
        found: dict[int, _T] = {}
        for pid in members.known:
            with suppress(KernelError):
                found[pid] = read(self._around.tree, pid)
        return found

    def _locate(self, members: Members, nodes: tuple[int, ...]) -> dict[int, Located]:
        located: dict[int, Located] = {}
        for pid, known in members.known.items():
            with suppress(KernelError), Site(self._doors, known.identity, known.mapped) as site:
                located[pid] = locating.locate(site, known.regions, nodes)
        return located

    def _moves(self, members: Members, now: int) -> Sequence[Move]:
        return self.policy.moves(self.view(members, now))

    # -- the brakes ------------------------------------------------------------------------------------------------

    def _allow(self, members: Members) -> None:
        """Look at the brakes: which kinds of pages may leave now, and why others may not."""
        now, limits = self._around.clock(), self._task.brakes
        try:
            signals = self._gauges.read(now, self._directories(members), self._out_bytes(members))
        except KernelError as error:  # who cannot see the brakes does not drive
            self._leaving = self._movable = frozenset()
            self._say(str(error))
            return
        self._hold = brakes.hold(self._hold, brakes.hurts(limits, signals), now)
        swaps = Kind.ANON in self._kinds and self._task.config.pages_out()
        closed = brakes.swap_closed(limits, signals) if swaps else ""
        paused = "paused: `ebbtide resume` goes on" if self._around.paused() else ""
        still = paused or self._no_bandwidth()  # nothing moves at all; the other brakes are for what leaves memory
        stop = still or self._hold.reason
        self._say(stop or closed)
        open_kinds = self._kinds - {int(Kind.ANON)} if closed else self._kinds
        self._leaving = frozenset() if stop else open_kinds
        self._movable = frozenset() if still else self._kinds

    def _say(self, brake: str) -> None:
        if bool(brake) != bool(self.brake):
            event = "event=page-out-braked" if brake else "event=page-out-goes-on"
            _log.info("%s", logfmt.line(event, workload=self._task.workload, reason=brake))
        self.brake = brake

    def _no_bandwidth(self) -> str:
        return "" if self._task.config.mover.bandwidth_mib > 0 else "mover bandwidth is 0: nothing is moved"

    def _out_bytes(self, members: Members) -> int:
        pages = sum(int(each.regions["out"].sum()) for each in members.known.values())
        return pages * self._around.features.page_size

    def _directories(self, members: Members) -> tuple[str, ...]:
        """The workload's cgroups; of bare processes the cgroup of the first, of whoever is there the whole node's."""
        if (found := members.directories()) or self._task.config.watcher.leaf().name == "proc":
            return found
        mount = self._around.features.cgroup_mount
        for pid in sorted(members.known) if mount else ():
            with suppress(KernelError):
                path = cgroup.path_of_process(self._around.tree, pid)
                return (mount + path,) if path.strip("/") else ()
        return ()


def _means(around: Surroundings) -> forecaster.Means:
    return forecaster.Means(page_size=around.features.page_size, clock=around.clock, wall_clock=time.time_ns)
