"""The nouns: what was written, what is wanted, what was seen.

All values are frozen and printable. Mappings inside them are treated as read-only. Units are in the names
(`_bytes`, `_ms`, `_pages`); a cgroup is a path below the cgroup v2 mount with a leading "/".
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from reconciler.agentconfig import (
    AgentTask,
    CompactConfig,
    MemagentConfig,
    MemcgConfig,
    PsiConfig,
    ReclaimConfig,
    SwapConfig,
)
from reconciler.engineconfig import EngineConfig, RoutineConfig
from reconciler.kubeletconfig import KubeletConfig


class Severity(StrEnum):
    ERROR = "error"  # refused: what it concerns does not happen
    WARNING = "warning"  # happens, but probably not as meant
    NOTE = "note"  # worth knowing


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something wrong with what we were given, for a person: what, where, why, what to do next."""

    where: str  # path of a file, or "workload NAME"
    message: str
    hint: str = ""
    pointer: str = ""  # JSON pointer inside the document, "" = all of it
    line: int = 0  # 1-based, 0 = unknown
    column: int = 0
    severity: Severity = Severity.ERROR

    def place(self) -> str:
        """FILE:LINE:COL as compilers print it, so that editors can jump there."""
        return ":".join([self.where, *(str(number) for number in (self.line, self.column) if number)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which file and line gave a value; shown by `explain`."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A value and where it stands."""

    value: Any
    origin: Origin


class Mode(StrEnum):
    ACT = "act"
    OBSERVE = "observe"  # measure and plan, touch nothing


class OnStop(StrEnum):
    KEEP = "keep"
    RESTORE = "restore"


class OnMissingTracker(StrEnum):
    AUTO = "auto"
    REFUSE = "refuse"


class OnError(StrEnum):
    START = "start"  # the container starts unmanaged
    REJECT = "reject"  # its creation fails with our message


class Knob(StrEnum):
    """The cgroup v2 files that Ebbtide may own (Documentation/admin-guide/cgroup-v2.rst)."""

    MEMORY_MIN = "memory.min"
    MEMORY_LOW = "memory.low"
    MEMORY_HIGH = "memory.high"
    MEMORY_MAX = "memory.max"
    SWAP_HIGH = "memory.swap.high"
    SWAP_MAX = "memory.swap.max"
    ZSWAP_MAX = "memory.zswap.max"
    ZSWAP_WRITEBACK = "memory.zswap.writeback"
    OOM_GROUP = "memory.oom.group"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A knob's value as a class or annotation gives it: canonical text, or a percentage of the container's limit."""

    knob: Knob
    value: str = ""  # canonical ("max", decimal bytes, "0"/"1"), "" when `percent` is given
    percent: float | None = None
    origin: Origin


# -- class files -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryClass:
    """One entry of `classes:`, merged over all files that name it."""

    name: str
    allow_swap: bool | None = None
    engine: EngineConfig | None = None
    settings: tuple[Setting, ...] = ()  # of `memory:`, at most one a knob
    swap_limit_ratio: float | None = None  # memory-qos: memory.high = limit x (1 - ratio), memory.swap.max = max
    on_stop: OnStop = OnStop.KEEP
    on_missing_tracker: OnMissingTracker = OnMissingTracker.AUTO
    mode: Mode = Mode.ACT
    reclaim: ReclaimConfig | None = None
    reclaim_never: bool = False  # nothing of the agent takes memory from it
    memagent: MemagentConfig | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)  # key of the class -> who gave it


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticWorkload:
    """An entry of `workloads:`: something without NRI, for example a systemd slice."""

    name: str
    cgroup: str  # path or glob below the cgroup v2 mount; "" = whom the class's pidwatcher finds
    class_name: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class NriSettings:
    on_error: OnError = OnError.START
    adjust: bool = True
    allow_annotations: tuple[str, ...] = ()  # knob files that pods may set, for example memory.swap.max
    unified_annotations: tuple[str, ...] = ()  # the same list under memory-qos's name


@dataclass(frozen=True, slots=True, kw_only=True)
class BrakeLimits:
    """When page-out stops by itself. Percentages; a limit of 100 is never reached, 0 brakes always."""

    pressure_percent: float = 10.0  # `some` memory stall of the workload, over the last policy interval
    refault_percent: float = 5.0  # of what was paged out, that came back within a minute
    swap_used_percent: float = 90.0  # systemd-oomd begins to kill at 90


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    cpu_percent: float = 5.0  # of one CPU for all scanning; intervals stretch beyond it
    brakes: BrakeLimits = BrakeLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsSettings:
    """`metrics:`, for Prometheus."""

    workloads: bool = False  # one series a workload, too
    most_workloads: int = 500  # then at most so many
    textfile: bool = False  # RUN/ebbtide.prom, for node_exporter's textfile collector


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """All class files together."""

    classes: Mapping[str, MemoryClass] = field(default_factory=dict)
    workloads: tuple[StaticWorkload, ...] = ()
    routines: tuple[RoutineConfig, ...] = ()  # of the node, file after file
    nri: NriSettings = NriSettings()
    engine: EngineSettings = EngineSettings()
    metrics: MetricsSettings = MetricsSettings()
    psi: PsiConfig = field(default_factory=PsiConfig)
    memcg: MemcgConfig | None = None  # None = no file has the section
    compact: CompactConfig | None = None
    swap: SwapConfig | None = None
    kubelet: KubeletConfig | None = None
    agent_origins: Mapping[str, Origin] = field(default_factory=dict)  # "memcg.swap", "memcg[/a].swap" -> who gave it
    mode: Mode = Mode.ACT
    files: tuple[str, ...] = ()  # in the order in which they were merged


# -- the inventory ---------------------------------------------------------------------------------------------------


class WorkloadState(StrEnum):
    PENDING = "pending"  # no cgroup yet
    LIVE = "live"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A record of STATE/workloads.d, or a static workload: whom we may manage, and what is known about it."""

    id: str
    namespace: str = ""
    pod: str = ""
    container: str = ""
    pod_uid: str = ""
    cgroup: str = ""  # "" = none known
    cgroups_path: str = ""  # in the runtime's words: where it wants the cgroup to be made
    pids: tuple[int, ...] = ()  # hand-written records on systems without cgroup v2
    state: WorkloadState = WorkloadState.LIVE
    class_name: str | None = None  # hand-written or static; None = see the annotations
    annotations: Mapping[str, str] = field(default_factory=dict)  # of the pod, in our words
    labels: Mapping[str, str] = field(default_factory=dict)
    memory_limit: int | None = None  # bytes, from the runtime; None = no limit
    runtime_values: Mapping[str, str] = field(default_factory=dict)  # knob -> what the runtime alone would have set
    adjusted: Mapping[str, str] = field(default_factory=dict)  # knob -> what we put into the container's spec
    boot_id: str = ""  # "" = valid on every boot
    source: str = ""  # path of the record or class file that names it
    sandbox: str = ""  # id of the pod's sandbox, as the runtime calls it
    runtime_handler: str = ""  # of the pod's RuntimeClass: kata-qemu, say; "" = the runtime's default
    writer: str = ""  # "nri" = written, and to be removed, by `ebbtide nri`; "" = by a person
    named: bool = False  # an administrator named this very cgroup or process
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """What people call it: namespace/pod/container, or the id of something that is no container."""
        return f"{self.namespace}/{self.pod}/{self.container}" if self.container else self.id


# Pid, start time and layout of memory: pids are used again, and exec gives a process another memory.
Identity = tuple[int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """Who a process is."""

    pid: int
    start_time: int  # clock ticks after boot
    comm: str  # at most 15 characters, and the process may choose them
    exe: str = ""  # path as the process sees it; "" = none (kernel thread) or not readable
    kernel_thread: bool = False
    parent: int = 0
    layout: tuple[int, ...] = ()  # where exec put code, data, heap and stack: shared and forked memory have the same

    @property
    def identity(self) -> Identity:
        return self.pid, self.start_time, self.layout


# -- what this machine allows ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    name: str
    works: bool
    detail: str  # what was seen, with the path or error
    hint: str = ""  # how to get it


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What this kernel and these privileges allow, found by trying on ourselves (sysfs/probe.py)."""

    kernel: str
    page_size: int
    cgroup_mount: str = ""  # absolute; "" = no cgroup v2 with a memory controller
    knobs: frozenset[str] = frozenset()  # memory.* files of a non-root cgroup here
    features: Mapping[str, Feature] = field(default_factory=dict)

    def works(self, name: str) -> bool:
        feature = self.features.get(name)
        return feature is not None and feature.works


# -- desired and observed --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTask:
    """One tracking loop, ready to run; equal tasks need no restart."""

    workload: str
    config: EngineConfig
    tracker: str  # the one that will really be used
    cgroups: tuple[str, ...] = ()  # absolute directories
    pids: tuple[int, ...] = ()
    brakes: BrakeLimits = BrakeLimits()
    named: bool = False  # the never-managed list does not apply: it was named

    def waits(self) -> bool:
        """Whether its loop waits in between: for DAMON's next interval, or for a forecaster's answer."""
        by_damon = self.tracker == "damon" or (self.tracker == "multi" and self.config.tracker.has("damon"))
        return by_damon or self.config.asks_a_program()

    def fingerprint(self) -> str:
        """The same in every process for equal tasks, and short: for reports."""
        return hashlib.sha256(repr(self).encode("utf-8", "backslashreplace")).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredWorkload:
    workload: Workload
    class_name: str = ""  # "" = unmanaged
    knobs: Mapping[Knob, str] = field(default_factory=dict)  # canonical values
    origins: Mapping[str, Origin] = field(default_factory=dict)  # knob or key -> who gave it
    engine: EngineTask | None = None
    mode: Mode = Mode.ACT
    on_stop: OnStop = OnStop.KEEP
    held: str = ""  # why nothing may be changed now, neither written nor restored
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    workloads: Mapping[str, DesiredWorkload] = field(default_factory=dict)
    agent: AgentTask | None = None  # None = not known, so that nothing of it may be changed
    problems: tuple[Problem, ...] = ()  # of no single workload


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedWorkload:
    """What the kernel shows of one workload's cgroup now."""

    inode: int  # of the cgroup directory: a recreated path is another cgroup; 0 = gone
    knobs: Mapping[str, str] = field(default_factory=dict)  # canonical; only files that exist
    unreadable: Mapping[str, str] = field(default_factory=dict)  # knob -> error
    populated: bool = True
    usage_bytes: int = 0
    swap_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    workloads: Mapping[str, ObservedWorkload] = field(default_factory=dict)
    engines: Mapping[str, EngineTask] = field(default_factory=dict)  # running loops by workload
    agent: AgentTask = field(default_factory=AgentTask)  # what it does now
    strays: Mapping[str, ObservedWorkload] = field(default_factory=dict)  # by cgroup path: in the baseline, not wanted
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0
    cgroups_visible: bool = True  # False: the cgroup tree could not be seen at all, so nothing is known to be gone
