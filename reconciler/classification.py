"""Which class a workload belongs to, and what its pod's annotations ask for beside that.

Two vocabularies say the same, and both work: the memtierd plugin's `class.memtierd.nri.io` and memory-qos's
`class.memory-qos.nri.io`, each for the pod or, with `/CONTAINER` behind it, for one container, which wins. The class ""
is no class at all. `FILE.memtierd.nri.io` and `FILE.memory-qos.nri.io` set one cgroup file, win over the class, and
count only where an administrator allows that file to pods; like in the original plugins they do not need a class.
"""

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from reconciler import knobs
from reconciler.model import (
    ClassTable,
    Knob,
    MemoryClass,
    Mode,
    OnStop,
    Origin,
    Problem,
    Setting,
    Severity,
    Workload,
)

MEMTIERD = "memtierd.nri.io"
MEMORY_QOS = "memory-qos.nri.io"
_SUFFIXES = (MEMTIERD, MEMORY_QOS)  # the first wins where both say something
_KNOWN = frozenset({"class", *Knob})
_MOST_UNKNOWN = 20  # words that are worth a warning; who writes pods must not fill our disk and time
_LONGEST_KEY, _LONGEST_VALUE = 320, 1000  # Kubernetes allows keys of 317; no sensible value is that long


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    memory_class: MemoryClass | None = None  # None = unmanaged, or the class is not known (then there is a problem)
    settings: tuple[Setting, ...] = ()  # of annotations; they win over the class
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Word:
    """One annotation in our vocabularies, as it concerns one container."""

    key: str
    name: str  # what stands before the suffix: "class", or a file
    suffix: str
    value: str

    @property
    def origin(self) -> Origin:
        return Origin(file=f"annotation {self.key}")


def classify(workload: Workload, table: ClassTable) -> Classified:
    """The class and the settings of one workload; whatever is wrong is a Problem, never an exception.

    An error makes it unmanaged: half of what was asked for is not what was asked for.
    """
    words = _words(workload)
    classes, class_problems = _classes(workload, words, table)
    settings, setting_problems = _settings(workload, words, table)
    problems = (*class_problems, *setting_problems)
    if any(problem.severity is Severity.ERROR for problem in problems):
        return Classified(problems=problems)
    return Classified(memory_class=_combined(classes), settings=settings, problems=problems)


def vocabulary(annotations: Mapping[str, str], container: str) -> dict[str, str]:
    """What is worth keeping: annotations in our words for this container, and of unknown words enough to warn of."""
    ours = {key: value for key, value in annotations.items() if len(key) <= _LONGEST_KEY and _suffix(key, container)}
    unknown = sorted(key for key in ours if _name(key, _suffix(key, container)) not in _KNOWN)
    for key in unknown[_MOST_UNKNOWN + 1 :]:
        del ours[key]
    return {key: shortened(value) for key, value in ours.items()}


def shortened(value: str) -> str:
    return value if len(value) <= _LONGEST_VALUE else f"{value[:_LONGEST_VALUE]}..."


def _suffix(key: str, container: str) -> str:
    """Whose vocabulary it is, "" if nobody's or about another container."""
    label, slash, name = key.partition("/")
    if slash and name != container:
        return ""
    return next((suffix for suffix in _SUFFIXES if label.endswith(f".{suffix}")), "")


def _name(key: str, suffix: str) -> str:
    return key.partition("/")[0].removesuffix(f".{suffix}")


def _words(workload: Workload) -> dict[tuple[str, str], _Word]:
    """By (name, suffix): what the pod says of this container, the container's own annotation over the pod's."""
    found: dict[tuple[str, str], _Word] = {}
    for key, value in sorted(workload.annotations.items(), key=lambda item: "/" in item[0]):
        suffix = _suffix(key, workload.container)
        if suffix:
            name = _name(key, suffix)
            found[name, suffix] = _Word(key=key, name=name, suffix=suffix, value=value)
    return found


# -- classes ---------------------------------------------------------------------------------------------------------


def _classes(
    workload: Workload, words: Mapping[tuple[str, str], _Word], table: ClassTable
) -> tuple[list[MemoryClass], list[Problem]]:
    classes, problems = [], []
    for name, pointer in _wanted_classes(workload, words):
        if name in table.classes:
            classes.append(table.classes[name])
        elif name:
            problems.append(_unknown_class(workload, name, pointer, table.classes))
    return classes, problems


def _wanted_classes(workload: Workload, words: Mapping[tuple[str, str], _Word]) -> Iterator[tuple[str, str]]:
    if workload.class_name is not None:  # written by an administrator: annotations do not come into it
        yield workload.class_name, "/class"
        return
    for suffix in _SUFFIXES:
        word = words.get(("class", suffix))
        if word is not None:
            yield word.value, word.key


def _combined(classes: Iterable[MemoryClass]) -> MemoryClass | None:
    """A pod may have a class of either vocabulary: what the second one says fills the gaps of the first.

    The more careful of two modes holds, and what one of them wants restored at the end is restored.
    """
    result: MemoryClass | None = None
    for one in classes:
        result = one if result is None else _filled(result, one)
    return result


def _filled(first: MemoryClass, second: MemoryClass) -> MemoryClass:
    if first.name == second.name:
        return first
    taken = {setting.knob for setting in first.settings}
    ratio = second.swap_limit_ratio if first.swap_limit_ratio is None else first.swap_limit_ratio
    return dataclasses.replace(
        first,
        allow_swap=second.allow_swap if first.allow_swap is None else first.allow_swap,
        engine=first.engine or second.engine,
        settings=(*first.settings, *(setting for setting in second.settings if setting.knob not in taken)),
        swap_limit_ratio=ratio,
        mode=Mode.OBSERVE if Mode.OBSERVE in (first.mode, second.mode) else Mode.ACT,
        on_stop=OnStop.RESTORE if OnStop.RESTORE in (first.on_stop, second.on_stop) else OnStop.KEEP,
        on_missing_tracker=first.on_missing_tracker if first.engine else second.on_missing_tracker,
        origins={**second.origins, **first.origins},
    )


def _unknown_class(workload: Workload, name: str, pointer: str, classes: Iterable[str]) -> Problem:
    return Problem(
        where=f"workload {workload.name}",
        pointer=pointer,
        message=f"there is no class {name!r}; the container is not managed",
        hint=_suggestion(name, classes, "no class is defined; see `ebbtide cat-config`"),
    )


# -- settings --------------------------------------------------------------------------------------------------------


def _settings(
    workload: Workload, words: Mapping[tuple[str, str], _Word], table: ClassTable
) -> tuple[tuple[Setting, ...], list[Problem]]:
    allowed = {*table.nri.allow_annotations, *table.nri.unified_annotations}
    found: dict[Knob, Setting] = {}
    problems = _unknown_words([word for word in words.values() if word.name not in _KNOWN], workload)
    for word in _in_order(words.values()):
        problem = _not_allowed(word, allowed, workload)
        if problem is None and word.value:  # "" takes a pod's value back for one container
            problem = _add(found, word, workload)
        problems += [problem] if problem else []
    return tuple(found[knob] for knob in sorted(found)), problems


def _in_order(words: Iterable[_Word]) -> list[_Word]:
    """Later ones win: memory-qos before memtierd, for the pod before for the container."""
    files = [word for word in words if word.name in set(Knob)]
    return sorted(files, key=lambda word: ("/" in word.key, -_SUFFIXES.index(word.suffix), word.key))


def _add(found: dict[Knob, Setting], word: _Word, workload: Workload) -> Problem | None:
    try:
        found[Knob(word.name)] = knobs.parse(Knob(word.name), word.value, word.origin)
    except ValueError as error:
        return Problem(
            where=f"workload {workload.name}",
            pointer=word.key,
            message=f"{error}; the container is not managed",
            hint="correct the pod's annotation and create the pod again",
        )
    return None


def _unknown_words(words: Iterable[_Word], workload: Workload) -> list[Problem]:
    unknown = sorted(words, key=lambda word: word.key)
    problems = [
        _ignored(word, workload, f"{word.name!r} is not known", _suggestion(word.name, _KNOWN, ""))
        for word in unknown[:_MOST_UNKNOWN]
    ]
    for word in unknown[_MOST_UNKNOWN : _MOST_UNKNOWN + 1]:
        why = f"{word.name!r} is not known, nor are others behind it"
        problems.append(_ignored(word, workload, why, "too many to name them all"))
    return problems


def _not_allowed(word: _Word, allowed: Iterable[str], workload: Workload) -> Problem | None:
    if word.name not in allowed:
        hint = f"an administrator may allow it: nri: {{allowannotations: [{word.name}]}} in a class file"
        return _ignored(word, workload, f"pods are not allowed to set {word.name}", hint)
    return None


def _ignored(word: _Word, workload: Workload, why: str, hint: str) -> Problem:
    return Problem(
        where=f"workload {workload.name}",
        pointer=word.key,
        message=f"{why}; the annotation is ignored",
        hint=hint,
        severity=Severity.WARNING,
    )


def _suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known are: {', '.join(choices)}" if choices else otherwise
