"""`ebbtide daemon`: the wiring of loop, engine, watch, control API and service manager. All state it keeps is here."""

import dataclasses
import logging
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler import (
    backoff,
    chronicle,
    classes,
    gather,
    lastgood,
    outlook,
    plan,
    rendered,
    state,
    status,
    transitions,
    versions,
)
from reconciler.actions import Known, Outcome, Plan, Result, Retry, WriteKnob
from reconciler.agent import agent
from reconciler.agentconfig import Override
from reconciler.baseline import Baseline
from reconciler.control.feed import Feed
from reconciler.engine import kdamond_folders
from reconciler.engine.accessed import AccessedTable
from reconciler.engine.console import Asked, Console
from reconciler.engine.engine import Engine
from reconciler.engine.kdamond_record import Record
from reconciler.engine.kdamonds import Kdamonds
from reconciler.engine.node import NODE
from reconciler.execute import Executor
from reconciler.gather import Look, Places
from reconciler.loop import RESYNC_SECONDS, Loop, next_look
from reconciler.memtierd.answering import Answering, ForNode
from reconciler.memtierd.resident import Chosen, Resident
from reconciler.model import BrakeLimits, EngineSettings, EngineTask, Features, Mode, Problem, Severity, Workload
from reconciler.report import Report
from reconciler.systemd import ServiceManager, watchdog_seconds
from reconciler.watch import Watch
from sysfs import boot, cgroup, probe

log = logging.getLogger("ebbtide.daemon")


class Daemon:
    def __init__(self, places: Places, *, manager: ServiceManager | None = None) -> None:
        self.places = places
        state.prepare(places.state_dir, places.run_dir)
        self.lock = state.take_lock(places.state_dir)
        self.boot_id = boot.boot_id(places.tree)
        self.baseline = Baseline(places.state_dir, self.boot_id)
        self.kdamonds = Kdamonds(places.tree, Record(places.state_dir, self.boot_id))
        self.kdamonds.recover()
        kdamond_folders.recover(places.tree, places.run_dir)
        self.features = self._features()
        self.files: Mapping[str, classes.ParsedFile] = lastgood.load(places.state_dir)
        self.workloads: Mapping[str, Workload] = {}
        self.tasks: dict[str, EngineTask] = {}  # what ran after the last cycle
        self.retries: dict[backoff.Key, Retry] = {}
        self.foreign: dict[tuple[str, str], int] = {}
        self.cycles = 0
        self.ready_owed = True  # to the service manager: at the start, and after each reload
        self.started = _now_text()
        self.report = Report()
        self.manager = manager or ServiceManager()
        self.rendered = rendered.Rendered(places.state_dir)
        self.feed = Feed()
        self.transitions = transitions.Transitions(self.feed.publish)
        self.last: status.Cycle | None = None
        self.chronicle = chronicle.Chronicle(
            places.state_dir, places.run_dir, versions.version(), self.features.kernel, stalled=self._stalled
        )
        self.outlook = outlook.Outlook(places.tree, self._accessed)
        watchdog = watchdog_seconds()
        self.loop = Loop(
            cycle=self.cycle,
            clock=time.monotonic,
            idle_seconds=min(RESYNC_SECONDS, watchdog / 2) if watchdog else RESYNC_SECONDS,
            alive=self.manager.alive,
            failed=self.chronicle.metrics.failed,
            refresh=self.refresh,
        )
        self.engine = Engine(
            places.tree,
            self.features,
            EngineSettings(),  # until the first cycle has read the class files
            self.loop.wake,
            output=self._routine_output,
            console=self._console,
            kdamonds=self.kdamonds,
        )
        self.brakes = BrakeLimits()
        self.agent = agent.make(self._world())

    def _world(self) -> agent.World:
        return agent.World(
            tree=self.places.tree,
            mount=self.features.cgroup_mount,
            page_size=self.features.page_size,
            state_dir=self.places.state_dir,
            boot_id=self.boot_id,
            brakes=lambda: self.brakes,
            accessed=self._accessed,
        )

    def _features(self) -> Features:
        return probe.features(self.places.tree, self.kdamonds.ours)

    # -- one cycle -----------------------------------------------------------------------------------------------

    def cycle(self, reason: str) -> float | None:
        """Look, plan, act, tell; gives the moment at which to look again even if nothing wakes us."""
        begin = time.monotonic()
        if {"resync", "reload"} & set(reason.split(", ")):
            self.features = self._features()
        self._notice_deaths(begin)
        known = self._known()
        look = self._look(known)
        table = look.table
        self.engine.update(self.features, table.engine, paused=known.paused, routines=table.routines)
        decided = plan.plan(look.desired, look.observed, known, begin)
        outcomes = self._executor().perform(decided)
        if look.desired.agent and not known.paused:
            self.agent.begin(observe=look.desired.agent.observe)
        self._remember(look, outcomes, begin)
        self.tasks = self.engine.running()
        self.rendered.reconcile(look.desired)
        self._tell(look, known, decided, outcomes, reason, begin)
        return next_look(backoff.next_deadline(self.retries), outcomes, time.monotonic())

    def _notice_deaths(self, now: float) -> None:
        """Loops that ran after the last cycle and do not run now have ended by themselves: not again at once."""
        running = self.engine.running()
        for workload, task in self.tasks.items():
            if workload not in running:
                report = self.engine.report(workload)
                said = report.error if report else "the loop ended"
                self.retries = backoff.died(self.retries, task, said, now, _jitter())

    def _known(self, *, stopping: bool = False) -> Known:
        known = gather.known_of(self.baseline, self.places)
        return dataclasses.replace(known, retries=dict(self.retries), stopping=stopping)

    def _look(self, known: Known) -> Look:
        look = gather.look(
            self.places, known, remembered=self.files, features=self.features, overrides=self.agent.overrides
        )
        self.files = look.files
        self.workloads = {workload.id: workload for workload in look.workloads}
        self.brakes = look.table.engine.brakes
        lastgood.store(self.places.state_dir, look.files)
        seen = gather.with_running(look.observed, self.engine.running(), self.agent.running())
        return dataclasses.replace(look, observed=seen)

    def _executor(self) -> Executor:
        return Executor(
            self.places.tree,
            self.features.cgroup_mount,
            self.baseline,
            self.engine,
            self.features.page_size,
            self.agent,
        )

    def _remember(self, look: Look, outcomes: tuple[Outcome, ...], now: float) -> None:
        self.retries = backoff.advance(self.retries, outcomes, now, _jitter())
        known = look.desired.workloads.keys() | {entry.workload for entry in self.baseline.entries.values()}
        self.retries = {key: retry for key, retry in self.retries.items() if key[0] in known}
        for outcome in outcomes:
            action = outcome.action
            if isinstance(action, WriteKnob) and action.foreign and outcome.result is Result.DONE:
                key = (action.workload, str(action.knob))
                self.foreign[key] = self.foreign.get(key, 0) + 1
        self.foreign = {key: count for key, count in self.foreign.items() if key[0] in look.desired.workloads}

    def _tell(
        self, look: Look, known: Known, decided: Plan, outcomes: tuple[Outcome, ...], reason: str, begin: float
    ) -> None:
        self.cycles += 1
        after = dataclasses.replace(known, baseline=dict(self.baseline.entries))
        done = status.Cycle(
            look=look,
            known=after,
            plan=decided,
            outcomes=outcomes,
            engine_report=self.engine.report,
            foreign_writes=self.foreign,
            on_nodes=lambda path: gather.on_nodes(self.places.tree, self.features.cgroup_mount, path),
        )
        self.last = done
        report = self._report(done, reason, time.monotonic() - begin)
        report = self.outlook.told(report, look.table, self.features, begin)
        self.report = self.chronicle.cycle(report, outcomes, look.table.metrics)
        self.transitions.tell(self.report, outcomes)
        self._publish()

    def _report(self, done: status.Cycle, reason: str, seconds: float) -> Report:
        rows = status.workload_reports(done)
        problems: tuple[Problem, ...] = (*done.look.problems, *self.baseline.problems, *self._of_routines())
        return Report(
            state=self._state(done),
            summary=status.summary(rows, len(problems)),
            pid=os.getpid(),
            cgroup=cgroup.own_path(self.places.tree),
            boot_id=self.boot_id,
            time=_now_text(),
            started=self.started,
            cycles=self.cycles,
            cycle_seconds=round(seconds, 6),
            wakeup=reason,
            pending=status.pending(done),
            problems=problems,
            workloads=rows,
            agent=self.agent.report(),
        )

    def _of_routines(self) -> list[Problem]:
        hint = f"see {rendered.node_output(self.places.state_dir)}"
        notes = self.engine.node_notes()
        return [Problem(where="routines", message=note, hint=hint, severity=Severity.WARNING) for note in notes]

    def _state(self, done: status.Cycle) -> str:
        if done.known.stopping:
            return "stopping"
        if done.known.paused:
            return "paused"
        return "observing" if done.look.table.mode is Mode.OBSERVE else "running"

    def _publish(self) -> None:
        try:
            status.publish(self.report, self.places.run_dir)
        except OSError as error:
            log.warning("event=status-not-written path=%s error=%s", self.places.run_dir, error.strerror)
        self.manager.status(self.report.summary)

    # -- what others ask of us -----------------------------------------------------------------------------------

    def status(self) -> Mapping[str, Any]:
        """The last report with the engine's figures of this moment, for the control API."""
        return dataclasses.asdict(self._with_figures())

    def refresh(self) -> None:
        """Publish the engine's figures between cycles; nothing else is looked at."""
        self.report = self.chronicle.look(self._with_figures())
        self._publish()

    def _with_figures(self) -> Report:
        report = status.with_figures(self.report, self.engine.report, self._sizes)
        return dataclasses.replace(report, agent=self.agent.report())

    def _sizes(self, path: str) -> tuple[int, int]:
        directory = self.features.cgroup_mount + path
        return cgroup.usage_bytes(self.places.tree, directory), cgroup.swap_bytes(self.places.tree, directory)

    def _stalled(self, report: Report) -> Mapping[str, int]:
        paths = {row.id: row.cgroup for row in report.workloads if row.cgroup}
        return gather.stalled(self.places.tree, self.features.cgroup_mount, paths)

    def heatmap(self, workload: str) -> Mapping[str, Any]:
        """A workload, or the node (""), over time; LookupError for one that is not known."""
        wall = time.time()
        trends = self.chronicle.trends
        more = {"map": self.engine.heat(workload, wall)} if workload else {"stall_percent": trends.stalls()}
        return {"sizes": trends.document(workload), **more}

    def accessed(self, workload: str, limits: Sequence[float]) -> Mapping[str, Any]:
        """A workload's memory by time since last access; LookupError when nothing tracks it."""
        return dataclasses.asdict(self._accessed(workload, limits))

    def _accessed(self, workload: str, limits: Sequence[float]) -> AccessedTable:
        if workload not in self.engine.running():
            raise LookupError(f"nothing tracks {workload}: its class has no memtierdconfig, or its loop has ended")
        return self.engine.accessed(workload, limits)

    def resident(self, workload: str) -> Resident:
        """Who answers the prompt; LookupError for a workload that is not there."""
        if workload and all(row.id != workload for row in self.report.workloads):
            raise LookupError(f"no workload {workload} is here")
        return self._at(workload)

    def _at(self, workload: str) -> Resident:
        names = {row.id: row.class_name for row in self.report.workloads}
        chosen = Chosen(id=workload, class_name=names.get(workload, ""))
        return Resident(self.places.tree, lambda: self.features, self.engine, chosen)

    def _console(self, asked: Asked) -> Console:
        """For routines of a workload, or of the node."""
        everything = Answering(lambda: self._at(asked.workload))
        return everything if asked.workload else ForNode(asked, everything)

    def _routine_output(self, workload: str, text: str) -> None:
        if workload == NODE:
            rendered.append(rendered.node_output(self.places.state_dir), text)
        elif workload in self.workloads:
            rendered.append_output(self.places.state_dir, self.workloads[workload], text)

    def change_agent(self, override: Override) -> None:
        """Somebody sets the agent's keys at runtime: they hold at once, and until this daemon ends."""
        self.agent.set(override)
        self.loop.wake("agent set")

    def reset_agent(self, section: str, cgroup: str) -> None:
        """Class files alone count again, for the node ("") or a cgroup."""
        self.agent.unset(section, cgroup)
        self.loop.wake("agent reset")

    # -- life ----------------------------------------------------------------------------------------------------

    def run(self, control_group: int | None = None) -> None:
        """`control_group`: the number of the group that may look at the control socket."""
        from reconciler import reception, scrape  # gRPC and HTTP are heavy, and `--once` needs none
        from reconciler.control import server

        answers = reception.Reception(self).answers()
        handle = server.serve(str(self.places.run_dir / "control.sock"), answers, control_group)
        listener = scrape.inherited()
        scrapes = scrape.Scrapes(listener, self.chronicle.metrics.registry) if listener else None
        ours = ("status.json", "control.sock", kdamond_folders.NAME, chronicle.TEXTFILE)
        watch = Watch(watched(self.places), lambda: self.loop.wake("files"), ignore=ours)
        self.loop.alive = lambda: self._alive(watch)
        self._signals()
        try:
            self.loop.run()
        finally:
            self.manager.stopping()
            watch.close()
            handle.close()
            if scrapes:
                scrapes.close()
            self.close()

    def _alive(self, watch: Watch) -> None:
        watch.refresh()
        if self.ready_owed:
            self.ready_owed = False
            self.manager.ready()
        self.manager.alive()

    def _signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.loop.finish())
        signal.signal(signal.SIGHUP, lambda *_: self._reload())

    def _reload(self) -> None:
        self.manager.reloading(time.monotonic())
        self.ready_owed = True
        self.loop.wake("reload")

    def close(self) -> None:
        """Stop every loop and restore what classes with `onstop: restore` ask for; everything else stays as it is."""
        known = self._known(stopping=True)
        look = self._look(known)
        decided = plan.plan(look.desired, look.observed, known, time.monotonic())
        outcomes = self._executor().perform(decided)
        self._tell(look, known, decided, outcomes, "stop", time.monotonic())
        self.chronicle.store()
        self.engine.close()
        self.agent.close()
        self.lock.close()


def _jitter() -> float:
    return random.random()  # noqa: S311  spreads retries, keeps no secret


def watched(places: Places) -> list[str | Path]:
    ours = [places.state_dir / name for name in ("workloads.d", "classes.d", "released.d")]
    return [*places.config_dirs, *ours, places.run_dir]


def _now_text() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
