"""The engine's configuration, in memtierd's words: what is tracked, by what, and what happens to it.

All values are frozen and printable, and equal values print alike: mappings are tuples of pairs. Units are in the names.
A NUMA node is a number from 0; SWAP stands beside them wherever memory may go.
"""

from dataclasses import dataclass, field, replace
from typing import Self

CGROUP_PLACEHOLDER = "$CGROUP2_ABS_PATH"  # in memtierdconfig: the container's cgroup v2 directory
SWAP = -1  # in a list of nodes
MIB = 1 << 20

# -- trackers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class DamonConfig:
    """Monitoring attributes of DAMON (Documentation/admin-guide/mm/damon/usage.rst), and whose kdamonds are used."""

    sampling_us: int = 5000
    aggregation_us: int = 100_000
    regions_update_us: int = 1_000_000
    min_regions: int = 10
    max_regions: int = 1000
    range_size_max: int = 32 * MIB  # bytes; larger regions are not believed; -1 = unlimited
    kdamonds: tuple[int, ...] = ()  # an administrator's; () = one of our own
    nr_kdamonds: int = 0  # how many to make if there are none; 0 = as many as our workloads need
    auto_tune: bool = False  # let the kernel find the intervals (Linux 6.15)
    page_exact: bool = True  # count accessed bytes inside regions where the kernel can (vaddr: Linux 6.18)
    pause_damon_stat: bool = False  # consent to stop DAMON_STAT while we monitor (Linux 6.17)


# For whoever names no interval: more precise than the defaults, with a quarter of the CPU time.
MEASURED = DamonConfig(sampling_us=50_000, aggregation_us=1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class FinderConfig:
    """Reports all memory alike; None = do not ask this bit of pagemap."""

    accesses: int = 0
    present: bool | None = None
    exclusive: bool | None = None
    soft_dirty: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackerConfig:
    """What finds out which memory was accessed. Defaults are memtierd's documented ones."""

    name: str = "auto"  # auto | damon | finder | idlepage | mglru | multi | referenced | softdirty | stub
    pages_in_region: int = 512
    max_count_per_region: int = 1  # 0 = unlimited
    scan_interval_ms: int = 5000
    regions_update_ms: int = 10000  # 0 = before every scan
    damon: DamonConfig = MEASURED
    finder: FinderConfig = FinderConfig()
    trackers: tuple[Self, ...] = ()  # of multi

    def has(self, name: str) -> bool:
        """Whether it is this tracker, or has it as a part."""
        return self.name == name or any(each.has(name) for each in self.trackers)


# -- mover and watchers ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MoverConfig:
    interval_ms: int = 10
    bandwidth_mib: int = 100  # MiB per second; 0 = moves nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterConfig:
    """Which processes: everything that is said must hold, and of `any_of` one. Nothing said matches every process."""

    exe_regexp: str = ""  # searched in the program's path
    min_vm_size_kb: int = 0
    min_vm_rss_kb: int = 0
    min_private_dirty_kb: int = 0
    all_of: tuple[Self, ...] = ()
    any_of: tuple[Self, ...] = ()
    none_of: tuple[Self, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WatcherConfig:
    """Whose memory: cgroups (absolute directories, or a template's placeholder), processes, or a filter of them."""

    name: str = "cgroups"  # cgroups | filter | pidlist | proc | stub
    cgroups: tuple[str, ...] = ()
    pids: tuple[int, ...] = ()
    interval_ms: int = 5000
    source: Self | None = None  # of filter
    filters: tuple[FilterConfig, ...] = ()  # of filter: a process that passes one of them

    def leaf(self) -> "WatcherConfig":
        """What finds processes in the first place: below filters, which only pick from them."""
        return self if self.name != "filter" else (self.source or WatcherConfig()).leaf()


# -- policies --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _PolicyConfig:
    interval_ms: int = 5000
    page_types: tuple[str, ...] = ("anon",)  # anon, file: which memory it may move


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeConfig(_PolicyConfig):
    """Idle memory goes to swap or to `idle_nodes`, active memory to `active_nodes`; a duration of 0 switches off."""

    swapout_ms: int = 0
    idle_ms: int = 0
    idle_nodes: tuple[int, ...] = ()
    active_ms: int = 0
    active_nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatmapConfig:
    heat_max: float = 1.0
    retention: float = 0.9513  # of the heat, after a second without access
    classes: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecasterConfig:
    """What predicts heats: a program (stdio), a file that is only written (trace), several in a row, or nothing."""

    name: str = "stub"  # chain | stdio | stub | trace
    command: tuple[str, ...] = ()
    stderr: str = ""  # path, "" = thrown away
    retries: int = 0
    deadline_ms: int = 5000  # for one answer
    file: str = ""  # of trace
    hide_heat_zero: bool = False  # of trace
    forecasters: tuple[Self, ...] = ()  # of chain

    def has(self, name: str) -> bool:
        """Whether it is this forecaster, or has it as a part."""
        return self.name == name or any(each.has(name) for each in self.forecasters)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSize:
    """How much of a node the workload may use: bytes, or per cent of the node."""

    node: int
    size_bytes: int = 0
    percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatConfig(_PolicyConfig):
    """Memory goes to the nodes of its heat class; classes without nodes stay where they are."""

    heatmap: HeatmapConfig = HeatmapConfig()
    nodes: tuple[tuple[int, tuple[int, ...]], ...] = ()  # (heat class, its nodes)
    node_sizes: tuple[NodeSize, ...] = ()  # nodes that are not listed have no limit of ours
    forecaster: ForecasterConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioConfig(_PolicyConfig):
    """So much of the memory is kept at `targets`: what was used least recently goes; what is too much comes back."""

    ratio: float = 0.0  # 0..1
    targets: tuple[int, ...] = (SWAP,)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoteIdleConfig(_PolicyConfig):
    """Pages that kept their idle mark for one interval go; where pages of interest are is said by files, or is all."""

    idle_nodes: tuple[int, ...] = ()
    pages_of_interest_directory: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """Of a node's available memory: bytes, or per cent of the node's size."""

    size_bytes: int = 0
    percent: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AvoidOomConfig(_PolicyConfig):
    """Memory of processes that are bound to nodes which run out moves to other nodes of their cpuset."""

    start: Watermark = Watermark(percent=8)
    stop: Watermark = Watermark(percent=16)
    cgroups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DamosGoal:
    """A quota's goal (Linux 6.8): `metric` in the kernel's words, such as some_mem_psi_us."""

    metric: str
    target: int
    node: int | None = None
    path: str = ""  # cgroup path of node_memcg_* metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class DamosConfig(_PolicyConfig):
    """The kernel itself acts on regions that look so: DAMON-based operation schemes."""

    action: str = "pageout"  # pageout | cold | migrate_cold | migrate_hot | lru_prio | lru_deprio | willneed | stat
    nodes: tuple[int, ...] = ()  # of migrate_*
    min_bytes: int = 0
    max_bytes: int = 0  # 0 = no limit
    min_access_percent: float = 0.0  # of the samples of an aggregation interval
    max_access_percent: float = 0.0
    min_age_ms: int = 0
    quota_bytes: int = 0  # per quota_interval_ms; 0 = no limit
    quota_ms: int = 0  # of CPU time
    quota_interval_ms: int = 1000
    goals: tuple[DamosGoal, ...] = ()
    young: bool = False  # let page-exact accesses protect pages (Linux 6.14)
    physical: bool = False  # physical memory with a memcg filter, instead of the processes' address spaces


@dataclass(frozen=True, slots=True, kw_only=True)
class StubConfig(_PolicyConfig):
    """Moves nothing: tracking or routines alone."""


PolicyConfig = AgeConfig | HeatConfig | RatioConfig | DemoteIdleConfig | AvoidOomConfig | DamosConfig | StubConfig
POLICY_NAMES: dict[type[PolicyConfig], str] = {
    AgeConfig: "age",
    HeatConfig: "heat",
    RatioConfig: "ratio",
    DemoteIdleConfig: "demote-idle",
    AvoidOomConfig: "avoid-oom",
    DamosConfig: "damos",
    StubConfig: "stub",
}


# -- routines --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What a routine runs: words for `runner`, one of exec | memtier | memtier-prompt."""

    words: tuple[str, ...]
    runner: str = "exec"

    @property
    def starts_programs(self) -> bool:
        """Whether it leaves the engine: a program, or a prompt's line with a pipe to a shell."""
        return self.runner == "exec" or (self.runner == "memtier-prompt" and "|" in "".join(self.words))

    @property
    def only_tells(self) -> bool:
        """Whether it asks the engine about its own workload, or writes to the log, and does nothing else."""
        asks = self.words[:2] == ("policy", "-dump") or self.words[:1] in {("stats",), ("log",), ("nop",), ("help",)}
        return self.runner == "memtier" and (asks or not self.words)


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutineConfig:
    """memtierd's `statactions`: commands every interval, and whenever so much was paged out."""

    interval_ms: int
    command: Command | None = None
    pageout_mib: int = 0
    pageout_command: Command | None = None
    timestamp: str = ""  # printed before, in memtierd's language of time stamps (engine/stamps.py)
    timestamp_after: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    policy: PolicyConfig
    tracker: TrackerConfig = TrackerConfig()
    mover: MoverConfig = MoverConfig()
    watcher: WatcherConfig = WatcherConfig()
    routines: tuple[RoutineConfig, ...] = field(default=())

    @property
    def policy_name(self) -> str:
        return POLICY_NAMES[type(self.policy)]

    def moves(self) -> bool:
        """Whether this ever takes memory away, or only measures."""
        match self.policy:
            case AgeConfig(swapout_ms=out, idle_ms=idle, idle_nodes=cold, active_ms=active, active_nodes=hot):
                return out > 0 or (idle > 0 and bool(cold)) or (active > 0 and bool(hot))
            case HeatConfig(nodes=nodes):
                return any(listed for _, listed in nodes)
            case RatioConfig() | DemoteIdleConfig() | AvoidOomConfig():
                return True
            case DamosConfig(action=action):
                return action != "stat"
            case StubConfig():
                return False

    def finds_processes(self) -> bool:
        """Whether it says itself whose memory it is, so that nobody needs to name a cgroup or processes."""
        leaf = self.watcher.leaf()
        if leaf.name == "cgroups":
            placed = any(CGROUP_PLACEHOLDER in path for path in leaf.cgroups)
            return (bool(leaf.cgroups) and not placed) or bool(self.pages_of_interest())
        return leaf.name != "pidlist" or bool(leaf.pids)

    def pages_of_interest(self) -> str:
        """The directory whose files say which pages may move, and by their names whose they are."""
        match self.policy:
            case DemoteIdleConfig(pages_of_interest_directory=directory):
                return directory
            case _:
                return ""

    def asks_a_program(self) -> bool:
        """Whether a forecaster's answer is waited for."""
        found = self.policy.forecaster if isinstance(self.policy, HeatConfig) else None
        return found is not None and found.has("stdio")

    def idle_after_ms(self) -> int:
        """From when on memory counts as idle in reports."""
        match self.policy:
            case AgeConfig(swapout_ms=out, idle_ms=idle):
                return min(filter(None, (out, idle)), default=0)
            case DamosConfig(min_age_ms=age):
                return age
            case _:
                return 0

    def pages_out(self) -> bool:
        """Whether memory may go to swap: then it needs some."""
        match self.policy:
            case AgeConfig(swapout_ms=out, idle_ms=idle, idle_nodes=nodes):
                return out > 0 or (idle > 0 and SWAP in nodes)
            case HeatConfig(nodes=nodes):
                return any(SWAP in listed for _, listed in nodes)
            case RatioConfig(targets=nodes) | DemoteIdleConfig(idle_nodes=nodes):
                return SWAP in nodes
            case DamosConfig(action=action):
                return action == "pageout"
            case AvoidOomConfig() | StubConfig():
                return False

    def kernel_pages_out(self) -> bool:
        """Whether memory goes to swap without our mover: then only the kernel knows which."""
        return isinstance(self.policy, DamosConfig) and self.pages_out()

    def measuring(self) -> "EngineConfig":
        """The same, and nothing is moved: what `mode: observe` runs."""
        match self.policy:
            case AgeConfig() as age:
                return replace(self, policy=replace(age, swapout_ms=0, idle_ms=0, active_ms=0))
            case HeatConfig() as heat:
                return replace(self, policy=replace(heat, nodes=()))
            case DamosConfig() as damos:
                return replace(self, policy=replace(damos, action="stat"))
            case _:
                return replace(self, policy=StubConfig(interval_ms=self.policy.interval_ms))
