"""What all class files come to, written as one class file again, with the place that gave each value behind it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from reconciler import agentreading
from reconciler.classes import Loaded
from reconciler.memtierd import native
from reconciler.memtierd.config import USUAL_PAGE
from reconciler.model import Given, Knob, MemoryClass, Origin, Setting, StaticWorkload

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_WORDS = {
    "allowswap": "allow_swap",
    "swaplimitratio": "swap_limit_ratio",
    "onstop": "on_stop",
    "onmissingtracker": "on_missing_tracker",
    "mode": "mode",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    text: str
    origin: Origin | None = None


def lines(loaded: Loaded, page_size: int = USUAL_PAGE) -> tuple[Line, ...]:
    """The merged table as YAML, line by line; joined, it loads to the same table."""
    table = loaded.table
    result: list[Line] = []
    if table.classes:
        result.append(Line(text="classes:"))
    for memory_class in table.classes.values():
        result.extend(_class(memory_class, page_size))
    if table.workloads:
        result.append(Line(text="workloads:"))
    for workload in table.workloads:
        result.extend(_workload(workload))
    given = [each for file in loaded.files.values() for each in file.routines]
    result.extend(_routines(given))
    settings = {key: given for file in loaded.files.values() for key, given in file.settings.items()}
    agent = {key: given for file in loaded.files.values() for key, given in file.agent.items()}
    return (*result, *_settings(settings), *_agent(agent))


def document(loaded: Loaded) -> Any:
    """The same as plain values, for programs."""
    return yaml.safe_load("\n".join(line.text for line in lines(loaded))) or {}


def _class(memory_class: MemoryClass, page_size: int) -> Iterator[Line]:
    origins = memory_class.origins
    yield Line(text=f"- name: {_scalar(memory_class.name)}", origin=origins.get("name"))
    for key, attribute in _WORDS.items():
        if key in origins:
            yield Line(text=f"  {key}: {_scalar(getattr(memory_class, attribute))}", origin=origins[key])
    if memory_class.settings:
        yield Line(text="  memory:")
    for setting in memory_class.settings:
        key = setting.knob.removeprefix("memory.")
        yield Line(text=f"    {key}: {_setting(setting)}", origin=setting.origin)
    if memory_class.engine is not None:
        yield Line(text="  memtierdconfig:", origin=origins.get("memtierdconfig"))
        yield from (Line(text=f"    {line}") for line in _dumped(native.mapping(memory_class.engine, page_size)))
    if "reclaim" in origins:
        yield from _below("reclaim", agentreading.reclaim_mapping(memory_class), origins["reclaim"])
    if "memagent" in origins:
        yield from _below("memagent", agentreading.memagent_mapping(memory_class.memagent), origins["memagent"])


def _below(key: str, value: dict[str, Any] | str, origin: Origin | None) -> Iterator[Line]:
    if isinstance(value, str) or not value:
        yield Line(text=f"  {key}: {value or '{}'}", origin=origin)
        return
    yield Line(text=f"  {key}:", origin=origin)
    yield from (Line(text=f"    {line}") for line in _dumped(value))


def _agent(given: dict[str, Given]) -> Iterator[Line]:
    """The agent's sections: there is one where its name is, with or without keys."""
    for section in agentreading.SECTIONS:
        below = {key: one for key, one in given.items() if key.startswith(f"{section}.")}
        if section in given:
            yield Line(text=f"{section}:" if below else f"{section}: {{}}", origin=given[section].origin)
        for key, one in sorted(below.items()):
            name = key.partition(".")[2]
            if name == "cgroups":
                yield from _cgroups(one)
            else:
                yield Line(text=f"  {name}: {_scalar(one.value)}", origin=one.origin)


def _cgroups(given: Given) -> Iterator[Line]:
    yield Line(text="  cgroups:" if given.value else "  cgroups: []", origin=given.origin)
    for entry in given.value:
        yield Line(text=f"  - path: {_scalar(entry.path)}")
        if entry.numa_id:
            yield Line(text=f"    numa_id: {_scalar(list(entry.numa_id))}")
        if entry.no_subdir:
            yield Line(text="    no_subdir: true")
        for key, one in entry.values.items():
            yield Line(text=f"    {key}: {_scalar(one.value)}", origin=one.origin)


def _setting(setting: Setting) -> str:
    if setting.percent is not None:
        return f"{setting.percent:.12g}%"
    switch = setting.knob in {Knob.OOM_GROUP, Knob.ZSWAP_WRITEBACK}
    return {"0": "false", "1": "true"}[setting.value] if switch else setting.value


def _workload(workload: StaticWorkload) -> Iterator[Line]:
    yield Line(text=f"- name: {_scalar(workload.name)}", origin=workload.origin)
    if workload.cgroup:
        yield Line(text=f"  cgroup: {_scalar(workload.cgroup)}")
    yield Line(text=f"  class: {_scalar(workload.class_name)}")


def _routines(given: list[Given]) -> Iterator[Line]:
    if given:
        yield Line(text="routines:")
    for each in given:
        first, *rest = _dumped([native.routine(each.value)])
        yield Line(text=first, origin=each.origin)
        yield from (Line(text=line) for line in rest)


def _dumped(value: object) -> list[str]:
    text: str = yaml.dump(value, Dumper=_DUMPER, sort_keys=False, width=10**6, allow_unicode=True)
    return text.splitlines()


def _settings(settings: dict[str, Given]) -> Iterator[Line]:
    """`engine.brakes.refaultpercent` and its like, as the nested mappings that they came from."""
    above: list[str] = []
    for name in sorted(settings, key=lambda name: name.split(".")):
        *parents, key = name.split(".")
        shared = next((at for at, pair in enumerate(zip(above, parents, strict=False)) if pair[0] != pair[1]), None)
        shared = min(len(above), len(parents)) if shared is None else shared
        yield from (Line(text=f"{'  ' * at}{parents[at]}:") for at in range(shared, len(parents)))
        above = parents
        value = settings[name].value
        text = _scalar(list(value) if isinstance(value, tuple) else value)
        yield Line(text=f"{'  ' * len(parents)}{key}: {text}", origin=settings[name].origin)


def _scalar(value: object) -> str:
    plain = str(value) if isinstance(value, str) else value  # an enumeration's member is its word
    dumped: str = yaml.dump(plain, Dumper=_DUMPER, default_flow_style=True, width=10**6, allow_unicode=True)
    return dumped.removesuffix("\n").removesuffix("...").rstrip("\n")
