"""The prompt's host inside of the daemon: it shows what classes have started, and moves memory by hand.

Policy and tracker of a workload come from its class, so they are changed there. Memory may be moved by hand, but not
that of processes which are never managed, and whose class will undo it is said.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from reconciler import logfmt, safety
from reconciler.engine.engine import Engine
from reconciler.engine.gauges import Gauges
from reconciler.engine.session import Session
from reconciler.engineconfig import EngineConfig, MoverConfig, RoutineConfig, WatcherConfig
from reconciler.memtierd.console import Answer, Console
from reconciler.memtierd.host import Carrier, Kind, Level
from reconciler.memtierd.own import swap_closed
from reconciler.model import Features
from sysfs import advise, process
from sysfs.tree import Tree

_PATIENCE_S = 1.0  # a thread of the control API waits meanwhile, and there are few
_MOST_PEOPLE = 32  # whose selections are remembered
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_NO_WORKLOAD = "no workload is chosen: `ebbtide prompt --workload NAME`"

log = logging.getLogger("ebbtide.prompt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The workload whose policy, tracker and mover are meant; an empty id for none."""

    id: str = ""
    class_name: str = ""


class Resident:
    patience = _PATIENCE_S

    def __init__(self, tree: Tree, features: Callable[[], Features], engine: Engine, chosen: Chosen) -> None:
        self.tree, self._features, self._engine, self._chosen = tree, features, engine, chosen
        self._gauges = Gauges(tree)

    @property
    def features(self) -> Features:
        return self._features()

    @property
    def fixed(self) -> str:
        if not self._chosen.id:
            return f"the daemon runs what classes ask for; {_NO_WORKLOAD} to look at one"
        return f'class "{self._chosen.class_name}" gives it: change its file in the class directory'

    # -- what runs ---------------------------------------------------------------------------------------------------

    def config(self, kind: Kind) -> EngineConfig | None:
        task = self._engine.running().get(self._chosen.id) if kind == "policy" else None
        return task.config if task is not None else None

    def session(self, kind: Kind) -> Session | None:
        return self._engine.session(self._chosen.id) if kind == "policy" else None

    def running(self, kind: Kind) -> bool:
        return self.config(kind) is not None

    def start(self, kind: Kind, config: EngineConfig) -> None:
        del kind, config
        raise ValueError(self.fixed)

    def stop(self, kind: Kind) -> None:
        del kind
        raise ValueError(self.fixed)

    # -- moving by hand ----------------------------------------------------------------------------------------------

    def mover(self) -> Carrier:
        raise ValueError("tasks by hand are not there yet")

    def mover_config(self) -> MoverConfig:
        config = self.config("policy")
        if config is None:
            raise ValueError(_NO_WORKLOAD)
        return config.mover

    def configure_mover(self, config: MoverConfig) -> None:
        del config
        raise ValueError(self.fixed)

    def stats(self, words: tuple[str, ...]) -> str:
        del words
        raise ValueError("not there yet")

    # -- watching and repeating --------------------------------------------------------------------------------------

    def pids(self, watcher: WatcherConfig) -> tuple[int, ...]:
        """Whom the workload's loop has found."""
        del watcher
        session = self.session("policy")
        return tuple(sorted(session.counters())) if session is not None else ()

    def watch(self, watcher: WatcherConfig | None) -> None:
        del watcher
        raise ValueError(self.fixed)

    def repeat(self, routine: int, config: RoutineConfig | None) -> None:
        del routine, config
        raise ValueError(self.fixed)

    def routines(self) -> Sequence[RoutineConfig]:
        config = self.config("policy")
        return config.routines if config is not None else ()

    # -- who may be touched ------------------------------------------------------------------------------------------

    def refusal(self, pid: int, *, named: bool) -> str:
        del named  # who is never managed is not managed from here either
        return safety.refusal(process.facts(self.tree, pid), ())

    def marking(self) -> str:
        tasks = self._engine.running().values()
        users = [task.workload for task in tasks if task.tracker == "idlepage"]
        return f"workload {users[0]} looks at these marks, and would believe that the page is idle" if users else ""

    def swap_closed(self, pid: int) -> str:
        return swap_closed(self._gauges, self.tree, self.features, pid)

    def target(self, pid: int) -> advise.Target:
        return advise.Target(pid)

    def undone(self, pid: int) -> str:
        workload = self._engine.held().get(pid, "")
        task = self._engine.running().get(workload)
        if task is None or not task.config.moves():
            return ""
        return f"the {task.config.policy_name} policy of workload {workload} goes on, and may soon move it elsewhere"

    # -- the world ---------------------------------------------------------------------------------------------------

    def time(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _PATIENCE_S))

    def log(self, level: Level, text: str) -> None:
        log.log(_LEVELS[level], "%s", logfmt.line("event=prompt", text=text))

    def read_file(self, path: str) -> str:
        del path
        raise ValueError(self.fixed)


@dataclass(slots=True, kw_only=True)
class _Seat:
    console: Console
    lock: threading.Lock = field(default_factory=threading.Lock)


class Prompts:
    """Everybody who is at a prompt of the daemon; who has said nothing for longest is forgotten first."""

    def __init__(self, host: Callable[[str], Resident]) -> None:
        self._host, self._lock = host, threading.Lock()
        self._seats: OrderedDict[tuple[str, str], _Seat] = OrderedDict()

    def answer(self, workload: str, person: str, line: str) -> Answer:
        """LookupError where there is no such workload."""
        seat = self._seat(workload, person)
        with seat.lock:
            return seat.console.run(line)

    def _seat(self, workload: str, person: str) -> _Seat:
        with self._lock:
            key = workload, person
            if key not in self._seats:
                self._seats[key] = _Seat(console=Console(self._host(workload)))
            self._seats.move_to_end(key)
            while len(self._seats) > _MOST_PEOPLE:
                self._seats.popitem(last=False)
            return self._seats[key]
