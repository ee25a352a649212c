"""What lies before a person at memtierd's prompt: pages and ranges that were selected, parts that were made."""

from dataclasses import dataclass, field

from reconciler.engine.ranges import Ranges
from reconciler.engineconfig import EngineConfig, RoutineConfig, TrackerConfig, WatcherConfig
from reconciler.memtierd.flags import Given
from reconciler.memtierd.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """Pages of a process, selected by `pages`: as ranges, for there may be millions."""

    pid: int
    ranges: Ranges


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Address ranges of a process, selected by `arange` or `pages`."""

    pid: int
    ranges: Ranges


@dataclass(slots=True, kw_only=True)
class Routine:
    """One of `routines`; without a configuration it cannot be started."""

    name: str
    config: RoutineConfig | None = None
    running: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """`time -sleep`, which goes on when the same line comes again."""

    given: Given
    until: float  # seconds since 1970


@dataclass(slots=True, kw_only=True)
class Desk:
    host: Host
    pages: Pages | None = None
    chosen: Chosen | None = None
    stopwatches: dict[str, float] = field(default_factory=dict)
    policy: str = ""  # name of the policy that was created here
    policy_config: EngineConfig | None = None  # its configuration, once it has one
    tracker: TrackerConfig | None = None  # created here
    tracked: tuple[int, ...] = ()  # whom it was told to track
    watcher: WatcherConfig | None = None  # created here
    listener: str = ""  # of the watcher: log | tracker
    watched: tuple[int, ...] = ()  # whom the log listener was told of
    routines: list[Routine] | None = None  # None = nobody has asked yet: those of the configuration
    routine: int = 0  # the one in use
    waiting: Waiting | None = None
    copying: str = ""  # output goes to the log: copy | capture
    prefix: str = ""

    @property
    def page_size(self) -> int:
        return self.host.features.page_size
