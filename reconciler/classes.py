"""All class files together: the table of classes that everything else works with.

Files come in merge order (`classfiles.read`): a later one wins, class by class and key by key. A file with an error is
left out as a whole; if an earlier version of it was good, that one stays in force, so that a typo never takes the
management of a running container away.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reconciler import agentreading, declarations
from reconciler.checking import did_you_mean
from reconciler.declarations import ClassText, ParsedFile
from reconciler.engineconfig import RoutineConfig
from reconciler.kubelet import section
from reconciler.memtierd.config import USUAL_PAGE
from reconciler.model import (
    BrakeLimits,
    ClassTable,
    EngineSettings,
    Given,
    Knob,
    MemoryClass,
    MetricsSettings,
    Mode,
    NriSettings,
    Origin,
    Problem,
    Setting,
    Severity,
    StaticWorkload,
)

__all__ = ["ClassText", "Loaded", "ParsedFile", "load"]

_FIELDS = {
    "allowswap": "allow_swap",
    "memtierdconfig": "engine",
    "swaplimitratio": "swap_limit_ratio",
    "onstop": "on_stop",
    "onmissingtracker": "on_missing_tracker",
    "mode": "mode",
    "memagent": "memagent",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    table: ClassTable = field(default_factory=ClassTable)
    problems: tuple[Problem, ...] = ()
    files: Mapping[str, ParsedFile] = field(default_factory=dict)  # what is in force, by path: hand it to the next load
    failed: frozenset[str] = frozenset()  # paths whose present text is not in force


def load(
    texts: Sequence[ClassText],
    schemas: Mapping[str, Mapping[str, Any]],
    remembered: Mapping[str, ParsedFile] | None = None,
    page_size: int = USUAL_PAGE,
) -> Loaded:
    """Merge files in the order given. `schemas` needs "classes"; `remembered` is `files` of an earlier load."""
    known = remembered or {}
    files: dict[str, ParsedFile] = {}
    failed: set[str] = set()
    problems: list[Problem] = []
    for text in texts:
        found = _parsed(text, schemas["classes"], known.get(text.path), page_size)
        if isinstance(found, ParsedFile):
            problems.extend(found.problems)
        else:
            problems.extend((*found, *_kept(text.path, known)))
            failed.add(text.path)
            if text.path not in known:
                continue
            found = known[text.path]
        files[text.path] = found
    table = _merge(files.values())
    problems.extend(_unknown_classes(table, failed))
    problems.extend(_homeless(table))
    problems.extend(problem for memory_class in table.classes.values() for problem in _contradictions(memory_class))
    return Loaded(table=table, problems=tuple(problems), files=files, failed=frozenset(failed))


def _parsed(
    text: ClassText, schema: Mapping[str, Any], known: ParsedFile | None, page_size: int
) -> ParsedFile | tuple[Problem, ...]:
    # Reading again every half minute what has not changed would be most of an idle daemon's work.
    unchanged = known is not None and text.problem is None and (known.text, known.page_size) == (text.text, page_size)
    return known if known is not None and unchanged else declarations.parse(text, schema, page_size)


def _kept(path: str, known: Mapping[str, ParsedFile]) -> Iterator[Problem]:
    if path in known:
        said = "the last good version of this file stays in force until it is right"
        yield Problem(where=path, message=said, severity=Severity.NOTE)


# -- merging ---------------------------------------------------------------------------------------------------------


def _merge(files: Iterable[ParsedFile]) -> ClassTable:
    found: dict[str, dict[str, Given]] = {}
    workloads: dict[str, StaticWorkload] = {}
    settings: dict[str, Given] = {}
    agent: dict[str, Given] = {}
    paths: list[str] = []
    routines: list[RoutineConfig] = []
    for file in files:
        for name, keys in file.classes.items():
            found.setdefault(name, {}).update(keys)
        workloads.update(file.workloads)
        routines.extend(given.value for given in file.routines)
        settings.update(file.settings)
        agent.update(file.agent)
        paths.append(file.path)
    values = {key: given.value for key, given in settings.items()}
    return ClassTable(
        classes={name: _class(name, found[name]) for name in sorted(found)},
        workloads=tuple(workloads[name] for name in sorted(workloads)),
        routines=tuple(routines),
        nri=NriSettings(**_present(values, _NRI)),
        engine=EngineSettings(
            **_present(values, {"engine.cpupercent": "cpu_percent"}), brakes=BrakeLimits(**_present(values, _BRAKES))
        ),
        metrics=MetricsSettings(**_present(values, _METRICS)),
        **agentreading.sections(agent),
        kubelet=section.config(values),
        mode=values.get("mode", Mode.ACT),
        files=tuple(paths),
    )


_NRI = {
    "nri.onerror": "on_error",
    "nri.adjust": "adjust",
    "nri.allowannotations": "allow_annotations",
    "unifiedannotations": "unified_annotations",
}
_METRICS = {
    "metrics.workloads": "workloads",
    "metrics.mostworkloads": "most_workloads",
    "metrics.textfile": "textfile",
}
_BRAKES = {
    "engine.brakes.pressurepercent": "pressure_percent",
    "engine.brakes.refaultpercent": "refault_percent",
    "engine.brakes.swapusedpercent": "swap_used_percent",
}


def _present(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {attribute: values[key] for key, attribute in names.items() if key in values}


def _class(name: str, keys: Mapping[str, Given]) -> MemoryClass:
    values = {key: given.value for key, given in keys.items()}
    reclaim = values.get("reclaim")
    return MemoryClass(
        name=name,
        settings=tuple(values[knob] for knob in Knob if knob in values),
        origins={key: given.origin for key, given in keys.items()},
        reclaim=None if reclaim == "never" else reclaim,
        reclaim_never=reclaim == "never",
        **_present(values, _FIELDS),
    )


# -- what only the whole shows ---------------------------------------------------------------------------------------


def _problem(origin: Origin, message: str, hint: str, severity: Severity) -> Problem:
    return Problem(where=origin.file, line=origin.line, message=message, hint=hint, severity=severity)


def _unknown_classes(table: ClassTable, failed: set[str]) -> Iterator[Problem]:
    for workload in table.workloads:
        if workload.class_name not in table.classes:
            said = f'workload "{workload.name}" wants the class "{workload.class_name}", which no file defines'
            hint = did_you_mean(workload.class_name, list(table.classes)) or "define it below `classes:`"
            if failed:
                hint += f"; or is it in a file with errors: {', '.join(sorted(failed))}?"
            yield _problem(workload.origin, said, hint, Severity.ERROR)


def _homeless(table: ClassTable) -> Iterator[Problem]:
    """Workloads without a cgroup, whose class does not find processes either."""
    for workload in table.workloads:
        found = table.classes.get(workload.class_name)
        if found is None or workload.cgroup or (found.engine is not None and found.engine.finds_processes()):
            continue
        said = f'workload "{workload.name}" names no cgroup, and class "{found.name}" finds no processes by itself'
        hint = "write cgroup: /PATH, or take a class whose pidwatcher is proc, or names cgroups or pids"
        yield _problem(workload.origin, said, hint, Severity.ERROR)


def _contradictions(memory_class: MemoryClass) -> Iterator[Problem]:
    """Settings that are fine one by one, and make no sense together."""
    settings = {setting.knob: setting for setting in memory_class.settings}
    origins = memory_class.origins
    if Knob.SWAP_MAX in settings and memory_class.allow_swap is not None:
        said = f'class "{memory_class.name}": memory.swap.max wins over allowswap'
        yield _problem(origins[Knob.SWAP_MAX], said, "keep one of the two", Severity.NOTE)
    if _takes_anonymous_memory(memory_class) and _swapless(memory_class, settings):
        said = f'class "{memory_class.name}" pages idle memory out, but allows no swap: nothing will leave'
        hint = "write allowswap: true, or remove swapoutms to measure only"
        yield _problem(origins["memtierdconfig"], said, hint, Severity.WARNING)
    for lower, upper in ((Knob.MEMORY_LOW, Knob.MEMORY_HIGH), (Knob.MEMORY_HIGH, Knob.MEMORY_MAX)):
        if _above(settings.get(lower), settings.get(upper)):
            said = f'class "{memory_class.name}": {lower} is above {upper}, so it has no effect'
            yield _problem(origins[lower], said, f"make {lower} smaller than {upper}", Severity.WARNING)


def _takes_anonymous_memory(memory_class: MemoryClass) -> bool:
    engine = memory_class.engine
    return engine is not None and engine.pages_out() and "anon" in engine.policy.page_types


def _swapless(memory_class: MemoryClass, settings: Mapping[Knob, Setting]) -> bool:
    if Knob.SWAP_MAX in settings:
        return settings[Knob.SWAP_MAX].value == "0"
    return memory_class.allow_swap is False


def _above(lower: Setting | None, upper: Setting | None) -> bool:
    if lower is None or upper is None:
        return False
    if lower.percent is not None and upper.percent is not None:
        return lower.percent > upper.percent
    return lower.value.isdigit() and upper.value.isdigit() and int(lower.value) > int(upper.value)
