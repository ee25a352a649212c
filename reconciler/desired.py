"""What each workload should have: classes + inventory + features -> Desired. Pure.

Precedence, lowest first: the class's `swaplimitratio`, `allowswap`, its `memory:` keys, the pod's annotations.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from reconciler import agentwanted, classification, inventory, knobs, safety, tracking
from reconciler.agentconfig import Kept, Override
from reconciler.engineconfig import CGROUP_PLACEHOLDER, WatcherConfig
from reconciler.model import (
    ClassTable,
    Desired,
    DesiredWorkload,
    EngineTask,
    Features,
    Knob,
    MemoryClass,
    Mode,
    Origin,
    Problem,
    Setting,
    Severity,
    Workload,
)


@dataclass(slots=True, kw_only=True)
class KnobValues:
    """Knob values under construction: later layers overwrite earlier ones."""

    values: dict[Knob, str] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def resolve(
    table: ClassTable,
    workloads: Iterable[Workload],
    features: Features,
    *,
    own_cgroup: str = "",
    uncertain: bool = False,
    overrides: tuple[Override, ...] = (),
    kept: Iterable[Kept] = (),
) -> Desired:
    """Decide for every workload, and for the agent.

    `uncertain`: a class file could not be read at all, so an unknown class or section may exist. `overrides`: what
    somebody set at runtime; `kept`: cgroups that the agent leaves alone.
    """
    decided = {
        workload.id: _decide(table, workload, features, own_cgroup=own_cgroup, uncertain=uncertain)
        for workload in workloads
    }
    found = _without_doubles(decided)
    task = None if uncertain else agentwanted.resolve(table, found.values(), overrides, kept)
    return Desired(workloads=found, agent=task)


def knob_values(
    classified: classification.Classified, workload: Workload, table: ClassTable, features: Features
) -> KnobValues:
    """The values that this workload's cgroup files should have, on this kernel. Also what NRI puts into its spec."""
    result = KnobValues()
    for setting in _layers(classified.memory_class, table) + classified.settings:
        _add(result, setting, workload, features)
    if classified.memory_class is not None and classified.memory_class.swap_limit_ratio:
        _add_ratio(result, classified.memory_class, workload, features)
    return result


def _decide(
    table: ClassTable, workload: Workload, features: Features, *, own_cgroup: str, uncertain: bool
) -> DesiredWorkload:
    classified = classification.classify(workload, table)
    memory_class = classified.memory_class
    problems = (*_of_record(workload), *classified.problems)
    if memory_class is None and not classified.settings:
        held = "a class file is unreadable, and the class may be in it" if uncertain and classified.problems else ""
        return DesiredWorkload(workload=workload, held=held, problems=_unique(problems))
    refused = "" if workload.named or not workload.cgroup else safety.cgroup_refusal(workload.cgroup, own_cgroup)
    if refused:
        return DesiredWorkload(workload=workload, problems=_unique((*problems, _never_managed(workload, refused))))
    return _managed(table, workload, features, classified, problems)


def _of_record(workload: Workload) -> tuple[Problem, ...]:
    """The problems of the record itself, whose pointers are JSON pointers.

    What `ebbtide nri` once said about annotations and classes is found again here, if it is still true.
    """
    if workload.writer != inventory.WRITER:
        return workload.problems
    return tuple(problem for problem in workload.problems if problem.pointer.startswith("/"))


def _managed(
    table: ClassTable,
    workload: Workload,
    features: Features,
    classified: classification.Classified,
    problems: tuple[Problem, ...],
) -> DesiredWorkload:
    memory_class = classified.memory_class or MemoryClass(name="")
    values = knob_values(classified, workload, table, features)
    if workload.named and not workload.cgroup:
        values = KnobValues(problems=_without_cgroup(memory_class, workload, values))
    mode = Mode.OBSERVE if Mode.OBSERVE in (table.mode, memory_class.mode) else Mode.ACT
    task, engine_problems = _engine_task(table, memory_class, workload, features, mode)
    return DesiredWorkload(
        workload=workload,
        class_name=memory_class.name,
        knobs=values.values,
        origins={**memory_class.origins, **values.origins},
        engine=task,
        mode=mode,
        on_stop=memory_class.on_stop,
        problems=_unique((*problems, *values.problems, *engine_problems)),
    )


def _without_cgroup(memory_class: MemoryClass, workload: Workload, values: KnobValues) -> list[Problem]:
    """What cannot be done for somebody who has no cgroup, and what is left to do: nothing, perhaps."""
    problems = list(values.problems)
    if values.values:
        names = ", ".join(sorted(values.values))
        said = f"class {memory_class.name} sets {names}, but no cgroup is named: they are left as they are"
        hint = "name its cgroup (cgroup: /PATH), or take a class that only tracks"
        problems.append(_of_scope(workload, said, hint, Severity.WARNING))
    if workload.pids or (memory_class.engine is not None and memory_class.engine.finds_processes()):
        return problems
    said = f"it names no cgroup, and class {memory_class.name} finds no processes by itself"
    hint = "name its cgroup (cgroup: /PATH), or take a class whose pidwatcher is proc, or names cgroups or pids"
    return [*problems, _of_scope(workload, said, hint, Severity.ERROR)]


def _of_scope(workload: Workload, message: str, hint: str, severity: Severity) -> Problem:
    where = workload.source or f"workload {workload.name}"
    return Problem(where=where, pointer="/cgroup", message=message, hint=hint, severity=severity)


def _layers(memory_class: MemoryClass | None, table: ClassTable) -> tuple[Setting, ...]:
    if memory_class is None:
        return ()
    origin = memory_class.origins.get("allowswap", Origin(file=", ".join(table.files)))
    swap = {True: "max", False: "0", None: ""}[memory_class.allow_swap]
    allow = (Setting(knob=Knob.SWAP_MAX, value=swap, origin=origin),) if swap else ()
    return (*allow, *memory_class.settings)


def _add(result: KnobValues, setting: Setting, workload: Workload, features: Features) -> None:
    if setting.knob not in features.knobs:
        result.problems.append(_missing_knob(setting, workload))
        return
    try:
        result.values[setting.knob] = knobs.settle(setting, workload.memory_limit, features.page_size)
    except ValueError as error:
        result.problems.append(_unsettled(setting, workload, str(error)))
    else:
        result.origins[setting.knob] = setting.origin


def _add_ratio(result: KnobValues, memory_class: MemoryClass, workload: Workload, features: Features) -> None:
    """memory-qos: the lowest layer, so only what nothing else has set."""
    origin = memory_class.origins.get("swaplimitratio", Origin(file=f"class {memory_class.name}"))
    settings = [Setting(knob=Knob.SWAP_MAX, value="max", origin=origin)]
    if workload.memory_limit is None:
        result.problems.append(
            _unsettled(settings[0], workload, "swaplimitratio needs a container with a memory limit")
        )
        return
    high = knobs.high_of_ratio(workload.memory_limit, memory_class.swap_limit_ratio or 0.0, features.page_size)
    settings.append(Setting(knob=Knob.MEMORY_HIGH, value=high, origin=origin))
    for setting in settings:
        if setting.knob not in result.values:
            _add(result, setting, workload, features)


def _engine_task(
    table: ClassTable, memory_class: MemoryClass, workload: Workload, features: Features, mode: Mode
) -> tuple[EngineTask | None, tuple[Problem, ...]]:
    config = memory_class.engine
    if config is None:
        return None, ()
    if mode is Mode.OBSERVE:
        config = config.measuring()
    choice = tracking.choose(config, memory_class.on_missing_tracker, features)
    cgroups, pids = _scope(config.watcher.leaf(), workload, features)
    problems = tuple(
        replace(problem, where=problem.where or f"class {memory_class.name}") for problem in choice.problems
    )
    alone = config.watcher.leaf().name in _WITHOUT_SCOPE or (workload.named and config.finds_processes())
    if not choice.tracker or not (cgroups or pids or alone):
        return None, problems
    task = EngineTask(
        workload=workload.id,
        config=config,
        tracker=choice.tracker,
        cgroups=cgroups,
        pids=pids,
        brakes=table.engine.brakes,
        named=workload.named,
    )
    return task, problems


_WITHOUT_SCOPE = {"proc", "stub"}  # watchers that find everybody, or nobody, whatever the workload's cgroup is


def _scope(watcher: WatcherConfig, workload: Workload, features: Features) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Whose memory: the placeholder is replaced in the parsed value, never in text, so no name can inject anything."""
    if watcher.name in _WITHOUT_SCOPE:
        return (), ()
    directory = features.cgroup_mount + workload.cgroup if workload.cgroup and features.cgroup_mount else ""
    cgroups = tuple(
        path.replace(CGROUP_PLACEHOLDER, directory)
        for path in watcher.cgroups
        if directory or CGROUP_PLACEHOLDER not in path
    )
    return tuple(dict.fromkeys(cgroups)), tuple(dict.fromkeys((*watcher.pids, *workload.pids)))


def _without_doubles(decided: Mapping[str, DesiredWorkload]) -> dict[str, DesiredWorkload]:
    """Two workloads with one cgroup would fight: the administrator's own naming wins, then the lower id."""
    owners: dict[str, str] = {}
    result = dict(sorted(decided.items()))
    for key, wanted in sorted(result.items(), key=lambda item: (not item[1].workload.named, item[0])):
        cgroup = wanted.workload.cgroup
        if not cgroup or not (wanted.class_name or wanted.knobs):
            continue
        owner = owners.setdefault(cgroup, key)
        if owner != key:
            result[key] = DesiredWorkload(workload=wanted.workload, problems=(_double(wanted.workload, owner),))
    return result


def _unique(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(dict.fromkeys(problems))


def _missing_knob(setting: Setting, workload: Workload) -> Problem:
    return Problem(
        where=f"workload {workload.name}",
        pointer=setting.knob,
        message=f"{setting.origin} asks for {setting.knob}, which this kernel does not have for a container",
        hint="`ebbtide doctor` says what is missing (swap accounting, zswap, cgroup v2); the rest of the class works",
        severity=Severity.WARNING,
    )


def _unsettled(setting: Setting, workload: Workload, reason: str) -> Problem:
    return Problem(
        where=f"workload {workload.name}",
        pointer=setting.knob,
        message=f"{setting.origin}: {setting.knob}: {reason}",
        hint="give the container a memory limit, or the class a value in bytes",
        severity=Severity.WARNING,
    )


def _never_managed(workload: Workload, reason: str) -> Problem:
    return Problem(
        where=f"workload {workload.name}",
        message=f"is never managed: {reason}",
        hint="name its cgroup in `workloads:` of a class file if you really mean it",
    )


def _double(workload: Workload, owner: str) -> Problem:
    return Problem(
        where=f"workload {workload.name}",
        message=f"its cgroup {workload.cgroup} is already managed as {owner}",
        hint=f"remove one of the two records or `workloads:` entries ({workload.source})",
    )
