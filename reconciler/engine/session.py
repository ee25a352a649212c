"""One workload's loop: who its processes are, which of their memory is used, what leaves.

`run` does what is due and says when to come again; the scheduler calls it, never twice at once. Other threads only
read: columns and counters are replaced as wholes, and a report sums up what is there.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from reconciler.engine import accessed, processes, regions, stats
from reconciler.engine.accessed import AccessedTable
from reconciler.engine.figures import Book, Figures
from reconciler.engine.heathistory import HeatHistory, Looked
from reconciler.engine.members import Members
from reconciler.engine.mover import Mover
from reconciler.engine.moving import Moving
from reconciler.engine.policies import age
from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.recording import Recording
from reconciler.engine.regions import Regions
from reconciler.engine.routines import Routines, Stage
from reconciler.engine.surroundings import Surroundings
from reconciler.engine.ticker import Ticker
from reconciler.engine.trackers.beside import Beside
from reconciler.engine.trackers.tracker import WITHOUT_ADDRESSES, Means, Tracker
from reconciler.engineconfig import AvoidOomConfig, DemoteIdleConfig
from reconciler.model import EngineTask
from reconciler.report import AgeBin, EngineReport
from sysfs.errors import Gone, KernelError
from sysfs.maps import Kind

KINDS: Mapping[str, Kind] = {"anon": Kind.ANON, "file": Kind.FILE}
NEVER = float("inf")
_STUCK_TRIES = 4  # fewer happen to pages that are just being written out
_LONG_RUN_S = 30.0
_CALM_S = 0.2  # between two watches, however often a bell rings
_SHORTEST_WAIT_S = 0.01
_LONGEST_WAIT_S = 2.0  # then the budget is asked again: it may have been raised

_log = logging.getLogger("ebbtide.engine")


class Session:
    def __init__(self, task: EngineTask, around: Surroundings, heat: HeatHistory | None = None) -> None:
        self.task, self._around = task, around
        config, now = task.config, around.clock()
        self._kinds = frozenset(int(KINDS[name]) for name in config.policy.page_types if name in KINDS)
        self._watching = Ticker(_seconds(config.watcher.interval_ms), now)
        self._scanning = _later(config.tracker.scan_interval_ms, now)
        self._deciding = _later(config.policy.interval_ms, now)
        self._tickers = self._watching, self._scanning, self._deciding
        self._stays_alive = isinstance(config.policy, AvoidOomConfig)  # its decisions cannot wait
        self._watched = float("-inf")
        self._move_at = NEVER
        size, scan = around.features.page_size, around.features.works("pagemap-scan")
        self._surveyor = Surveyor(around.tree, self._kinds, config.tracker.pages_in_region, size, scan=scan)
        self._moving = Moving(task, around, self._kinds)
        self._tracker: Tracker | None = None
        self._members = Members(task, around.tree, around.claims)
        self._routines = Routines(config.routines, self._stage(), now)
        self._scans = 0
        self._amounts: tuple[AgeBin, ...] = ()
        self._raw, self._reset = Recording(), False
        self.heat = heat or HeatHistory(around.features.page_size)
        self._scan_seconds = 0.0
        self._stretched = 0.0
        self._unmarked = ""
        self._stopped = False
        self._since = NEVER  # when the run under way began
        self._busy = threading.Lock()

    # -- from other threads ------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Returns at once; a run under way ends at its next step."""
        self._stopped = True
        self._routines.stop()
        self._close_if_stopped()

    def report(self) -> EngineReport:
        known = list(dict(self._members.known).values())
        columns = [(each.regions, each.looked) for each in known]  # once: a scan may replace them meanwhile
        size, after_ms = self.page_size, self.task.config.idle_after_ms()
        idle = [age.idle(mine, looked, after_ms) for mine, looked in columns]
        data = [regions.data_pages(mine) for mine, _ in columns]
        return EngineReport(
            tracker=self.task.tracker,
            policy=self.task.config.policy_name,
            task=self.task.fingerprint(),
            processes=len(known),
            regions=sum(len(mine) for mine, _ in columns),
            scans=self._scans,
            scan_seconds=round(self._scan_seconds, 6),
            tracked_bytes=sum(int(pages.sum()) for pages in data) * size,
            idle_bytes=sum(int(pages[mask].sum()) for pages, mask in zip(data, idle, strict=True)) * size,
            advised_bytes=self._moving.sums.advised,
            paged_out_bytes=self._moving.sums.left,
            away_bytes=sum(int(mine["out"].sum(dtype=np.int64)) for mine, _ in columns) * size,
            came_back_bytes=self._moving.back,
            brought_back_bytes=self._moving.sums.back,
            moved_bytes=self._moving.sums.to_nodes,
            node_bytes=self._moving.node_bytes(),
            brake=self._moving.brake,
            error=self._error(),
            notes=self._notes(known),
            amounts=self._amounts,
        )

    @property
    def workload(self) -> str:
        return self.task.workload

    def dump_policy(self, words: tuple[str, ...]) -> str:
        """The answer to the prompt's `policy -dump WORDS`."""
        return self._moving.policy.dump(words, self._moving.view(self._members, self.deciseconds()))

    def accessed(self, limits: tuple[float, ...]) -> AccessedTable:
        looked = {pid: (each.regions, each.looked) for pid, each in dict(self._members.known).items()}
        if self.task.tracker in WITHOUT_ADDRESSES:
            looked = {}
        return replace(accessed.table(looked, limits, self.page_size, self.task.tracker), amounts=self._amounts)

    def counters(self) -> Mapping[int, Regions]:
        """By pid: the columns `accesses` and `writes` count since they were reset."""
        return {pid: each.regions for pid, each in dict(self._members.known).items()}

    def reset_counters(self) -> None:
        """They begin again before the next look."""
        self._reset = True

    def record(self, word: str) -> str:
        """The answer to the prompt's `tracker -dump raw WORD`."""
        return self._raw.answer(word)

    @property
    def page_size(self) -> int:
        return self._around.features.page_size

    @property
    def mover(self) -> Mover:
        return self._moving.mover

    def figures(self) -> dict[int, Figures]:
        return self._moving.book.all()

    @property
    def book(self) -> Book:
        return self._moving.book

    def stats(self, words: tuple[str, ...]) -> str:
        """The answer to the prompt's `stats WORDS`."""
        return stats.answer(words, self._moving.book, self.page_size, self._around.clock())

    def paged_out(self) -> int:
        """Bytes that were verified to have left memory."""
        return self._moving.sums.left

    def watch_soon(self) -> None:
        """A bell has rung: look who is there, though not all the time for somebody who makes it ring all the time."""
        soon = max(self._around.clock(), self._watched + _CALM_S)
        self._watching.due = min(self._watching.due, soon)
        self._around.hurry(self.task.workload, soon)

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
        if now >= min(ticker.due for ticker in self._tickers):
            self._work_or_wait(now)
        if self._move_at == NEVER and self._moving.pending():  # somebody added a task
            self._move_at = now
        if self._around.clock() >= self._move_at:
            self._move()
        self._routines.run(now)
        return min(self._move_at, self._routines.due(), *(ticker.due for ticker in self._tickers))

    def _work_or_wait(self, now: float) -> None:
        """All that is due, or nothing while the budget of CPU time is spent: so nothing starves beside the others."""
        wait = 0.0 if self._stays_alive else self._around.budget.wait()
        if wait > 0:
            wait = min(max(wait, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
            self._stretched += wait if now >= self._scanning.due else 0
            for ticker in self._tickers:
                ticker.due = max(ticker.due, now + wait)
            return
        for ticker, work in zip(self._tickers, (self._watch, self._scan, self._decide), strict=True):
            if ticker.take(now):
                self._charged(work)

    def _charged(self, work: Callable[[], None]) -> None:
        """At the cost of engine.cpupercent."""
        begin = self._around.cpu_clock()
        work()
        self._around.budget.spend(self._around.cpu_clock() - begin)

    def _close_if_stopped(self) -> None:
        if self._stopped and self._busy.acquire(blocking=False):
            try:
                if self._tracker is not None:
                    self._tracker.close()
                self._tracker = None
                self._moving.close()
                self._members.leave()
                self._around.bells.leave(self)
            finally:
                self._busy.release()

    def _stage(self) -> Stage:
        around, name = self._around, self.task.workload
        return Stage(
            name=name,
            console=around.console(self),
            paged_out=self.paged_out,
            output=partial(around.output, name),
            errands=around.errands,
            cgroup=next(iter(self.task.cgroups), ""),
        )

    def _knows_amounts(self) -> bool:
        return self._around.features.works("mglru") and self._around.features.works("cgroup2")

    def _means(self) -> Means:
        return Means(
            tree=self._around.tree,
            surveyor=self._surveyor,
            config=self.task.config.tracker,
            features=self._around.features,
            clock=self._around.clock,
            directories=self._members.directories,
            lists_idle=isinstance(self.task.config.policy, DemoteIdleConfig),
            makers=self._around.trackers,
            kdamonds=self._around.kdamonds,
            workload=self.task.workload,
        )

    def deciseconds(self) -> int:
        return int((self._around.clock() - self._around.epoch) * 10)

    def _armed(self) -> Tracker:
        """The tracker, made when it is first needed: opening its files may fail, and that ends the loop."""
        if self._tracker is None:
            means = self._means()
            self._tracker = self._around.trackers[self.task.tracker](means)
            if self.task.tracker == "damon" and self._knows_amounts():
                self._tracker = Beside(self._tracker, means)
            self._moving.arm(means)
        return self._tracker

    # -- whose memory ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        tracker, self._watched = self._armed(), self._around.clock()
        self._members.watch(self._begin, lambda: self._stopped)
        tracker.roster(self._members.known)
        self._moving.roster(self._members)
        self._moving.book.prune(self._members.known, self._watched)
        follow = () if self._stopped else self._members.follow()
        if follow and self._around.bells.follow(self, follow, self.watch_soon):
            self.watch_soon()

    def _begin(self, known: Process) -> None:
        """The first look at a process."""
        known.figures = self._moving.book.figures(known.identity, self._around.clock())
        self._refresh(known)
        self._armed().begin(known)

    # -- what was used -----------------------------------------------------------------------------------------------

    def _scan(self) -> None:
        tracker, begin = self._armed(), self._around.clock()
        self._begin_counters()
        for pid, known in list(self._members.known.items()):
            if self._stopped:
                return
            self._members.guarded(pid, partial(self._look, tracker, known))
        self._finish(tracker)
        self._amounts = tracker.amounts()
        self._scans += 1
        self._scan_seconds = self._around.clock() - begin
        self._moving.book.happened("scan", self._around.clock())
        self._moving.looked(self._members, self.deciseconds())
        self._remember()

    def _remember(self) -> None:
        """A moment of the heat map, now and then."""
        now = self._around.clock()
        if self.task.tracker not in WITHOUT_ADDRESSES and self.heat.due(now):
            known = sorted(self._members.known.items())
            looked = [Looked(identity=e.identity, regions=e.regions, looked=e.looked) for _, e in known]
            self.heat.sample(looked, now)

    def _begin_counters(self) -> None:
        if self._reset:
            self._reset = False
            self._members.reset_counters()

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
        known.looked, known.idle = self.deciseconds(), seen.idle
        self._raw.add(known, seen)
        known.regions = regions.look(known.regions, seen.accessed, (seen.accesses, seen.writes), known.looked)
        if seen.unused is not None:
            known.regions = regions.vouched(known.regions, seen.unused, known.looked)
        present = known.regions["present"]
        pages, written = (int(present[mask].sum()) for mask in (seen.accessed, seen.writes > 0))
        known.figures.scanned(int(present.sum()), pages, self._around.clock() - begin, written)

    def _refresh(self, known: Process) -> None:
        back = self._surveyor.refresh(known, self._around.clock(), self.deciseconds())
        if self.task.config.kernel_pages_out():
            known.regions = regions.entrusted(known.regions, int(Kind.ANON))
        self._moving.came_back(back * self.page_size)

    # -- what leaves -------------------------------------------------------------------------------------------------

    def _decide(self) -> None:
        if not self._moving.decides():
            return
        self._moving.decide(self._members, self.deciseconds())
        self._move_at = self._around.clock() if self._moving.pending() else NEVER

    def _move(self) -> None:
        self._moving.step(self._members, self.deciseconds(), lambda: self._stopped)
        self._move_at = self._around.clock() + self._moving.wait() if self._moving.pending() else NEVER

    # -- what is said ------------------------------------------------------------------------------------------------

    def _error(self) -> str:
        if (lasted := self._around.clock() - self._since) >= _LONG_RUN_S:
            return (
                f"one turn has lasted for {lasted:.0f} s: the kernel may hang, see /proc/PID/task/*/stack of the daemon"
            )
        moved = self._moving.sums.left or self._moving.sums.to_nodes or self._moving.sums.back
        return self._members.trouble() or ("" if moved else self._moving.mover.trouble)

    def _notes(self, known: list[Process]) -> tuple[str, ...]:
        tracker = self._tracker
        notes = [tracker.note] if tracker is not None and tracker.note else []
        notes += self._members.notes()
        notes += self._moving.notes()
        notes += [f"accessed pages could not be marked: {self._unmarked}"] if self._unmarked else []
        notes += [self._moving.mover.trouble] if self._moving.mover.trouble else []
        if skipped := sum(each.skipped_bytes for each in known):
            notes.append(
                f"{skipped >> 30} GiB of address space in mappings too large for this kernel (needs Linux 6.7)"
            )
        if self._stretched >= 1:
            notes.append(f"scans were put off by {self._stretched:.0f} s in all to stay within engine.cpupercent")
        notes += self._routines.notes()
        notes += [self._around.bells.trouble] if self._members.follow() and self._around.bells.trouble else []
        stuck = sum(
            int(mine["present"][mine["tries"] >= _STUCK_TRIES].sum()) for mine in (one.regions for one in known)
        )
        if size := stuck * self.page_size >> 20:
            notes.append(f"{size} MiB do not leave: shared with other processes, locked, or dirty file pages")
        return tuple(notes)


def _seconds(milliseconds: int) -> float:
    return max(milliseconds, 1) / 1000


def _later(milliseconds: int, now: float) -> Ticker:
    """Due for the first time after one interval."""
    return Ticker(_seconds(milliseconds), now + _seconds(milliseconds))
