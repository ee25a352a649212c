"""Parts of a configuration as the prompt gets them, one at a time: a policy, a tracker, a watcher, a mover, a routine.

Each is read as if it stood in a file, so the prompt accepts what files accept and complains about the same things.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reconciler.documents import Document, Offset
from reconciler.engineconfig import AgeConfig, EngineConfig, MoverConfig, RoutineConfig, TrackerConfig, WatcherConfig
from reconciler.memtierd import config, native
from reconciler.memtierd.commands.command import Wrong
from reconciler.model import Problem, Severity

_ANY_POLICY = {"name": "age", "config": {"intervalms": 5000}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A configuration text, and what to call it in messages."""

    text: str
    name: str  # of a file, or the flag
    page_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    config: EngineConfig
    notes: tuple[str, ...] = ()  # what was found that is no error


def policy(name: str, source: Source) -> Draft:
    return _read({"policy": {"name": name, "config": source.text}}, "/policy/config", source)


def tracker(name: str, source: Source) -> tuple[TrackerConfig, tuple[str, ...]]:
    draft = _read(_with("tracker", {"name": name, "config": source.text}), "/policy/config/tracker/config", source)
    return draft.config.tracker, draft.notes


def watcher(name: str, source: Source) -> tuple[WatcherConfig, tuple[str, ...]]:
    pointer = "/policy/config/pidwatcher/config"
    draft = _read(_with("pidwatcher", {"name": name, "config": source.text}), pointer, source)
    return draft.config.watcher, draft.notes


def mover(source: Source) -> tuple[MoverConfig, tuple[str, ...]]:
    draft = _read(_with("mover", source.text), "/policy/config/mover", source)
    return draft.config.mover, draft.notes


def routine(name: str, source: Source) -> tuple[RoutineConfig | None, tuple[str, ...]]:
    """None for a routine that does nothing."""
    value = {"policy": _ANY_POLICY, "routines": [{"name": name, "config": source.text}]}
    draft = _read(value, "/routines/0/config", source)
    return next(iter(draft.config.routines), None), draft.notes


def usual() -> EngineConfig:
    """For showing one part: the other parts are as they are if nothing is said."""
    return EngineConfig(policy=AgeConfig())


def show(value: Mapping[str, Any]) -> str:
    """A part of `native.mapping` as the dump that it answers with."""
    return json.dumps(value)


def whole(made: EngineConfig, page_size: int) -> Mapping[str, Any]:
    """A configuration as our own mapping."""
    return native.mapping(made, page_size)


def _with(key: str, value: Any) -> dict[str, Any]:
    """A file in which only this part matters."""
    return {"policy": {"name": "age", "config": {"intervalms": 5000, key: value}}}


def _read(value: dict[str, Any], pointer: str, source: Source) -> Draft:
    texts = {pointer: Offset(pointer=pointer)}
    found = config.read(Document(file=source.name, value=value, texts=texts), "", value, source.page_size)
    if found.config is None:
        raise Wrong("\n".join(_line(problem) for problem in found.problems if problem.severity is Severity.ERROR))
    notes = [_line(problem) for problem in found.problems if problem.severity is not Severity.NOTE]
    return Draft(config=found.config, notes=tuple(notes))


def _line(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{problem.place()}: {problem.severity}: {problem.message}{hint}"
