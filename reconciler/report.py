"""What the daemon tells about itself after each cycle: STATUS_DIR/status.json, the control API and the CLI show this.

Plain values only: `dataclasses.asdict` of a Report is the JSON document of schema/status.schema.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from reconciler.agentconfig import Override
from reconciler.model import Problem

OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnobReport:
    knob: str
    now: str  # what the kernel shows; "" = unreadable or missing
    wanted: str
    original: str = ""  # "" = we never wrote it
    origin: str = ""  # file:line or annotation that asks for it
    foreign_writes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeBin:
    """An amount of memory without addresses: pages of a cgroup on a node that were last used so long ago."""

    cgroup: str  # below the cgroup v2 mount
    node: int
    age_ms: int  # at least
    anon_pages: int
    file_pages: int
    page_bytes: int = 4096

    @property
    def size_bytes(self) -> int:
        return (self.anon_pages + self.file_pages) * self.page_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """Figures of one tracking loop since it started."""

    tracker: str
    policy: str = "age"
    task: str = ""  # fingerprint of the EngineTask that runs
    processes: int = 0
    regions: int = 0
    scans: int = 0
    scan_seconds: float = 0.0  # of the last scan
    tracked_bytes: int = 0
    idle_bytes: int = 0  # of the tracked, not accessed for at least the policy's swap-out time
    advised_bytes: int = 0  # asked the kernel to page out
    paged_out_bytes: int = 0  # verified: really left memory
    away_bytes: int | None = None  # of these, of processes that are still here, not back now; None = not known
    came_back_bytes: int = 0  # paged out by us, and present again
    brought_back_bytes: int = 0  # by us, from swap
    moved_bytes: int = 0  # verified: came to another memory node
    node_bytes: Mapping[str, int] = field(default_factory=dict)  # on each memory node, if the policy asks
    brake: str = ""  # why page-out is stopped now; "" = it is not
    error: str = ""  # why the loop ended or cannot work
    notes: tuple[str, ...] = ()
    amounts: tuple[AgeBin, ...] = ()  # from MGLRU, where it is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimedReport:
    """One workload whose memory is probed for what it does not need; bytes, and counts since the daemon's start."""

    workload: str
    name: str
    cgroup: str
    state: str  # probing | holding | backing off | at floor | waiting | gone
    reason: str = ""
    usage_bytes: int = 0
    floor_bytes: int = 0
    footprint_bytes: int | None = None  # the least it was seen to do with; None = not found yet
    last_step_bytes: int = 0  # asked for
    steps: int = 0
    taken_bytes: int = 0  # verified: less in use after the steps
    taken_anon_bytes: int = 0
    taken_file_bytes: int = 0
    would_take_bytes: int = 0  # observing: what the steps would have been
    refaulted_bytes: int = 0  # came back, whoever took it
    memory_percent: float = 0.0  # of the last interval in which tasks waited for memory
    io_percent: float = 0.0
    ages_from: str = ""  # mglru, a tracker, or nothing
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimReport:
    """`reclaim:` of all workloads."""

    workloads: tuple[ReclaimedReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedReport:
    """From the ledger: sums over all loops and daemons so far, and what is saved at this moment."""

    away_bytes: int = 0  # left memory and is not back now
    byte_seconds: float = 0.0  # resident memory avoided: what was away, times for how long
    out_bytes: int = 0  # verified: left memory
    back_bytes: int = 0  # of these, came back by being used
    brought_bytes: int = 0  # brought back by us
    moved_bytes: int = 0  # to another memory node
    since: str = ""  # RFC 3339: when the account began


@dataclass(frozen=True, slots=True, kw_only=True)
class Would:
    """What a class would take out of memory if it acted on a workload, as far as that is known without acting."""

    class_name: str  # or, where no class file says when memory is idle, words for an example
    after_secs: float  # unused for at least so long
    bytes: int
    source: str  # tracker NAME | mglru | memory.stat


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassReport:
    """A class over all workloads that it ever had, those that are gone as well."""

    name: str
    saved: SavedReport = SavedReport()


@dataclass(frozen=True, slots=True, kw_only=True)
class OutlookReport:
    """What would be saved where nothing acts: sums over the workloads that no class acts on."""

    classes: tuple[Would, ...] = ()
    workloads: int = 0  # of which something is known
    unknown: int = 0  # of which nothing is
    note: str = ""  # why, and what figures from the kernel's lists are worth


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadReport:
    id: str
    name: str
    class_name: str
    state: str  # converged | pending | drift | held | observed | unmanaged | released | gone
    reason: str = ""
    cgroup: str = ""
    usage_bytes: int = 0
    swap_bytes: int = 0
    node_bytes: Mapping[str, int] = field(default_factory=dict)  # on each memory node, if there are several
    mode: str = "act"
    knobs: tuple[KnobReport, ...] = ()
    engine: EngineReport | None = None
    problems: tuple[Problem, ...] = ()
    saved: SavedReport = SavedReport()
    would: tuple[Would, ...] = ()  # only where nothing acts


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """Something changed: what the log says in a line, as values. One that repeats what is known is never made."""

    time: str = ""  # RFC 3339
    cycle: int = 0
    kind: str = ""  # state | removed | action | problem | problem-gone | daemon | set
    workload: str = ""  # id, "" = the node
    name: str = ""
    before: str = ""  # of states
    after: str = ""  # of states; of an action its result
    text: str = ""  # why, or what


@dataclass(frozen=True, slots=True, kw_only=True)
class KataSandbox:
    """A pod in a virtual machine of its own, and what its agent was told."""

    sandbox: str
    name: str  # namespace/pod
    state: str = "waiting"  # waiting | delivered | refused | unreachable | observed
    reason: str = ""
    address: str = ""
    attempts: int = 0  # since the last delivery
    deliveries: int = 0  # also again after the sandbox restarted, and after a change


@dataclass(frozen=True, slots=True, kw_only=True)
class KataReport:
    """Pods in virtual machines of their own."""

    delivered: int = 0  # have been told all that their classes say
    failing: int = 0  # refused it, or cannot be reached
    sandboxes: tuple[KataSandbox, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionReport:
    """Of one cgroup on one node: pages that left its oldest generation, and how often evictions ended why."""

    page: int = 0
    no_min_lru_file: int = 0  # nothing in the oldest generation that may be taken
    min_lru_inc: int = 0  # a command took nothing
    other_error: int = 0  # the oldest generation was emptied, or there never were four: the usual end
    error: int = 0
    psi_exceeds_limit: int = 0
    pass_bytes: int = 0
    pass_secs: int = 0
    refault: int = 0  # what was taken came back, or this pass took nothing because of that


@dataclass(frozen=True, slots=True, kw_only=True)
class LruReport:
    """One cgroup on one node, since it was first seen."""

    node: int  # -1 = all nodes, where they cannot be told apart
    max_seq: int = 0
    min_seq: int = 0
    last_inc_secs: float | None = None  # since the youngest generation was made, by whomever; None = never
    run_aging_count: int = 0
    eviction: EvictionReport = EvictionReport()
    sleep_psi_exceeds_limit: int = 0  # periods left out because of pressure
    bytes: int = 0  # of these pages, those that left all generations; what was allocated meanwhile counts against it
    would_bytes: int = 0  # observing: shown by the oldest generation when it would have been taken
    reason: str = ""  # of the last pass, in words
    next_secs: float | None = None  # until its next pass; None = there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcgCgroup:
    path: str  # below the cgroup v2 mount
    id: int  # the kernel's number for it
    ino: int
    left_alone: str = ""  # why nothing is done with it
    nodes: tuple[LruReport, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcgReport:
    """Aging and eviction; figures since the daemon's start."""

    mechanism: str = ""  # mglru | memory.reclaim | "" = nothing has run yet, or nothing can
    why: str = ""  # it is not mglru
    passes: int = 0
    seconds: float = 0.0  # of the last pass
    agings: int = 0  # of all cgroups, also those that are gone
    taken_bytes: int = 0  # the same
    would_take_bytes: int = 0  # observing: what would have been taken
    cut: int = 0  # passes that pass_secs ended, and the next one went on with
    offline: int = 0  # removed cgroups that the kernel still lists; nothing is done with them
    unread: str = ""  # why pressure could not be judged, and so holds and stops nothing
    error: str = ""  # of the last pass
    cgroups: tuple[MemcgCgroup, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapAreaReport:
    """A swap file or zram device that the agent made."""

    path: str
    size_bytes: int
    used_bytes: int = 0
    priority: int = 0
    leaving: bool = False  # what is in it is being brought back


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapReport:
    """The agent's guest swap."""

    state: str = "off"  # off | steady | waiting | working | failing
    reason: str = ""  # what it waits for, or why nothing can be made or removed
    would: str = ""  # what would be done, were it not observing
    kind: str = ""  # file | zram
    folder: str = ""
    memory_bytes: int = 0  # of the node, that the target is a percentage of
    target_bytes: int = 0
    size_bytes: int = 0  # of all areas
    used_bytes: int = 0
    areas: tuple[SwapAreaReport, ...] = ()
    other_bytes: int = 0  # swap on this node that is not ours
    made: int = 0  # since the daemon started
    removed: int = 0
    failures: int = 0  # in a row
    error: str = ""  # of the last failure; "" after a success
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactPlace:
    """What the last decision on one memory node (None = all memory) was made of; fragments are pages."""

    node: int | None
    fragments: int  # free, movable, in blocks below compact_order
    free_bytes: int
    at_least: bool = False  # the kernel stopped counting fragments
    fragments_before: int = 0  # right after the last compaction; 0 = there was none
    free_bytes_before: int = 0
    waited: int = 0  # periods without a compaction since
    compact: bool = False  # the decision
    forced: bool = False  # by compact_force_times
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactReport:
    """Figures since the daemon's start."""

    state: str = "off"  # off | waiting | compacting
    periods: int = 0
    held: int = 0  # periods that pressure, or a compaction that would not end, left no choice
    would: int = 0  # decided while observing, and not done
    runs: int = 0  # compactions begun, also those stopped
    forced: int = 0  # of these, by compact_force_times
    stopped: Mapping[str, int] = field(default_factory=dict)  # time | pressure | change | end
    failed: int = 0  # could not be begun
    seconds: float = 0.0  # of all runs
    last_seconds: float = 0.0
    last_stop: str = ""  # what stopped the last one; "" = it came to its end
    fragments_before: int = 0  # of the last run
    fragments_after: int = 0
    decision: str = ""  # the last period's, in words
    places: tuple[CompactPlace, ...] = ()
    unread: str = ""  # why pressure could not be judged, and so holds and stops nothing
    error: str = ""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReport:
    """What the agent does, and each part's own figures."""

    task: str = ""  # fingerprint of the AgentTask that runs
    doing: str = OFF  # the parts that run, for people
    observe: bool = False  # it decides and counts, and writes nothing
    origins: Mapping[str, str] = field(default_factory=dict)  # "memcg.swap" -> file:line, or who set it
    kept: Mapping[str, str] = field(default_factory=dict)  # cgroups that it leaves alone -> why
    overrides: tuple[Override, ...] = ()  # set at runtime
    errors: tuple[str, ...] = ()  # bugs: a part that failed comes again
    memcg: MemcgReport | None = None
    compact: CompactReport | None = None
    swap: SwapReport | None = None
    reclaim: ReclaimReport | None = None
    kata: KataReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    version: int = 1
    state: str = "running"  # running | paused | observing | stopping
    summary: str = ""
    pid: int = 0
    cgroup: str = ""  # the daemon's own, below the cgroup v2 mount: the agent leaves it alone
    boot_id: str = ""
    time: str = ""  # RFC 3339
    started: str = ""
    cycles: int = 0
    cycle_seconds: float = 0.0
    wakeup: str = ""  # why the last cycle ran
    pending: tuple[str, ...] = ()  # actions of the last plan that were not done, as text
    problems: tuple[Problem, ...] = ()  # of class files and of no single workload
    workloads: tuple[WorkloadReport, ...] = field(default_factory=tuple)
    agent: AgentReport = field(default_factory=AgentReport)
    classes: tuple[ClassReport, ...] = ()  # what each has saved
    outlook: OutlookReport = OutlookReport()
