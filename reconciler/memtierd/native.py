"""The engine's configuration in our own spelling: mappings, and units that people read. `config.read` gives it back."""

from typing import Any

from reconciler import quantities
from reconciler.engineconfig import CGROUP_PLACEHOLDER, AgeConfig, EngineConfig, RoutineConfig, WatcherConfig
from reconciler.memtierd.config import USUAL_PAGE

_STEPS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1))


def mapping(config: EngineConfig, page_size: int = USUAL_PAGE) -> dict[str, Any]:
    """All of it, defaults too: this is for looking, not for keeping."""
    policy, tracker, mover = config.policy, config.tracker, config.mover
    assert isinstance(policy, AgeConfig)
    age: dict[str, Any] = {"interval": duration(policy.interval_ms)}
    if policy.swapout_ms:
        age["swapout"] = duration(policy.swapout_ms)
    age["pagetypes"] = list(policy.page_types)
    region = tracker.pages_in_region * page_size
    age["tracker"] = {
        "name": tracker.name,
        "config": {
            "regionsize": _size(region),
            "maxcountperregion": tracker.max_count_per_region,
            "scaninterval": duration(tracker.scan_interval_ms),
            "regionsupdate": duration(tracker.regions_update_ms),
        },
    }
    age["mover"] = {
        "interval": duration(mover.interval_ms),
        "bandwidth": f"{mover.bandwidth_mib}MiB" if mover.bandwidth_mib else 0,
    }
    if (config.watcher.name, config.watcher.cgroups) != ("cgroups", (CGROUP_PLACEHOLDER,)):
        age["pidwatcher"] = _watcher(config.watcher)
    result: dict[str, Any] = {"policy": {"name": "age", "config": age}}
    if config.routines:
        result["routines"] = [_routine(routine) for routine in config.routines]
    return result


def duration(milliseconds: int) -> str:
    """In the biggest unit that leaves no rest."""
    unit, factor = next((unit, factor) for unit, factor in _STEPS if milliseconds % factor == 0)
    return f"{milliseconds // factor}{unit}" if milliseconds else "0s"


def _size(size: int) -> str:
    text = quantities.human_bytes(size)
    return text if quantities.bytes_of(text) == size else f"{size}B"


def _watcher(watcher: WatcherConfig) -> dict[str, Any]:
    if watcher.name == "pidlist":
        return {"name": watcher.name, "config": {"pids": list(watcher.pids)}}
    return {
        "name": watcher.name,
        "config": {"cgroups": list(watcher.cgroups), "interval": duration(watcher.interval_ms)},
    }


def _routine(routine: RoutineConfig) -> dict[str, Any]:
    config = {
        "interval": duration(routine.interval_ms),
        "intervalcommand": list(routine.command.words if routine.command else ()),
        "intervalcommandrunner": routine.command.runner if routine.command else "memtier",
    }
    return {"name": "statactions", "config": config}
