"""What a workload's policy wants moved, as far as the brakes allow, handed to its mover."""

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from reconciler import brakes, logfmt
from reconciler.brakes import Hold
from reconciler.engine.gauges import Gauges
from reconciler.engine.members import Members
from reconciler.engine.mover import Mover
from reconciler.engine.policies import catalogue
from reconciler.engine.policies.policy import Move, Policy, Seat, View
from reconciler.engine.surroundings import Surroundings
from reconciler.engine.ticker import Ticker
from reconciler.model import EngineTask
from sysfs import cgroup
from sysfs.errors import KernelError
from sysfs.maps import Kind

_BRAKE_CHECK_S = 1.0

_log = logging.getLogger("ebbtide.engine")


class Moving:
    def __init__(self, task: EngineTask, around: Surroundings, kinds: frozenset[int]) -> None:
        self._task, self._around, self._kinds = task, around, kinds
        self.policy: Policy = catalogue.make(task.config.policy)
        size = around.features.page_size
        self.mover = Mover(around.tree, task.config.mover, size, around.clock, around.target)
        self._gauges = Gauges(around.tree)
        self._checking = Ticker(_BRAKE_CHECK_S, around.clock())
        self._hold, self.brake, self._allowed = Hold(), "", kinds
        self._turn = 0
        self.advised = self.left = self.back = 0  # bytes

    def wanted(self) -> bool:
        return self._task.config.moves()

    def pending(self) -> int:
        return self.mover.pending()

    def wait(self) -> float:
        return self.mover.wait()

    def came_back(self, size: int) -> None:
        self.back += size
        self._gauges.came_back(self._around.clock(), size)

    def decide(self, members: Members, now: int) -> None:
        self._turn += 1
        self._allow(members)
        view = self.view(members, now)
        self.policy.observe(view)
        self.mover.replace(self.policy.moves(view))

    def looked(self, members: Members, now: int) -> None:
        """After a round of looks: what is in use again is not moved any more."""
        if self.mover.pending():
            self.mover.keep(self._moves(members, now))

    def step(self, members: Members, now: int, stopped: Callable[[], bool]) -> None:
        if self._checking.take(self._around.clock()):
            self._allow(members)
            self.mover.keep(self._moves(members, now))
        moved = self.mover.step(members.known, stopped)
        self.advised += moved.advised
        self.left += moved.left

    def view(self, members: Members, now: int) -> View:
        seats = {
            pid: Seat(regions=each.regions, looked=each.looked, idle=each.idle) for pid, each in members.known.items()
        }
        return View(
            seats=seats,
            now=now,
            turn=self._turn,
            page_size=self._around.features.page_size,
            leaving=self._allowed,
            moving=self._allowed,
        )

    def _moves(self, members: Members, now: int) -> Sequence[Move]:
        return self.policy.moves(self.view(members, now))

    # -- the brakes ------------------------------------------------------------------------------------------------

    def _allow(self, members: Members) -> None:
        """Look at the brakes: which kinds of pages may leave now, and why others may not."""
        now, limits = self._around.clock(), self._task.brakes
        try:
            signals = self._gauges.read(now, self._directories(members), self._out_bytes(members))
        except KernelError as error:  # who cannot see the brakes does not drive
            self._allowed = frozenset()
            self._say(str(error))
            return
        self._hold = brakes.hold(self._hold, brakes.hurts(limits, signals), now)
        closed = brakes.swap_closed(limits, signals) if Kind.ANON in self._kinds else ""
        paused = "paused: `ebbtide resume` goes on" if self._around.paused() else ""
        stop = paused or self._hold.reason or self._no_bandwidth()
        self._say(stop or closed)
        open_kinds = self._kinds - {int(Kind.ANON)} if closed else self._kinds
        self._allowed = frozenset() if stop else open_kinds

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
