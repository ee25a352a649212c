"""What memtierd's prompt needs from whoever runs the engine: this process itself, or the daemon.

Two sessions are spoken of: the policy's, and a tracker's that was started by hand without a policy. Texts in and out
are whole; nothing is ever formatted twice.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from reconciler.engine.regions import Addresses, Regions
from reconciler.engineconfig import EngineConfig, MoverConfig, RoutineConfig, WatcherConfig
from reconciler.model import Features
from sysfs import advise
from sysfs.tree import Tree

Kind = Literal["policy", "tracker"]
Level = Literal["debug", "info", "warning", "error"]


class Tracking(Protocol):
    """A session, as the engine has it (reconciler/engine/session.py)."""

    @property
    def page_size(self) -> int: ...

    def counters(self) -> Mapping[int, Regions]:
        """Regions by pid, with what was counted since the last reset in `accesses` and `writes`."""

    def reset_counters(self) -> None: ...

    def record(self, word: str) -> str:
        """The answer to `tracker -dump raw start|new|stop`."""

    def dump_policy(self, words: tuple[str, ...]) -> str:
        """The answer to `policy -dump WORDS`."""


class Task(Protocol):
    """Pages that a mover still has to move, or has failed to move."""

    @property
    def number(self) -> int: ...

    @property
    def pid(self) -> int: ...

    @property
    def next(self) -> int:
        """Address of the page that is moved next."""

    @property
    def done(self) -> int:
        """Pages."""

    @property
    def total(self) -> int:
        """Pages of the whole task."""

    @property
    def to(self) -> tuple[int, ...]:
        """Nodes, or swap."""

    @property
    def why(self) -> str:
        """Why it failed, or is tried again."""


class Carrier(Protocol):
    """A mover that takes tasks by hand."""

    def add(self, pid: int, start: Addresses, end: Addresses, to: tuple[int, ...]) -> int:
        """Queue address ranges; gives the task's number."""

    def tasks(self) -> Sequence[Task]: ...

    def remove(self, task: int) -> bool:
        """Whether there was such a task."""

    def pause(self) -> None: ...

    def proceed(self) -> None: ...

    def state(self) -> str:
        """NotRunning, Paused, Busy or AllDone."""


class Host(Protocol):
    """Who runs the engine."""

    @property
    def tree(self) -> Tree: ...

    @property
    def features(self) -> Features: ...

    @property
    def fixed(self) -> str:
        """Why policy, tracker, watcher and routines cannot be changed from here; "" = they can."""

    @property
    def patience(self) -> float:
        """Seconds that a command may last; then it is run again."""

    def config(self, kind: Kind) -> EngineConfig | None:
        """What was started last, and may have been stopped since."""

    def session(self, kind: Kind) -> Tracking | None:
        """Of what was started last; its counters stay after it was stopped."""

    def running(self, kind: Kind) -> bool: ...

    def start(self, kind: Kind, config: EngineConfig) -> None:
        """Begin, or begin afresh; ValueError says why it cannot."""

    def stop(self, kind: Kind) -> None: ...

    def mover(self) -> Carrier: ...

    def mover_config(self) -> MoverConfig: ...

    def configure_mover(self, config: MoverConfig) -> None: ...

    def stats(self, words: tuple[str, ...]) -> str:
        """The answer to `stats WORDS`: none, -t TABLES, -f FORMAT, -lm PID, -le PID, -dump moves WORD."""

    def pids(self, watcher: WatcherConfig) -> tuple[int, ...]:
        """Whom a watcher finds now."""

    def watch(self, watcher: WatcherConfig | None) -> None:
        """Tell of who comes and goes, as the command `pidwatcher` prints it, until called again with None."""

    def repeat(self, routine: int, config: RoutineConfig | None) -> None:
        """Run a routine's commands every interval, until called again with None."""

    def routines(self) -> Sequence[RoutineConfig]:
        """Those of the configuration, which run."""

    def refusal(self, pid: int, *, named: bool) -> str:
        """Why this process's memory is left alone, "" if it may be moved; `named`: the process itself was named."""

    def marking(self) -> str:
        """Why page frames must not be marked idle by hand, "" if they may be."""

    def swap_closed(self, pid: int) -> str:
        """Why anonymous memory of this process cannot go to swap, "" if it can."""

    def target(self, pid: int) -> advise.Target: ...

    def undone(self, pid: int) -> str:
        """What will soon undo a move of this process's memory, "" if nothing."""

    def time(self) -> float:
        """Seconds since 1970."""

    def sleep(self, seconds: float) -> None:
        """ValueError where nobody may be kept waiting for so long."""

    def log(self, level: Level, text: str) -> None: ...

    def read_file(self, path: str) -> str:
        """A file of the person at the prompt; ValueError where that is another machine, or there is none."""
