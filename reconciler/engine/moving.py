"""What a workload's policy wants moved, as far as the brakes allow, handed to its mover."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from reconciler import brakes, logfmt
from reconciler.brakes import Hold
from reconciler.engine import locating, regions
from reconciler.engine.figures import Book
from reconciler.engine.gauges import Gauges
from reconciler.engine.locating import Located
from reconciler.engine.members import Members
from reconciler.engine.mover import Moved, Mover
from reconciler.engine.policies import catalogue
from reconciler.engine.policies.policy import Move, Policy, Seat, View
from reconciler.engine.processes import Process
from reconciler.engine.rooms import Rooms
from reconciler.engine.site import Site
from reconciler.engine.surroundings import Surroundings
from reconciler.engine.ticker import Ticker
from reconciler.model import EngineTask
from sysfs import cgroup, process
from sysfs.errors import KernelError
from sysfs.maps import Kind

_BRAKE_CHECK_S = 1.0

_log = logging.getLogger("ebbtide.engine")


class Moving:
    def __init__(self, task: EngineTask, around: Surroundings, kinds: frozenset[int]) -> None:
        self._task, self._around, self._kinds = task, around, kinds
        self.policy: Policy = catalogue.make(task.config.policy)
        self._doors = replace(around.doors, page_size=around.features.page_size)
        self.book, self._rooms = Book(), Rooms(around.tree, around.clock)
        self.mover = Mover(
            self._doors,
            task.config.mover,
            around.clock,
            book=self.book,
            rooms=self._rooms,
            wake=lambda: around.hasten(task.workload),
        )
        self._gauges = Gauges(around.tree)
        self._checking = Ticker(_BRAKE_CHECK_S, around.clock())
        self._hold, self.brake = Hold(), ""
        self._leaving = self._movable = kinds
        self._located: dict[int, Located] = {}
        self._allowed: dict[int, frozenset[int]] = {}
        self._turn = 0
        self.sums, self.back = Moved(), 0  # back: bytes that were paged out and used again

    def wanted(self) -> bool:
        return self._task.config.moves()

    def pending(self) -> int:
        return self.mover.pending()

    def wait(self) -> float:
        return self.mover.wait()

    def close(self) -> None:
        self.mover.running = False
        self.mover.close()

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
        if self.policy.resets:
            for known in members.known.values():
                known.regions = regions.reset(known.regions)
        self.book.happened("decision", self._around.clock())

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
        return View(
            seats={pid: self._seat(each) for pid, each in members.known.items()},
            now=now,
            turn=self._turn,
            page_size=self._around.features.page_size,
            leaving=self._leaving,
            moving=self._movable,
            nodes=self._rooms.nodes(),
        )

    def node_bytes(self) -> dict[str, int]:
        """On each node, at the last decision of a policy that asks where memory is."""
        located = list(dict(self._located).values())
        size = self._around.features.page_size
        return {
            str(node.number): sum(int(each.pages[:, column].sum()) for each in located) * size
            for column, node in enumerate(self._rooms.nodes())
            if located
        }

    # -- where memory is ---------------------------------------------------------------------------------------------

    def _seat(self, known: Process) -> Seat:
        located = self._located.get(known.pid)
        return Seat(
            regions=known.regions,
            looked=known.looked,
            on_node=located.of(known.regions) if located is not None else None,
            allowed=self._allowed.get(known.pid, frozenset()),
        )

    def _survey(self, members: Members) -> None:
        """Which nodes processes may use and, if the policy wants to know, which they do use."""
        nodes = tuple(node.number for node in self._rooms.nodes())
        self._allowed = {}
        for pid in members.known if len(nodes) > 1 else ():
            with suppress(KernelError):
                self._allowed[pid] = process.memory_nodes(self._around.tree, pid)
        if self.policy.locates:
            begin = self._around.cpu_clock()
            self._located = self._locate(members, nodes)
            self._around.budget.spend(self._around.cpu_clock() - begin)

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
        """The workload's cgroups; of bare processes the cgroup of the first."""
        if found := members.directories():
            return found
        mount = self._around.features.cgroup_mount
        for pid in sorted(members.known) if mount else ():
            with suppress(KernelError):
                path = cgroup.path_of_process(self._around.tree, pid)
                return (mount + path,) if path.strip("/") else ()
        return ()
