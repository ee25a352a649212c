"""The agent's configuration: pressure, aging and eviction, compaction, swap files, and reclaim of single workloads.

Keys and defaults are mem-agent's where it has them; what only Ebbtide has is marked. All values are frozen and
printable, and equal values print alike. Units are in the names; seconds may be fractions.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

MIB = 1 << 20
NEVER = 0xFFFFFFFFFFFFFFFF  # of compact_force_times; 2^63-1 and above mean the same


# -- pressure ----------------------------------------------------------------------------------------------------------


class Combine(StrEnum):
    """How memory and io stall make one percentage: mem-agent in Kata adds them, its later versions take the larger."""

    SUM = "sum"
    MAX = "max"


@dataclass(frozen=True, slots=True, kw_only=True)
class PsiConfig:
    """`psi:`; ours."""

    required: bool = False  # without PSI nothing runs; else limits count as never exceeded, and the status says so
    combine: Combine = Combine.SUM
    full: bool = False  # judge by the time in which all tasks waited, not some


# -- memcg -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcgProfile:
    """How one cgroup on one node is aged and evicted."""

    disabled: bool = False
    swap: bool = False  # anonymous memory, too
    swappiness_max: int = 50  # 0..200
    period_secs: float = 600.0
    period_psi_percent_limit: float = 1.0
    eviction_psi_percent_limit: float = 1.0
    eviction_run_aging_count_min: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcgOverride:
    """A profile for a cgroup, all below it unless `no_subdir`, on some nodes."""

    path: str  # below the cgroup v2 mount, with a leading and no trailing slash
    numa_id: tuple[int, ...] = ()  # () = every node that no other entry of this path names
    no_subdir: bool = False
    profile: MemcgProfile = MemcgProfile()


@dataclass(frozen=True, slots=True, kw_only=True)
class MemcgConfig:
    """`memcg:`. The last three are ours."""

    profile: MemcgProfile = MemcgProfile()
    cgroups: tuple[MemcgOverride, ...] = ()
    pass_bytes: int = 0  # evicted in one pass of one cgroup at most; 0 = no limit
    pass_secs: float = 60.0  # one pass over all cgroups ends by then and goes on at the next; 0 = no limit
    dry_run: bool = False  # decide and count, write nothing


# -- compact -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactConfig:
    """`compact:`. The last two are ours."""

    disabled: bool = False
    period_secs: float = 600.0
    period_psi_percent_limit: float = 1.0
    compact_psi_percent_limit: float = 5.0
    compact_sec_max: float = 180.0
    compact_order: int = 9
    compact_threshold: int = 1024  # pages
    compact_force_times: int = NEVER  # 0 = each period
    per_node: bool = False  # compact only the nodes that are fragmented
    dry_run: bool = False


# -- swap --------------------------------------------------------------------------------------------------------------


class SwapKind(StrEnum):
    FILE = "file"
    ZRAM = "zram"


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapConfig:
    """`swap:`. The last four are ours."""

    enable_guest_swap: bool = False
    guest_swap_path: str = ""  # a directory; "" = STATE/swap
    guest_swap_size_percent: float = 100.0  # of the memory there is now
    guest_swap_create_threshold_secs: float = 60.0  # memory must have had one size for so long
    kind: SwapKind = SwapKind.FILE
    keep_free_bytes: int = 1024 * MIB  # of the file system, beside the swap file
    priority: int = -1  # of swapon; -1 = the kernel's choice
    algorithm: str = ""  # of zram's compression; "" = the kernel's default


# -- reclaim of one workload, ours -------------------------------------------------------------------------------------


class Slo(StrEnum):
    """What must not get worse while memory is taken."""

    PRESSURE = "pressure"  # stall time, percent
    REFAULT = "refault"  # pages that came back, percent of the working set a minute
    PROMOTION = "promotion"  # cold memory that was used again, percent of the working set a minute


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimConfig:
    """A class's `reclaim:`; docs/agent.md has the control law."""

    slo: Slo = Slo.PRESSURE
    target_percent: float = 0.1
    io_target_percent: float = 0.1  # stall of io, beside any slo
    interval_secs: float = 6.0
    step_percent: float = 0.05  # of the memory in use that one probe takes, at no pressure at all
    most_step_percent: float = 1.0  # steps double up to this while nothing hurts, far above the footprint found before
    floor_bytes: int = 100 * MIB  # never below
    floor_percent: float = 0.0  # of the runtime's memory limit; the higher of the two floors holds
    swappiness: int | None = None  # 0..200; None = the kernel's
    swap_used_percent: float = 80.0  # swap in use on the node: no anonymous memory is taken above; systemd-oomd: 90
    write_bytes_per_sec: int = 1 * MIB  # to swap, over minutes: an SSD's life; 0 = no limit


# -- Kata's agent ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class MemagentConfig:
    """A class's `memagent:`: what the kata-agent of its pods is told, in its own words; absent keys stay."""

    memcg: tuple[tuple[str, bool | int], ...] = ()
    compact: tuple[tuple[str, bool | int], ...] = ()


# -- what an administrator changed at runtime --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One `set` call: these keys of `memcg:` or `compact:`, for the node or for one cgroup (memcg only)."""

    section: str  # memcg | compact
    values: Mapping[str, object] = field(default_factory=dict)  # key -> value as the reader gives it
    cgroup: str = ""
    origin: str = "control"  # who: shown by `status`


# -- the task: everything the agent is to do, resolved -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ReclaimTask:
    """One workload whose memory is probed for what it does not need."""

    workload: str
    name: str
    cgroup: str  # path below the mount
    config: ReclaimConfig
    memory_limit: int | None = None  # the runtime's, bytes
    observe: bool = False  # of this one: decide and count, write nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class KataTask:
    """A pod in a virtual machine of its own, whose agent is told how to use its memory."""

    sandbox: str  # id, as the runtime calls it
    name: str  # namespace/pod
    config: MemagentConfig
    note: str = ""  # what could not be told, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A cgroup, with all below it, that nothing is taken from."""

    cgroup: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTask:
    """What runs; None = that part is off. Equal tasks need no change."""

    psi: PsiConfig = PsiConfig()
    memcg: MemcgConfig | None = None
    compact: CompactConfig | None = None
    swap: SwapConfig | None = None
    reclaims: tuple[ReclaimTask, ...] = ()
    katas: tuple[KataTask, ...] = ()
    kept: tuple[Kept, ...] = ()
    observe: bool = False  # decide and count, write nothing
    origins: tuple[tuple[str, str], ...] = ()  # "memcg.swap" or "memcg[/a].swap" -> file:line or who set it

    def fingerprint(self) -> str:
        """The same in every process for equal tasks, and short: for reports."""
        return hashlib.sha256(repr(self).encode("utf-8", "backslashreplace")).hexdigest()[:12]
