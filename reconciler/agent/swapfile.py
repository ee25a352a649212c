"""Guest swap: swap areas as large as the configured share of memory, made when there is need, removed when it is safe.

Level-triggered: each look compares what is in use with what is wanted, and does one thing about it. What is wanted is
decided in swap_rules.py, effects are in swap_making.py.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from reconciler import logfmt
from reconciler.agent import swap_places, swap_rules, swap_telling
from reconciler.agent.swap_making import Doors, Maker
from reconciler.agent.swap_record import Record
from reconciler.agent.swap_rules import Area, Make, Remove, Rest, Seen, State, Step
from reconciler.agent.swap_sight import Sight
from reconciler.agentconfig import AgentTask, SwapConfig, SwapKind
from reconciler.report import SwapAreaReport, SwapReport
from sysfs.errors import Busy, KernelError
from sysfs.swap import Device
from sysfs.tree import Tree

log = logging.getLogger("ebbtide.swap")

FOLDER = "swap"  # below STATE
WATCH_S = 1.0  # while an area is emptied
_RELEASE_LOOKS, _RELEASE_PAUSE_S = 20, 0.5
_WANTED = "it is to stay, for now"


@dataclass(slots=True)
class _Counts:
    made: int = 0
    removed: int = 0


class SwapFiles:
    """A `Part`. Until the first `change` nothing is done, for nobody has said what is wanted."""

    def __init__(
        self,
        tree: Tree,
        state_dir: str | Path,
        *,
        boot_id: str,
        page_size: int,
        mount: str,
        clock: Callable[[], float] = time.monotonic,
        doors: Doors | None = None,
    ) -> None:
        """`mount`: cgroup v2's, "" without. One instance a state directory at a time."""
        doors = doors or Doors()
        self._clock, self._record = clock, Record(state_dir, boot_id)
        self._maker, self._pause = Maker(tree, self._record, page_size, doors), doors.pause
        default = os.path.join(os.path.realpath(state_dir), FOLDER)
        self._sight = Sight(tree, mount, default, self._maker, doors.system)
        self._lock = threading.Lock()
        self._task: AgentTask | None = None
        self._stopping, self._news = False, False
        self._state, self._counts, self._report = State(), _Counts(), SwapReport()

    # -- Part ----------------------------------------------------------------------------------------------------------

    def change(self, task: AgentTask) -> None:
        with self._lock:
            self._news = self._news or self._task is None or _config(task) != _config(self._task)
            self._task = task

    def run(self, now: float) -> float:
        with self._lock:
            task, news, self._news = self._task, self._news, False
        if task is None or self._stopping:
            return inf
        if news:  # what failed may succeed with another configuration
            self._state = swap_rules.succeeded(self._state)
        try:
            return self._look(task, now)
        except (OSError, ValueError, KeyError) as error:
            return self._failed(str(error))

    def report(self) -> SwapReport:
        return self._report

    def stop(self) -> None:
        """Swap that is in use stays in use."""
        self._stopping = True

    # -- for `ebbtide release`, while no daemon runs -------------------------------------------------------------------

    def release(self) -> str:
        """All that was made goes, if what is in it fits elsewhere; gives what stays and why, "" = nothing does."""
        self.change(AgentTask())
        for _ in range(_RELEASE_LOOKS):
            while (due := self.run(self._clock())) <= self._clock():
                pass
            if due == inf or not self._report.notes:
                break
            self._pause(_RELEASE_PAUSE_S)  # udev looks at a device for a moment after swapoff: it is busy
        left = ", ".join(each.path for each in self._maker.made())
        report = self._report
        return f"{left}: {report.reason or report.error or '; '.join(report.notes)}" if left else ""

    # -- one look ------------------------------------------------------------------------------------------------------

    def _look(self, task: AgentTask, now: float) -> float:
        config, devices = _config(task), self._sight.devices()
        left = () if task.observe else self._maker.tidy(devices, self._sight.folder(config))
        seen = self._sight.seen(config, devices)
        self._state = swap_rules.looked(self._state, seen.memory_bytes, now)
        step = swap_rules.next_step(config, self._state, seen, now)
        self._tell(config, seen, devices, step, left)
        soon = now + swap_rules.LOOK_S
        if isinstance(step, Rest):
            return min(step.until, soon) if left else step.until
        if task.observe:
            self._report = replace(self._report, state="waiting", reason="observing", would=self._report.reason)
            return soon
        self._perform(config, step, seen)
        return self._clock()

    def _tell(
        self,
        config: SwapConfig | None,
        seen: Seen,
        devices: Mapping[str, Device],
        step: Step,
        left: tuple[str, ...],
    ) -> None:
        told = swap_telling.report(config, self._state, seen, step, self._areas(devices))
        unreadable = filter(None, [self._record.problem])
        self._report = replace(
            told,
            folder=self._sight.folder(config),
            made=self._counts.made,
            removed=self._counts.removed,
            notes=(*unreadable, *left, *told.notes),
        )

    def _perform(self, config: SwapConfig | None, step: Make | Remove, seen: Seen) -> None:
        if isinstance(step, Remove):
            if self._remove(next(area for area in seen.areas if area.name == step.name)):
                self._counts.removed += 1
                log.info("%s", logfmt.line("event=swap-removed", name=step.name))
        elif config and (name := self._make(config, step.size_bytes)):
            self._counts.made += 1
            log.info("%s", logfmt.line("event=swap-made", name=name, bytes=step.size_bytes))
        self._state = swap_rules.succeeded(self._state)

    def _failed(self, problem: str) -> float:
        now = self._clock()
        if problem != self._state.problem:
            log.warning("%s", logfmt.line("event=swap-failed", error=problem))
        self._state = swap_rules.failed(self._state, problem, now)
        failures = self._state.failures
        self._report = replace(self._report, state="failing", reason="", error=problem, failures=failures)
        return min(self._state.retry_at, now + swap_rules.LOOK_S)

    # -- effects -------------------------------------------------------------------------------------------------------

    def _make(self, config: SwapConfig, size: int) -> str:
        """The area's name, "" if it turned out that nobody wants it."""
        if config.kind is SwapKind.ZRAM:
            return self._maker.make_zram(size, config.priority, config.algorithm)
        folder = self._sight.folder(config)
        try:
            return self._maker.make_file(folder, size, config.priority, lambda: self._wants(config))
        except swap_places.Unwanted:
            return ""
        except swap_places.Unfit as error:
            raise Busy(None, str(error), folder) from error

    def _remove(self, area: Area) -> bool:
        """Watched all the time: stopped when memory becomes short, or when the area is wanted after all."""
        leaving, stopped = self._maker.start_removal(area.name), ""
        try:
            while not stopped and not leaving.ended(WATCH_S):
                stopped = self._objection(area.name)
        finally:
            leaving.kill()
        try:
            leaving.check()
        except KernelError as error:
            if area.name not in self._sight.devices():  # somebody else was quicker
                return True
            if stopped == _WANTED:
                return False
            raise Busy(error.errno, stopped or error.strerror, error.filename) from error
        return True

    def _objection(self, name: str) -> str:
        """Why the removal under way must not go on."""
        config = self._wanted_now()
        devices = self._sight.devices()
        seen = self._sight.seen(config, devices)
        area = next((each for each in seen.areas if each.name == name), None)
        if area is None:  # it is through
            return ""
        if self._held() or area not in swap_rules.surplus(config, seen):
            return _WANTED
        areas = self._areas(devices, leaving=name)
        self._report = replace(self._report, areas=areas, used_bytes=sum(each.used_bytes for each in areas))
        return swap_rules.obstacle(config, seen, area, swap_rules.reserve(seen.memory_bytes) // 2)

    def _wants(self, config: SwapConfig) -> bool:
        return not self._held() and self._wanted_now() == config

    def _held(self) -> bool:
        """Whether we end, or are to observe only from now on."""
        with self._lock:
            return self._stopping or (self._task is not None and self._task.observe)

    def _wanted_now(self) -> SwapConfig | None:
        with self._lock:
            return _config(self._task)

    def _areas(self, devices: Mapping[str, Device], leaving: str = "") -> tuple[SwapAreaReport, ...]:
        return tuple(
            SwapAreaReport(
                path=each.path,
                size_bytes=each.size_bytes,
                used_bytes=devices[each.name].used_bytes,
                priority=devices[each.name].priority,
                leaving=each.name == leaving,
            )
            for each in self._maker.made()
            if each.name in devices
        )


def _config(task: AgentTask | None) -> SwapConfig | None:
    """None = no swap of ours is wanted."""
    return task.swap if task and task.swap and task.swap.enable_guest_swap else None
