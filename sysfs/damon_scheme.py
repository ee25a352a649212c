"""What a kdamond is to do, as values: a context with its targets and schemes, and how they become files.

Names and units are those of Documentation/admin-guide/mm/damon/usage.rst. Nothing here touches the kernel: `files`
says which texts go into which files below contexts/0, in an order in which the kernel makes the directories first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sysfs.errors import Unsupported

NO_LIMIT = (1 << 64) - 1  # of bytes
MANY = (1 << 32) - 1  # of samples and aggregation intervals: 32-bit inside the kernel
_OPS_FILTERS = frozenset({"anon", "memcg", "young", "hugepage_size", "unmapped", "active"})

File = tuple[str, str]  # path below contexts/0, text
Spans = tuple[tuple[int, int], ...]  # (start, end) in bytes, ascending, disjoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What this kernel's DAMON has, told by the files that one of our own kdamonds shows."""

    operations: tuple[str, ...] = ("vaddr", "paddr")
    snapshots: bool = False  # schemes/N/tried_regions: Linux 6.2
    filters: bool = False  # 6.3
    target_filter: bool = False  # 6.6
    goals: bool = False  # 6.8
    target_nid: bool = False  # migrate_*: 6.11
    allow: bool = False  # filters that let through: 6.14
    split_filters: bool = False  # core_filters and ops_filters: 6.15
    tuning: bool = False  # intervals_goal: 6.15
    dests: bool = False  # several nodes, and migrate_* of virtual addresses: 6.17
    virtual_young: bool = False  # vaddr honours filters of stat schemes: 6.18, which also brought addr_unit
    obsolete: bool = False  # targets leave from the middle: 6.19


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Memory that matches is left out, or, with `allow` (Linux 6.14), let through."""

    kind: str  # anon | memcg | young | target
    matching: bool
    allow: bool = False
    path: str = ""  # of memcg, below the cgroup mount
    target: int = 0  # of target: its number in the context


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    metric: str
    target: int
    node: int | None = None
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """0 = no limit."""

    bytes: int = 0
    ms: int = 0
    interval_ms: int = 0
    goals: tuple[Goal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """An action for regions whose size (bytes), accesses (samples) and age (aggregation intervals) lie within."""

    action: str = "stat"
    size: tuple[int, int] = (0, NO_LIMIT)
    accesses: tuple[int, int] = (0, MANY)
    age: tuple[int, int] = (0, MANY)
    nodes: tuple[int, ...] = ()  # of migrate_*
    quota: Quota = Quota()
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A process, or physical memory (pid 0). Without regions a running kdamond keeps what it has learned."""

    pid: int = 0
    regions: Spans = ()
    obsolete: bool = False  # goes with the next commit: Linux 6.19


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The kernel finds the intervals (Linux 6.15): so much access within so many aggregations, samples within."""

    access_bp: int = 400  # of 10000; DAMON_STAT's setting and the kernel's advice
    aggregations: int = 3
    min_sample_us: int = 5000
    max_sample_us: int = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    operations: str
    sample_us: int
    aggregation_us: int
    update_us: int
    min_regions: int
    max_regions: int
    tuning: Tuning | None = None
    targets: tuple[Target, ...] = ()
    schemes: tuple[Scheme, ...] = ()


def files(context: Context, can: Abilities) -> Iterator[File]:
    """All of it; raises Unsupported if this kernel lacks something that was asked for."""
    yield "operations", context.operations
    yield from _attributes(context, can)
    yield "targets/nr_targets", str(len(context.targets))
    for number, target in enumerate(context.targets):
        yield from _target(f"targets/{number}", target)
    yield "schemes/nr_schemes", str(len(context.schemes))
    for number, scheme in enumerate(context.schemes):
        yield from _scheme(f"schemes/{number}", scheme, can)


def _attributes(context: Context, can: Abilities) -> Iterator[File]:
    base = "monitoring_attrs"
    for name, value in (("sample", context.sample_us), ("aggr", context.aggregation_us), ("update", context.update_us)):
        yield f"{base}/intervals/{name}_us", str(value)
    if can.tuning:
        yield from _tuning(f"{base}/intervals/intervals_goal", context.tuning)
    elif context.tuning:
        raise Unsupported(None, "DAMON finds its intervals by itself from Linux 6.15 on", "autotune")
    yield f"{base}/nr_regions/min", str(context.min_regions)
    yield f"{base}/nr_regions/max", str(context.max_regions)


def _tuning(base: str, tuning: Tuning | None) -> Iterator[File]:
    yield f"{base}/aggrs", str(tuning.aggregations if tuning else 0)  # 0 switches it off
    if tuning:
        yield f"{base}/access_bp", str(tuning.access_bp)
        yield f"{base}/min_sample_us", str(tuning.min_sample_us)
        yield f"{base}/max_sample_us", str(tuning.max_sample_us)


def _target(base: str, target: Target) -> Iterator[File]:
    yield f"{base}/pid_target", str(target.pid)
    if target.obsolete:
        yield f"{base}/obsolete_target", "Y"
    if target.regions:
        yield f"{base}/regions/nr_regions", str(len(target.regions))
    for number, (start, end) in enumerate(target.regions):
        yield f"{base}/regions/{number}/start", str(start)
        yield f"{base}/regions/{number}/end", str(end)


def _scheme(base: str, scheme: Scheme, can: Abilities) -> Iterator[File]:
    yield f"{base}/action", scheme.action
    for name, (least, most) in (("sz", scheme.size), ("nr_accesses", scheme.accesses), ("age", scheme.age)):
        yield f"{base}/access_pattern/{name}/min", str(least)
        yield f"{base}/access_pattern/{name}/max", str(most)
    yield from _nodes(base, scheme, can)
    yield from _quota(f"{base}/quotas", scheme.quota, can)
    yield from _filters(base, scheme.filters, can)


def _nodes(base: str, scheme: Scheme, can: Abilities) -> Iterator[File]:
    if not scheme.nodes:
        return
    if not can.target_nid:
        raise Unsupported(None, "DAMON moves memory between nodes from Linux 6.11 on", scheme.action)
    yield f"{base}/target_nid", str(scheme.nodes[0])
    if len(scheme.nodes) > 1 and can.dests:  # without: all of it goes to the first
        yield f"{base}/dests/nr_dests", str(len(scheme.nodes))
        for number, node in enumerate(scheme.nodes):
            yield f"{base}/dests/{number}/id", str(node)
            yield f"{base}/dests/{number}/weight", "1"


def _quota(base: str, quota: Quota, can: Abilities) -> Iterator[File]:
    yield f"{base}/ms", str(quota.ms)
    yield f"{base}/bytes", str(quota.bytes)
    yield f"{base}/reset_interval_ms", str(quota.interval_ms)
    if quota.goals and not can.goals:
        raise Unsupported(None, "goals of DAMON's quotas need Linux 6.8", "goals")
    if quota.goals:
        yield f"{base}/goals/nr_goals", str(len(quota.goals))
    for number, goal in enumerate(quota.goals):
        yield f"{base}/goals/{number}/target_metric", goal.metric
        yield f"{base}/goals/{number}/target_value", str(goal.target)
        if goal.node is not None:
            yield f"{base}/goals/{number}/nid", str(goal.node)
        if goal.path:
            yield f"{base}/goals/{number}/path", goal.path


def _filters(base: str, filters: Sequence[Filter], can: Abilities) -> Iterator[File]:
    """From Linux 6.15 on there are two lists: filters of addresses and targets come before those of pages."""
    if not can.split_filters:
        yield from _list(f"{base}/filters", filters, can)
        return
    yield from _list(f"{base}/core_filters", [each for each in filters if each.kind not in _OPS_FILTERS], can)
    yield from _list(f"{base}/ops_filters", [each for each in filters if each.kind in _OPS_FILTERS], can)


def _list(base: str, filters: Sequence[Filter], can: Abilities) -> Iterator[File]:
    if not filters:
        return
    _check(filters, can)
    yield f"{base}/nr_filters", str(len(filters))
    for number, each in enumerate(filters):
        yield f"{base}/{number}/type", each.kind
        yield f"{base}/{number}/matching", _switch(each.matching)
        if each.kind == "target":
            yield f"{base}/{number}/damon_target_idx", str(each.target)
        if each.path:
            yield f"{base}/{number}/memcg_path", each.path
        if can.allow:
            yield f"{base}/{number}/allow", _switch(each.allow)


def _check(filters: Sequence[Filter], can: Abilities) -> None:
    if not can.filters:
        raise Unsupported(None, "DAMON has filters from Linux 6.3 on", "filters")
    if any(each.kind == "target" for each in filters) and not can.target_filter:
        raise Unsupported(None, "several users of one kdamond, one of which moves memory, need Linux 6.6", "kdamond")
    if any(each.allow for each in filters) and not can.allow:
        raise Unsupported(None, "DAMON has filters that let memory through from Linux 6.14 on", "filters")


def _switch(value: bool) -> str:  # noqa: FBT001 (a value, not a mode)
    return "Y" if value else "N"
