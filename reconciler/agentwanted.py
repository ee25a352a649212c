"""What the agent should do: sections of class files + runtime changes + workloads -> AgentTask. Pure.

Precedence, lowest first: the defaults, the section, an entry of `cgroups:`, what somebody set at runtime. Whatever is
left alone (`kept`) is left alone by every part.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler import agentkeys
from reconciler.agent import kata_rules
from reconciler.agentconfig import (
    AgentTask,
    CompactConfig,
    KataTask,
    Kept,
    MemcgConfig,
    MemcgOverride,
    MemcgProfile,
    Override,
    ReclaimTask,
)
from reconciler.model import ClassTable, Desired, DesiredWorkload, MemoryClass, Mode
from reconciler.report import OFF

ROOT = "/"


def resolve(
    table: ClassTable,
    workloads: Iterable[DesiredWorkload],
    overrides: tuple[Override, ...] = (),
    kept: Iterable[Kept] = (),
) -> AgentTask:
    """`kept`: what the caller knows to be left alone: the node's own services, containers pinned by the kubelet."""
    wanted = tuple(workloads)
    found = _kept(table, wanted, kept)
    memcg, compact = _memcg(table, overrides), _compact(table, overrides)
    observe = table.mode is Mode.OBSERVE
    task = AgentTask(
        psi=table.psi,
        memcg=memcg if memcg and _runs(memcg) else None,
        compact=compact if compact and not compact.disabled else None,
        swap=table.swap if table.swap and table.swap.enable_guest_swap else None,
        reclaims=_reclaims(table, wanted, found),
        katas=_katas(table, wanted),
        kept=found,
        observe=observe,
        origins=tuple(sorted(_origins(table, overrides).items())),
    )
    return AgentTask(observe=observe) if is_off(task) else task


def is_off(task: AgentTask) -> bool:
    return (task.memcg, task.compact, task.swap, task.reclaims, task.katas) == (None, None, None, (), ())


def same(running: AgentTask, wanted: AgentTask) -> bool:
    """Whether there is nothing to change. What is off and may act again puts back what it has left until now."""
    if is_off(running) and is_off(wanted):
        return wanted.observe or not running.observe
    return running == wanted


def summary(task: AgentTask) -> str:
    """For people: the parts that run."""
    parts = [name for name in ("memcg", "compact", "swap") if getattr(task, name) is not None]
    parts += [f"reclaim of {len(task.reclaims)}"] if task.reclaims else []
    parts += [f"kata-agents of {len(task.katas)}"] if task.katas else []
    said = ", ".join(parts) or OFF
    return f"{said} (observes only)" if task.observe and parts else said


def added(overrides: tuple[Override, ...], new: Override) -> tuple[Override, ...]:
    """One more call: of the same cgroup (or the node) it changes its keys and keeps the others."""
    others = without_place(overrides, new.section, new.cgroup)
    values = {key: value for one in overrides if one not in others for key, value in one.values.items()}
    return (*others, replace(new, values={**values, **new.values}))


def without_place(overrides: tuple[Override, ...], section: str, cgroup: str) -> tuple[Override, ...]:
    return tuple(one for one in overrides if (one.section, one.cgroup) != (section, cgroup))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is set, whether it runs or not; None: no file has the section, and nobody turned it on at runtime."""

    memcg: MemcgConfig | None = None
    compact: CompactConfig | None = None
    origins: Mapping[str, str] = field(default_factory=dict)  # as those of a task


def settings(table: ClassTable, overrides: tuple[Override, ...] = ()) -> Settings:
    return Settings(
        memcg=_memcg(table, overrides), compact=_compact(table, overrides), origins=_origins(table, overrides)
    )


# -- runtime changes ---------------------------------------------------------------------------------------------------


def _runs(config: MemcgConfig) -> bool:
    """A section that is disabled still stands for its cgroups that are not."""
    return not all(profile.disabled for profile in (config.profile, *(each.profile for each in config.cgroups)))


def _memcg(table: ClassTable, overrides: tuple[Override, ...]) -> MemcgConfig | None:
    of_node = _values("memcg", overrides)
    config = table.memcg
    if config is None:
        if of_node.get("disabled") is not False:
            return None
        config = MemcgConfig()
    profile = {key: value for key, value in of_node.items() if key in agentkeys.PROFILE}
    rest = {key: value for key, value in of_node.items() if key not in agentkeys.PROFILE}
    cgroups = tuple(
        replace(each, profile=_changed(each.profile, _without_own(each, profile, table))) for each in config.cgroups
    )
    config = replace(config, profile=_changed(config.profile, profile), cgroups=cgroups, **rest)
    for override in overrides:
        if override.section == "memcg" and override.cgroup:
            config = replace(config, cgroups=_with_cgroup(config, override))
    return config


def _compact(table: ClassTable, overrides: tuple[Override, ...]) -> CompactConfig | None:
    changed = _values("compact", overrides)
    config = table.compact
    if config is None:
        if changed.get("disabled") is not False:
            return None
        config = CompactConfig()
    return replace(config, **changed)


def _values(section: str, overrides: tuple[Override, ...]) -> dict[str, Any]:
    """Of the node: later calls win."""
    result: dict[str, Any] = {}
    for override in overrides:
        if override.section == section and not override.cgroup:
            result.update(override.values)
    return result


def _changed(profile: MemcgProfile, values: Mapping[str, Any]) -> MemcgProfile:
    return replace(profile, **values)


def _without_own(entry: MemcgOverride, values: Mapping[str, Any], table: ClassTable) -> dict[str, Any]:
    """What the section passes on to an entry: the keys that the entry does not give itself."""
    where = f"memcg{agentkeys.bracketed(entry.path, entry.numa_id)}"
    return {key: value for key, value in values.items() if f"{where}.{key}" not in table.agent_origins}


def _with_cgroup(config: MemcgConfig, override: Override) -> tuple[MemcgOverride, ...]:
    """Entries of this very path are changed; nodes that have none get what holds for them by now, changed."""
    path, values = override.cgroup, override.values
    own = tuple(
        replace(each, profile=_changed(each.profile, values)) if each.path == path else each for each in config.cgroups
    )
    new = (
        replace(each, path=path, no_subdir=False, profile=_changed(each.profile, values))
        for each in holding(config, path)
        if each.path != path or each not in config.cgroups
    )
    return (*own, *new)


def holding(config: MemcgConfig, path: str) -> tuple[MemcgOverride, ...]:
    """What holds for a cgroup: a node is its nearest entry's that names it, or that names none; else the section's."""
    found: list[MemcgOverride] = []
    taken: set[int] = set()
    for place in _upwards(path):
        here = [each for each in config.cgroups if each.path == place and (place == path or not each.no_subdir)]
        for each in sorted(here, key=lambda one: not one.numa_id):
            if not each.numa_id:
                return (*found, each)
            if left := set(each.numa_id) - taken:
                found.append(replace(each, numa_id=tuple(sorted(left))))
                taken |= left
    return (*found, _of_section(config, path))


def _of_section(config: MemcgConfig, path: str) -> MemcgOverride:
    return MemcgOverride(path=path, profile=config.profile)


def _upwards(path: str) -> Iterator[str]:
    while path != ROOT:
        yield path
        path = path.rpartition("/")[0] or ROOT
    yield ROOT


def _origins(table: ClassTable, overrides: tuple[Override, ...]) -> dict[str, str]:
    result = {name: str(origin) for name, origin in table.agent_origins.items()}
    for override in overrides:
        where = f"{override.section}[{override.cgroup}]" if override.cgroup else override.section
        result |= {f"{where}.{key}": override.origin for key in override.values}
    return result


# -- workloads ---------------------------------------------------------------------------------------------------------


def _reclaims(
    table: ClassTable, workloads: tuple[DesiredWorkload, ...], kept: tuple[Kept, ...]
) -> tuple[ReclaimTask, ...]:
    return tuple(
        ReclaimTask(
            workload=wanted.workload.id,
            name=wanted.workload.name,
            cgroup=wanted.workload.cgroup,
            config=found.reclaim,
            memory_limit=wanted.workload.memory_limit,
            observe=_only_observes(table, wanted),
        )
        for wanted in sorted(workloads, key=lambda one: one.workload.id)
        if (found := _class(table, wanted)) and found.reclaim and wanted.workload.cgroup
        if _only_observes(table, wanted) or not is_kept(wanted.workload.cgroup, kept)
    )


def _only_observes(table: ClassTable, wanted: DesiredWorkload) -> bool:
    """While the node acts: this one is kept, and looked at for what could be taken."""
    return table.mode is Mode.ACT and wanted.mode is Mode.OBSERVE and not wanted.held


def _katas(table: ClassTable, workloads: tuple[DesiredWorkload, ...]) -> tuple[KataTask, ...]:
    """A class that only observes, and a workload that is left alone, have nothing delivered."""
    return kata_rules.wanted(
        (wanted.workload, found.memagent)
        for wanted in workloads
        if (found := _class(table, wanted)) and found.memagent
        if not wanted.held and not (table.mode is Mode.ACT and wanted.mode is Mode.OBSERVE)
    )


def _class(table: ClassTable, wanted: DesiredWorkload) -> MemoryClass | None:
    return table.classes.get(wanted.class_name)


def is_kept(cgroup: str, kept: Iterable[Kept]) -> bool:
    return any(cgroup == one.cgroup or cgroup.startswith(f"{one.cgroup.rstrip('/')}/") for one in kept)


def _kept(table: ClassTable, workloads: tuple[DesiredWorkload, ...], known: Iterable[Kept]) -> tuple[Kept, ...]:
    """By cgroup, one reason each. What an administrator named and gave a class is managed, whatever it is."""
    named = {one.workload.cgroup for one in workloads if one.workload.named and one.class_name}
    result = {one.cgroup: one for one in known if one.cgroup not in named}
    for wanted in workloads:
        reason = _reason(table, wanted)
        if reason and wanted.workload.cgroup:
            result[wanted.workload.cgroup] = Kept(cgroup=wanted.workload.cgroup, reason=reason)
    return tuple(result[cgroup] for cgroup in sorted(result))


def _reason(table: ClassTable, wanted: DesiredWorkload) -> str:
    found = _class(table, wanted)
    if wanted.held:
        return wanted.held
    if found is not None and found.reclaim_never:
        return f"class {found.name} says reclaim: never"
    if _only_observes(table, wanted):
        return f"class {wanted.class_name} only observes"
    return ""


# -- now ---------------------------------------------------------------------------------------------------------------


def without(desired: Desired, task: AgentTask, released: frozenset[str]) -> AgentTask:
    """The task while an administrator has taken these workloads back."""
    found = [desired.workloads[key].workload for key in sorted(released) if key in desired.workloads]
    more = {one.cgroup: Kept(cgroup=one.cgroup, reason="released by an administrator") for one in found if one.cgroup}
    kept = {**{one.cgroup: one for one in task.kept}, **more}
    changed = replace(
        task,
        kept=tuple(kept[cgroup] for cgroup in sorted(kept)),
        reclaims=tuple(one for one in task.reclaims if not is_kept(one.cgroup, more.values())),
        katas=tuple(one for one in task.katas if one.sandbox not in {each.sandbox for each in found}),
    )
    return AgentTask(observe=task.observe) if is_off(changed) else changed
