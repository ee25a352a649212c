"""The prompt's host that runs an engine of its own, in this very process: what `ebbtide memtierd` is.

Nothing is shared with a daemon on the same node but the kernel: `taken` says which processes are the daemon's, and
those are left alone. At the end everything is given back.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from reconciler import brakes, safety, tracking
from reconciler.engine import stats
from reconciler.engine.engine import Engine
from reconciler.engine.errands import Errands
from reconciler.engine.figures import Books
from reconciler.engine.gauges import Gauges
from reconciler.engine.kdamonds import Kdamonds
from reconciler.engine.mover import Mover
from reconciler.engine.routines import Routines, Stage
from reconciler.engine.session import Session
from reconciler.engine.watchers import catalogue
from reconciler.engineconfig import (
    CGROUP_PLACEHOLDER,
    AvoidOomConfig,
    EngineConfig,
    MoverConfig,
    RoutineConfig,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.memtierd.answering import Answering
from reconciler.memtierd.byhand import ByHand
from reconciler.memtierd.commands import pidwatcher
from reconciler.memtierd.host import Carrier, Kind, Level
from reconciler.model import BrakeLimits, EngineSettings, EngineTask, Features, OnMissingTracker, Severity
from sysfs import advise, cgroup, process
from sysfs.errors import KernelError
from sysfs.tree import Tree

_ANY_CPU = EngineSettings(cpu_percent=100.0)  # whoever starts this wants it, and has no class to say how much
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_WATCH, _NOTES = "pidwatcher", "notes"  # jobs
_HAND = "by hand"  # the loop that does only what was asked for at the prompt
_ONLY_TASKS = EngineConfig(policy=StubConfig(), tracker=TrackerConfig(name="stub"), watcher=WatcherConfig(name="stub"))
_TELL_S = 1.0

log = logging.getLogger("memtierd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What somebody else manages on this node."""

    taken: Callable[[int], str]  # why a process is not ours, "" if nobody has it
    marking: Callable[[], str]  # why page frames must not be marked idle by hand


NOBODY = Beside(taken=lambda _: "", marking=lambda: "")


class Own:
    fixed = ""
    patience = float("inf")

    def __init__(
        self,
        tree: Tree,
        features: Features,
        say: Callable[[str], None],
        beside: Beside = NOBODY,
        engine: Engine | None = None,
        kdamonds: Kdamonds | None = None,
    ) -> None:
        self.tree, self.features, self._say, self._beside = tree, features, say, beside
        self._engine = engine or Engine(
            tree,
            features,
            _ANY_CPU,
            lambda reason: log.error("%s", reason),
            output=lambda _, text: say(text),
            foreign=beside.taken,
            kdamonds=kdamonds,
        )
        self._sessions: dict[Kind, Session] = {}
        self._configs: dict[Kind, EngineConfig] = {}
        self._routines: dict[int, Routines] = {}
        self._gauges = Gauges(tree)
        self._watched: tuple[int, ...] = ()
        self._told: frozenset[str] = frozenset()
        self._records_moves = False  # also those of loops that begin later
        self._engine.scheduler.add(_NOTES, self._tell)

    def close(self) -> None:
        for number in list(self._routines):
            self.repeat(number, None)
        self._engine.close()

    # -- what runs ---------------------------------------------------------------------------------------------------

    def config(self, kind: Kind) -> EngineConfig | None:
        return self._configs.get(kind)

    def session(self, kind: Kind) -> Session | None:
        return self._sessions.get(kind)

    def running(self, kind: Kind) -> bool:
        return kind in self._engine.running()

    def start(self, kind: Kind, config: EngineConfig) -> None:
        if nobody := unwatched(config):
            raise ValueError(nobody)
        # Routines are run here, all in one way, whether they come from a file or from the prompt.
        task = EngineTask(workload=kind, config=replace(config, routines=()), tracker=self._tracker(config))
        self._engine.start(task)
        session = self._engine.session(kind)
        if session is None:
            report = self._engine.report(kind)
            raise ValueError(report.error if report is not None else "it ended at once")
        self._sessions[kind], self._configs[kind] = session, config
        if self._records_moves:
            session.book.start_recording()
        for number, routine in enumerate(config.routines):
            self.repeat(number, routine)

    def stop(self, kind: Kind) -> None:
        self._engine.stop(kind)

    def _tell(self) -> float:
        """Log what is new of whom a loop leaves alone, and of why it does not move anything now."""
        said = frozenset(
            f"{kind}: {each}"
            for kind in self._engine.running()
            if (report := self._engine.report(kind)) is not None
            for each in (report.error, report.brake, *report.notes)
            if each
        )
        for line in sorted(said - self._told):
            log.warning("%s", line)
        self._told = said
        return time.monotonic() + _TELL_S

    def _tracker(self, config: EngineConfig) -> str:
        """The one that is named, or where this kernel lacks it the best that there is, which is said."""
        choice = tracking.choose(config, OnMissingTracker.AUTO, self.features)
        if not choice.tracker:
            raise ValueError("; ".join(f"{each.message} ({each.hint})" for each in choice.problems))
        for problem in choice.problems:
            level = logging.WARNING if problem.severity is Severity.WARNING else logging.INFO
            log.log(level, "%s", problem.message)
        return choice.tracker

    # -- moving by hand ----------------------------------------------------------------------------------------------

    def mover(self) -> Carrier:
        return ByHand(self._mover())

    def mover_config(self) -> MoverConfig:
        return self._mover().config

    def configure_mover(self, config: MoverConfig) -> None:
        self._mover().configure(config)

    def _mover(self) -> Mover:
        """The policy's while one runs, else one in a loop that does nothing else."""
        kind = "policy" if self.running("policy") else _HAND
        if kind not in self._engine.running():
            self._engine.start(EngineTask(workload=_HAND, config=_ONLY_TASKS, tracker="stub"))
        session = self._engine.session(kind)
        if session is None:
            raise ValueError("the policy has just ended")
        if self._records_moves:
            session.book.start_recording()
        return session.mover

    def stats(self, words: tuple[str, ...]) -> str:
        """Of all loops, also of those that were stopped."""
        if words[:2] == ("-dump", "moves"):
            self._records_moves = words[2:] == ("start",) or (self._records_moves and words[2:] != ("stop",))
        hand = self._engine.session(_HAND)
        sessions = [*self._sessions.values(), *([hand] if hand is not None else [])]
        books = Books([session.book for session in sessions])
        answer = stats.answer(words, books, self.features.page_size, time.monotonic())
        return answer if answer or words else "nothing was scanned or moved"

    # -- watching and repeating --------------------------------------------------------------------------------------

    def pids(self, watcher: WatcherConfig) -> tuple[int, ...]:
        config = EngineConfig(policy=StubConfig(), watcher=watcher)
        found = catalogue.make(EngineTask(workload=_WATCH, config=config, tracker="stub"), self.tree)
        return tuple(sorted(found.look().pids))

    def watch(self, watcher: WatcherConfig | None) -> None:
        self._engine.scheduler.remove(_WATCH)
        if watcher is not None:
            self._watched = ()
            self._engine.scheduler.add(_WATCH, lambda: self._look(watcher))

    def _look(self, watcher: WatcherConfig) -> float:
        now = self.pids(watcher)
        for line in pidwatcher.changes(self._watched, now):
            self._say(line)
        self._watched = now
        return time.monotonic() + watcher.interval_ms / 1000

    def repeat(self, routine: int, config: RoutineConfig | None) -> None:
        key = f"routine {routine}"
        self._engine.scheduler.remove(key)
        if routine in self._routines:
            self._routines.pop(routine).stop()
        if config is not None:
            made = self._routines[routine] = Routines((config,), self._stage(key), time.monotonic())
            self._engine.scheduler.add(key, lambda: _turn(made))

    def _stage(self, name: str) -> Stage:
        return Stage(
            name=name,
            console=Answering(lambda: self),
            paged_out=self._engine.paged_out,
            output=self._say,
            errands=Errands(),
        )

    def routines(self) -> Sequence[RoutineConfig]:
        config = self._configs.get("policy")
        return config.routines if config is not None else ()

    # -- who may be touched ------------------------------------------------------------------------------------------

    def refusal(self, pid: int, *, named: bool) -> str:
        facts = process.facts(self.tree, pid)
        if pid == os.getpid() or not named:
            reason = safety.refusal(facts, {os.getpid()})
            if reason:
                return reason
        return self._beside.taken(pid)

    def marking(self) -> str:
        return self._beside.marking()

    def swap_closed(self, pid: int) -> str:
        return swap_closed(self._gauges, self.tree, self.features, pid)

    def target(self, pid: int) -> advise.Target:
        return advise.Target(pid)

    def undone(self, pid: int) -> str:
        config = self._configs.get("policy")
        if config is None or not config.moves() or not self.running("policy"):
            return ""
        moved = pid in self._sessions["policy"].counters()
        return f"the {config.policy_name} policy that runs here moves this process's memory, too" if moved else ""

    # -- the world ---------------------------------------------------------------------------------------------------

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def log(self, level: Level, text: str) -> None:
        log.log(_LEVELS[level], "%s", text)

    def read_file(self, path: str) -> str:
        try:
            return Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeError) as error:
            raise ValueError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def _turn(routines: Routines) -> float:
    routines.run(time.monotonic())
    return routines.due()


def swap_closed(gauges: Gauges, tree: Tree, features: Features, pid: int) -> str:
    """Why anonymous memory of a process cannot go to swap. That it is nearly full does not stop who asks by hand."""
    directories: tuple[str, ...] = ()
    if features.cgroup_mount:
        path = cgroup.path_of_process(tree, pid)
        directories = (features.cgroup_mount + path,) if path.strip("/") else ()
    try:
        signals = gauges.read(time.monotonic(), directories, 0)
    except KernelError as error:
        return str(error)
    return brakes.swap_closed(BrakeLimits(swap_used_percent=100), replace(signals))


def unwatched(config: EngineConfig) -> str:
    """Why a configuration can find no process outside of a class, "" if it can."""
    if isinstance(config.policy, StubConfig | AvoidOomConfig) or config.pages_of_interest():
        return ""
    if any(CGROUP_PLACEHOLDER in path for path in config.watcher.leaf().cgroups):
        return f"whose memory? No pidwatcher is given, or it names {CGROUP_PLACEHOLDER}, which only a class fills in"
    return ""
