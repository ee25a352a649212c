"""One workload's loop: who its processes are, which of their memory is used, what leaves.

`run` does what is due and says when to come again; the scheduler calls it, never twice at once. Other threads only
read: columns and counters are replaced as wholes, and a report sums up what is there.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from reconciler import brakes, logfmt
from reconciler.brakes import Hold
from reconciler.engine import accessed, processes, regions, routines
from reconciler.engine.accessed import AccessedTable
from reconciler.engine.bucket import Bucket
from reconciler.engine.claims import Claims
from reconciler.engine.gauges import Gauges
from reconciler.engine.members import Members
from reconciler.engine.mover import Mover, Target
from reconciler.engine.policies import age
from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.ticker import Ticker
from reconciler.engine.trackers.tracker import Makers, Tracker
from reconciler.model import EngineTask, Features
from reconciler.report import EngineReport
from sysfs import cgroup
from sysfs.errors import Gone, KernelError
from sysfs.maps import Kind
from sysfs.tree import Tree

KINDS: Mapping[str, Kind] = {"anon": Kind.ANON, "file": Kind.FILE}
NEVER = float("inf")
_BRAKE_CHECK_S = 1.0
_STUCK_TRIES = 4  # fewer happen to pages that are just being written out
_LONG_RUN_S = 30.0
_LONGEST_WAIT_S = 2.0  # then the budget is asked again: it may have been raised

_log = logging.getLogger("ebbtide.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What all loops share."""

    tree: Tree
    features: Features
    trackers: Makers
    budget: Bucket  # seconds of CPU time for scanning
    clock: Callable[[], float]
    cpu_clock: Callable[[], float]
    epoch: float  # when the engine started, on that clock
    output: Callable[[str, str], None]  # workload, text of a routine
    target: Target
    claims: Claims
    paused: Callable[[], bool] = lambda: False


class Session:
    def __init__(self, task: EngineTask, around: Surroundings) -> None:
        self.task, self._around = task, around
        config, now = task.config, around.clock()
        self._kinds = frozenset(int(KINDS[name]) for name in config.policy.page_types if name in KINDS)
        self._watching = Ticker(_seconds(config.watcher.interval_ms), now)
        self._scanning = _later(config.tracker.scan_interval_ms, now)
        self._deciding = _later(config.policy.interval_ms, now)
        self._routines = [_later(each.interval_ms, now) for each in config.routines]
        self._checking = Ticker(_BRAKE_CHECK_S, now)
        self._move_at = NEVER
        size, scan = around.features.page_size, around.features.works("pagemap-scan")
        self._surveyor = Surveyor(around.tree, self._kinds, config.tracker.pages_in_region, size, scan=scan)
        self._mover = Mover(around.tree, config.mover, size, around.clock, around.target)
        self._gauges = Gauges(around.tree)
        self._tracker: Tracker | None = None
        self._members = Members(task, around.tree, around.claims)
        self._hold, self._brake, self._allowed = Hold(), "", self._kinds
        self._turn = self._scans = 0
        self._scan_seconds = 0.0
        self._advised = self._left = self._back = 0
        self._stretched = 0.0
        self._unmarked = ""
        self._stopped = False
        self._since = NEVER  # when the run under way began
        self._busy = threading.Lock()

    # -- from other threads ------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Returns at once; a run under way ends at its next step."""
        self._stopped = True
        self._close_if_stopped()

    def report(self) -> EngineReport:
        known = list(dict(self._members.known).values())
        policy, size = self.task.config.policy, self.page_size
        idle = [age.idle(each.regions, each.looked, policy.swapout_ms) for each in known]
        data = [regions.data_pages(each.regions) for each in known]
        return EngineReport(
            tracker=self.task.tracker,
            task=self.task.fingerprint(),
            processes=len(known),
            regions=sum(len(each.regions) for each in known),
            scans=self._scans,
            scan_seconds=round(self._scan_seconds, 6),
            tracked_bytes=sum(int(pages.sum()) for pages in data) * size,
            idle_bytes=sum(int(pages[mask].sum()) for pages, mask in zip(data, idle, strict=True)) * size,
            advised_bytes=self._advised,
            paged_out_bytes=self._left,
            came_back_bytes=self._back,
            brake=self._brake,
            error=self._error(),
            notes=self._notes(known),
        )

    def accessed(self, limits: tuple[float, ...], pids: tuple[int, ...] = ()) -> AccessedTable:
        known = {pid: each for pid, each in dict(self._members.known).items() if not pids or pid in pids}
        looked = {pid: (each.regions, each.looked) for pid, each in known.items()}
        return accessed.table(looked, limits, self.page_size, self.task.tracker)

    @property
    def page_size(self) -> int:
        return self._around.features.page_size

    def figures(self) -> dict[int, processes.Figures]:
        return {pid: each.figures for pid, each in dict(self._members.known).items()}

    # -- the loop ----------------------------------------------------------------------------------------------------

    def run(self) -> float:
        """Do what is due; returns the next deadline."""
        try:
            with self._busy:
                self._since = self._around.clock()
                return NEVER if self._stopped else self._run()
        finally:
            self._since = NEVER
            self._close_if_stopped()

    def _run(self) -> float:
        now = self._around.clock()
        if self._watching.take(now):
            self._armed()
            self._members.watch(self._begin, lambda: self._stopped)
        if now >= self._scanning.due:
            self._scan_or_wait(now)
        if self._deciding.take(now):
            self._decide()
        if self._around.clock() >= self._move_at:
            self._move()
        for ticker, routine in zip(self._routines, self.task.config.routines, strict=True):
            if ticker.take(now):
                self._around.output(self.task.workload, routines.answer(routine.command, self))
        tickers = (self._watching, self._scanning, self._deciding, *self._routines)
        return min(self._move_at, *(ticker.due for ticker in tickers))

    def _close_if_stopped(self) -> None:
        if self._stopped and self._busy.acquire(blocking=False):
            try:
                if self._tracker is not None:
                    self._tracker.close()
                self._tracker = None
                self._members.leave()
            finally:
                self._busy.release()

    def deciseconds(self) -> int:
        return int((self._around.clock() - self._around.epoch) * 10)

    def _armed(self) -> Tracker:
        """The tracker, made when it is first needed: opening its files may fail, and that ends the loop."""
        if self._tracker is None:
            self._tracker = self._around.trackers[self.task.tracker](self._around.tree, self._surveyor)
        return self._tracker

    # -- whose memory ------------------------------------------------------------------------------------------------

    def _begin(self, known: Process) -> None:
        """The first look at a process."""
        begin = self._around.cpu_clock()
        self._refresh(known)
        self._armed().begin(known)
        self._around.budget.spend(self._around.cpu_clock() - begin)

    # -- what was used -----------------------------------------------------------------------------------------------

    def _scan_or_wait(self, now: float) -> None:
        if wait := min(self._around.budget.wait(), _LONGEST_WAIT_S):
            self._scanning.due = now + wait
            self._stretched += wait
            return
        self._scanning.take(now)
        begin = self._around.cpu_clock()
        self._scan()
        self._around.budget.spend(self._around.cpu_clock() - begin)

    def _scan(self) -> None:
        tracker, begin = self._armed(), self._around.clock()
        for pid, known in list(self._members.known.items()):
            if self._stopped:
                return
            self._members.guarded(pid, partial(self._look, tracker, known))
        self._finish(tracker)
        self._scans += 1
        self._scan_seconds = self._around.clock() - begin
        if self._mover.pending():
            self._mover.keep(self._candidates(self._allowed))

    def _finish(self, tracker: Tracker) -> None:
        """What it could not mark is as if it had been accessed: that errs on the safe side."""
        self._unmarked = ""
        try:
            tracker.finish()
        except KernelError as error:
            self._unmarked = str(error)

    def _look(self, tracker: Tracker, known: Process) -> None:
        if not processes.is_still(self._around.tree, known):
            raise Gone(None, "is another process now", f"/proc/{known.pid}")
        begin = self._around.clock()
        if begin - known.refreshed >= self.task.config.tracker.regions_update_ms / 1000:
            self._refresh(known)
        seen = tracker.look(known)
        known.looked = self.deciseconds()
        known.regions = regions.look(known.regions, seen, known.looked)
        present = known.regions["present"]
        known.figures.scanned(int(present.sum()), int(present[seen].sum()), self._around.clock() - begin)

    def _refresh(self, known: Process) -> None:
        back = self._surveyor.refresh(known, self._around.clock(), self.deciseconds())
        self._back += back * self.page_size
        self._gauges.came_back(self._around.clock(), back * self.page_size)

    # -- what leaves -------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        if not self.task.config.moves():
            return
        self._turn += 1
        self._allow()
        self._mover.replace(self._candidates(self._allowed))
        self._move_at = self._around.clock() if self._mover.pending() else NEVER

    def _candidates(self, kinds: frozenset[int]) -> Mapping[int, regions.Regions]:
        """Regions that should leave by what is known now."""
        after, found = self.task.config.policy.swapout_ms, {}
        for pid, each in self._members.known.items():
            index = age.candidates(each.regions, each.looked, after, kinds, self._turn)
            found[pid] = each.regions[index]
        return found

    def _allow(self) -> None:
        """Look at the brakes: which kinds of pages may leave now, and why others may not."""
        now, limits = self._around.clock(), self.task.brakes
        try:
            signals = self._gauges.read(now, self._brake_directories(), self._out_bytes())
        except KernelError as error:  # who cannot see the brakes does not drive
            self._allowed = frozenset()
            self._say_brake(str(error))
            return
        self._hold = brakes.hold(self._hold, brakes.hurts(limits, signals), now)
        closed = brakes.swap_closed(limits, signals) if Kind.ANON in self._kinds else ""
        paused = "paused: `ebbtide resume` goes on" if self._around.paused() else ""
        stop = paused or self._hold.reason or self._no_bandwidth()
        self._say_brake(stop or closed)
        open_kinds = self._kinds - {int(Kind.ANON)} if closed else self._kinds
        self._allowed = frozenset() if stop else open_kinds

    def _say_brake(self, brake: str) -> None:
        if bool(brake) != bool(self._brake):
            event = "event=page-out-braked" if brake else "event=page-out-goes-on"
            _log.info("%s", logfmt.line(event, workload=self.task.workload, reason=brake))
        self._brake = brake

    def _no_bandwidth(self) -> str:
        return "" if self.task.config.mover.bandwidth_mib > 0 else "mover bandwidth is 0: nothing is moved"

    def _out_bytes(self) -> int:
        pages = sum(int(each.regions["out"].sum()) for each in self._members.known.values())
        return pages * self.page_size

    def _brake_directories(self) -> tuple[str, ...]:
        """The workload's cgroups; of bare processes the cgroup of the first."""
        if found := self._members.directories():
            return found
        mount = self._around.features.cgroup_mount
        for pid in sorted(self._members.known) if mount else ():
            with suppress(KernelError):
                path = cgroup.path_of_process(self._around.tree, pid)
                return (mount + path,) if path.strip("/") else ()
        return ()

    def _move(self) -> None:
        if self._checking.take(self._around.clock()):
            self._allow()
            self._mover.keep(self._candidates(self._allowed))
        moved = self._mover.step(self._members.known, lambda: self._stopped)
        self._advised += moved.advised
        self._left += moved.left
        self._move_at = self._around.clock() + self._mover.wait() if self._mover.pending() else NEVER

    # -- what is said ------------------------------------------------------------------------------------------------

    def _error(self) -> str:
        if (lasted := self._around.clock() - self._since) >= _LONG_RUN_S:
            return (
                f"one turn has lasted for {lasted:.0f} s: the kernel may hang, see /proc/PID/task/*/stack of the daemon"
            )
        return self._members.trouble() or (self._mover.trouble if not self._left else "")

    def _notes(self, known: list[Process]) -> tuple[str, ...]:
        notes = [self._tracker.note] if self._tracker is not None and self._tracker.note else []
        notes += self._members.notes()
        notes += [f"accessed pages could not be marked: {self._unmarked}"] if self._unmarked else []
        notes += [self._mover.trouble] if self._mover.trouble else []
        if skipped := sum(each.skipped_bytes for each in known):
            notes.append(
                f"{skipped >> 30} GiB of address space in mappings too large for this kernel (needs Linux 6.7)"
            )
        if self._stretched >= 1:
            notes.append(f"scans were put off by {self._stretched:.0f} s in all to stay within engine.cpupercent")
        stuck = sum(int(each.regions["present"][each.regions["tries"] >= _STUCK_TRIES].sum()) for each in known)
        if size := stuck * self.page_size >> 20:
            notes.append(f"{size} MiB do not leave: shared with other processes, locked, or dirty file pages")
        return tuple(notes)


def _seconds(milliseconds: int) -> float:
    return max(milliseconds, 1) / 1000


def _later(milliseconds: int, now: float) -> Ticker:
    """Due for the first time after one interval."""
    return Ticker(_seconds(milliseconds), now + _seconds(milliseconds))
