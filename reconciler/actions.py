"""What can be done, as values: a closed union. `execute` performs them, everything else prints them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from reconciler.agentconfig import AgentTask
from reconciler.model import EngineTask, Knob


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOriginal:
    """Remember what stood there before our first write. Always comes before the write, and is on disk before it."""

    workload: str
    cgroup: str
    inode: int
    knob: Knob
    original: str
    written: str  # what we are about to write, or what the runtime has written for us
    before: str = ""  # what we had written there until now: stands there if we die between this and the write
    runtime: str = ""  # the runtime's own value by the record, when this was saved; "" = not known


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteKnob:
    workload: str
    cgroup: str
    inode: int
    knob: Knob
    value: str
    seen: str  # what stood there when this was planned
    foreign: bool = False  # somebody else changed our value


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreKnob:
    """Write the original value back, if our last value still stands, and forget it."""

    workload: str
    cgroup: str
    inode: int
    knob: Knob
    original: str
    expected: tuple[str, ...]  # our values, one of which still stood there when this was planned


@dataclass(frozen=True, slots=True, kw_only=True)
class ForgetOriginal:
    """Drop a baseline entry with nothing to restore: the cgroup is gone, or somebody else's value stands there."""

    workload: str
    cgroup: str
    inode: int
    knob: Knob
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartEngine:
    workload: str
    task: EngineTask


@dataclass(frozen=True, slots=True, kw_only=True)
class StopEngine:
    workload: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAgent:
    """The agent does this from now on, and nothing else."""

    task: AgentTask
    workload: str = ""  # it is the node's


Action = SaveOriginal | WriteKnob | RestoreKnob | ForgetOriginal | StartEngine | StopEngine | SetAgent


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Something that we chose not to do, and why."""

    workload: str
    what: str  # knob, "engine", "agent", or "" for all of it
    reason: str
    until: float | None = None  # monotonic seconds; None = until the input changes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    actions: tuple[Action, ...] = ()
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineEntry:
    """The original of one knob of one cgroup (path and inode), and the last value that we wrote there."""

    workload: str
    cgroup: str
    inode: int
    knob: Knob
    original: str
    written: str
    before: str = ""
    runtime: str = ""

    @property
    def ours(self) -> tuple[str, ...]:
        """Values that can stand there because of us."""
        return (self.written, self.before) if self.before else (self.written,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Backoff of one (workload, what): when it failed, why, when to look again."""

    attempts: int
    not_before: float  # monotonic seconds
    reason: str
    rejected: str = ""  # the value that the kernel refused: wait until another is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What we remember between cycles: on disk (baseline) and in memory (retries)."""

    baseline: Mapping[tuple[str, Knob], BaselineEntry] = field(default_factory=dict)  # (cgroup, knob)
    retries: Mapping[tuple[str, str], Retry] = field(default_factory=dict)  # (workload, knob or "engine")
    paused: bool = False
    released: frozenset[str] = frozenset()  # workloads that an administrator took back; "*" = all
    stopping: bool = False


class Result(StrEnum):
    """How an action ended, by the five kernel errors; `skipped`: an earlier action of the same workload failed."""

    DONE = "done"
    GONE = "gone"
    REFUSED = "refused"
    REJECTED = "rejected"
    BUSY = "busy"
    UNSUPPORTED = "unsupported"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    action: Action
    result: Result
    message: str = ""
