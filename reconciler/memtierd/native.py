"""The engine's configuration in our own spelling: mappings, and units that people read. `config.read` gives it back."""

from collections.abc import Iterable
from typing import Any

from reconciler import quantities
from reconciler.engineconfig import (
    CGROUP_PLACEHOLDER,
    AgeConfig,
    AvoidOomConfig,
    Command,
    DamonConfig,
    DamosConfig,
    DemoteIdleConfig,
    EngineConfig,
    FilterConfig,
    FinderConfig,
    ForecasterConfig,
    HeatConfig,
    MoverConfig,
    NodeSize,
    PolicyConfig,
    RatioConfig,
    RoutineConfig,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
    Watermark,
)
from reconciler.memtierd.parts import USUAL_PAGE

_STEPS = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1))
Values = dict[str, Any]


def mapping(config: EngineConfig, page_size: int = USUAL_PAGE) -> Values:
    """All of it, defaults too: this is for looking, not for keeping."""
    inner = {**policy(config.policy), "tracker": tracker(config.tracker, page_size), "mover": mover(config.mover)}
    if config.watcher != usual_watcher(config.policy):
        inner["pidwatcher"] = watcher(config.watcher)
    result: Values = {"policy": {"name": config.policy_name, "config": inner}}
    if config.routines:
        result["routines"] = [routine(each) for each in config.routines]
    return result


def duration(milliseconds: int) -> str:
    """In the biggest unit that leaves no rest."""
    return _microseconds(milliseconds * 1000)


def _microseconds(count: int) -> str:
    unit, factor = next((unit, factor) for unit, factor in _STEPS if count % factor == 0)
    return f"{count // factor}{unit}" if count else "0s"


def _size(size: int) -> str:
    text = quantities.human_bytes(size)
    return text if quantities.bytes_of(text) == size else f"{size}B"


def _percent(value: float) -> str:
    """Not in the notation with exponents, which no percentage may have."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return f"{text}%"


def _given(**values: object) -> Values:
    """Without what says nothing."""
    return {key: value for key, value in values.items() if value not in (None, "", 0, [], {}, "0s", "0B", False)}


# -- policies --------------------------------------------------------------------------------------------------------


def policy(config: PolicyConfig) -> Values:
    """The policy's own settings."""
    return {"interval": duration(config.interval_ms), "pagetypes": list(config.page_types), **_own(config)}


def _own(config: PolicyConfig) -> Values:
    found: Values = {}
    match config:
        case AgeConfig():
            found = _age(config)
        case HeatConfig():
            found = _heat(config)
        case RatioConfig(ratio=ratio, targets=targets):
            found = {"ratio": ratio, "ratiotargets": list(targets)}
        case DemoteIdleConfig(idle_nodes=nodes, pages_of_interest_directory=directory):
            found = {"idlenumas": list(nodes), **_given(pagesofinterestdir=directory)}
        case AvoidOomConfig(start=start, stop=stop, cgroups=cgroups):
            found = {"startfreeingmemory": _size_or_percent(start), "stopfreeingmemory": _size_or_percent(stop)}
            found |= _given(cgroups=list(cgroups))
        case DamosConfig():
            found = _damos(config)
        case StubConfig():
            pass
    return found


def _age(config: AgeConfig) -> Values:
    return _given(
        swapout=duration(config.swapout_ms),
        idleduration=duration(config.idle_ms),
        idlenumas=list(config.idle_nodes),
        activeduration=duration(config.active_ms),
        activenumas=list(config.active_nodes),
    )


def _heat(config: HeatConfig) -> Values:
    heatmap = config.heatmap
    return {
        "heatmap": {
            "heatmax": heatmap.heat_max,
            "heatretention": heatmap.retention,
            "heatclasses": heatmap.classes,
        },
        **_given(
            heatnumas={str(heat): list(nodes) for heat, nodes in config.nodes},
            numasize={str(each.node): _size_or_percent(each) for each in config.node_sizes},
            forecaster=None if config.forecaster is None else forecaster(config.forecaster),
        ),
    }


def _size_or_percent(value: NodeSize | Watermark) -> str:
    return _size(value.size_bytes) if value.percent is None else _percent(value.percent)


def _damos(config: DamosConfig) -> Values:
    goals = [
        {"metric": goal.metric, "target": goal.target}
        | ({} if goal.node is None else {"numa": goal.node})
        | _given(path=goal.path)
        for goal in config.goals
    ]
    return {
        "action": config.action,
        "maxaccess": _percent(config.max_access_percent),
        **_given(
            numas=list(config.nodes),
            minsize=_size(config.min_bytes),
            maxsize=_size(config.max_bytes),
            minage=duration(config.min_age_ms),
            quotasize=_size(config.quota_bytes),
            quotatime=duration(config.quota_ms),
            goals=goals,
            young=config.young,
            physical=config.physical,
        ),
        "minaccess": _percent(config.min_access_percent),
        "quotainterval": duration(config.quota_interval_ms),
    }


def forecaster(config: ForecasterConfig) -> Values:
    inner: Values = {}
    if config.name == "stdio":
        stderr = f"file:{config.stderr}" if config.stderr else ""
        inner = {"command": list(config.command), **_given(stderr=stderr, retry=config.retries)}
        inner["deadline"] = duration(config.deadline_ms)
    elif config.name == "trace":
        inner = {"file": config.file, **_given(hideheatzero=config.hide_heat_zero)}
    elif config.name == "chain":
        inner = {"forecasters": [forecaster(each) for each in config.forecasters]}
    return _named(config.name, inner)


def _named(name: str, config: Values) -> Values:
    return {"name": name, "config": config} if config else {"name": name}


# -- trackers --------------------------------------------------------------------------------------------------------


def tracker(config: TrackerConfig, page_size: int = USUAL_PAGE) -> Values:
    if config.name in {"multi", "stub"}:
        return _named(config.name, _given(trackers=[tracker(each, page_size) for each in config.trackers]))
    inner: Values = {
        "regionsize": _size(config.pages_in_region * page_size),
        "maxcountperregion": config.max_count_per_region,
        "scaninterval": duration(config.scan_interval_ms),
        "regionsupdate": duration(config.regions_update_ms),
    }
    if config.name == "finder":
        del inner["maxcountperregion"]
        inner |= _finder(config.finder)
    if config.name == "damon":
        inner |= _damon(config.damon)
    if config.name == "auto":
        inner |= _damon_switches(config.damon)
    return _named(config.name, inner)


def _finder(config: FinderConfig) -> Values:
    bits = {
        "pagemapbitpresent": config.present,
        "pagemapbitexclusive": config.exclusive,
        "pagemapbitsoftdirty": config.soft_dirty,
    }
    return _given(reportaccesses=config.accesses) | {key: bit for key, bit in bits.items() if bit is not None}


def _damon(config: DamonConfig) -> Values:
    return {
        "sampling": _microseconds(config.sampling_us),
        "aggregation": _microseconds(config.aggregation_us),
        "regionsupdate": _microseconds(config.regions_update_us),
        "mintargetregions": config.min_regions,
        "maxtargetregions": config.max_regions,
        "rangesizemax": "unlimited" if config.range_size_max < 0 else _size(config.range_size_max),
        **_given(kdamondslist=list(config.kdamonds), nrkdamonds=config.nr_kdamonds),
        **_damon_switches(config),
    }


def _damon_switches(config: DamonConfig) -> Values:
    exact = {} if config.page_exact else {"pageexact": False}
    return exact | _given(autotune=config.auto_tune, pausedamonstat=config.pause_damon_stat)


# -- mover, watchers, routines ---------------------------------------------------------------------------------------


def mover(config: MoverConfig) -> Values:
    bandwidth = f"{config.bandwidth_mib}MiB" if config.bandwidth_mib else 0
    return {"interval": duration(config.interval_ms), "bandwidth": bandwidth}


def watcher(config: WatcherConfig) -> Values:
    inner: Values = {"interval": duration(config.interval_ms)}
    if config.name == "cgroups":
        inner["cgroups"] = list(config.cgroups)
    elif config.name == "pidlist":
        inner["pids"] = list(config.pids)
    elif config.name == "filter":
        inner |= {"filters": _filters(config.filters)}
        inner |= {} if config.source is None else {"source": watcher(config.source)}
    return _named(config.name, inner)


def usual_watcher(config: PolicyConfig) -> WatcherConfig:
    """What a policy gets that names no pidwatcher."""
    named = config.cgroups if isinstance(config, AvoidOomConfig) else ()
    return WatcherConfig(cgroups=named or (CGROUP_PLACEHOLDER,))


def _filters(filters: Iterable[FilterConfig]) -> list[Values]:
    return [_filter(each) for each in filters]


def _filter(config: FilterConfig) -> Values:
    return _given(
        procexeregexp=config.exe_regexp,
        minvmsize=_size(config.min_vm_size_kb << 10),
        minvmrss=_size(config.min_vm_rss_kb << 10),
        minprivatedirty=_size(config.min_private_dirty_kb << 10),
    ) | {key: value for key, value in _combined(config).items() if value}


def _combined(config: FilterConfig) -> Values:
    """None of several is all of them negated: only one `not` stands in a mapping."""
    first, *more = _filters(config.none_of) or [{}]
    negated = [{"not": each} for each in more]
    return {"and": _filters(config.all_of) + negated, "or": _filters(config.any_of), "not": first}


def routine(config: RoutineConfig) -> Values:
    inner = {
        "interval": duration(config.interval_ms),
        **_command("intervalcommand", config.command),
        **_given(pageout=_size(config.pageout_mib << 20)),
        **_command("pageoutcommand", config.pageout_command),
        **_given(timestamp=config.timestamp, timestampafter=config.timestamp_after),
    }
    return _named("statactions", inner)


def _command(key: str, command: Command | None) -> Values:
    return {} if command is None else {key: list(command.words), f"{key}runner": command.runner}
