"""Parts of a configuration as the prompt gets them, one at a time: a policy, a tracker, a watcher, a mover, a routine.

Each is read as it is in a file, so the prompt accepts what files accept and complains about the same things.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from reconciler.engineconfig import EngineConfig, MoverConfig, RoutineConfig, TrackerConfig, WatcherConfig
from reconciler.memtierd import config, words
from reconciler.memtierd.commands.command import Wrong
from reconciler.memtierd.config import Found
from reconciler.memtierd.words import Kind
from reconciler.model import Problem, Severity

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A configuration text, and the file that it is from ("" = the prompt)."""

    text: str
    page_size: int
    file: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Generic[T]):
    config: T
    notes: tuple[str, ...] = ()  # what was found that is no error


def policy(name: str, source: Source) -> Draft[EngineConfig]:
    return _named(words.POLICIES, EngineConfig, name, source)


def tracker(name: str, source: Source) -> Draft[TrackerConfig]:
    return _named(words.TRACKERS, TrackerConfig, name, source)


def watcher(name: str, source: Source) -> Draft[WatcherConfig]:
    return _named(words.PIDWATCHERS, WatcherConfig, name, source)


def routine(name: str, source: Source) -> Draft[RoutineConfig]:
    return _named(words.ROUTINES, RoutineConfig, name, source)


def mover(source: Source) -> Draft[MoverConfig]:
    return _checked(config.read_mover(source.text), MoverConfig, source)


def show(value: Mapping[str, Any]) -> str:
    """A part as `native` has it, for -config-dump."""
    return json.dumps(value)


def _named(kind: Kind, wanted: type[T], name: str, source: Source) -> Draft[T]:
    return _checked(config.read_named(kind, name, source.text, source.page_size), wanted, source)


def _checked(found: Found[Any], wanted: type[T], source: Source) -> Draft[T]:
    errors = [each for each in found.problems if each.severity is Severity.ERROR]
    if errors:
        raise Wrong("\n".join(_line(each, source) for each in errors))
    if not isinstance(found.value, wanted):
        raise Wrong("there is nothing in this configuration that does anything")
    notes = [_line(each, source) for each in found.problems if each.severity is Severity.WARNING]
    return Draft(config=found.value, notes=tuple(notes))


def _line(problem: Problem, source: Source) -> str:
    file = f"{source.file}: " if source.file else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{file}{problem.place()}: {problem.severity}: {problem.message}{hint}"
