"""Which trackers can serve which policies, and which tracker a class really gets on this kernel."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler.engineconfig import EngineConfig, TrackerConfig
from reconciler.model import Features, OnMissingTracker, Problem, Severity

# Tracker -> features (sysfs/probe.py) that it cannot do without. multi needs what its trackers need, stub nothing.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "idlepage": ("idle-page", "pagemap-pfn"),
    "damon": ("damon", "pagemap"),
    "softdirty": ("soft-dirty", "pagemap"),
    "referenced": ("referenced", "pagemap"),
    "mglru": ("mglru", "cgroup2"),
    "finder": ("pagemap",),
}
AUTO = "auto"
# Best first. softdirty sees writes only: what is read all day looks idle, so `auto` never lets it move anything.
_ORDER_MOVING = ("idlepage", "damon", "referenced")
_ORDER_MEASURING = (*_ORDER_MOVING, "softdirty", "mglru")
_ORDER_OF: Mapping[str, tuple[str, ...]] = {"damos": ("damon",), "demote-idle": ("idlepage",), "avoid-oom": ("stub",)}
_ALL = (AUTO, *NEEDS, "multi", "stub")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    tracker: str  # "" = none, the class is refused
    problems: tuple[Problem, ...] = ()


# -- policy x tracker ------------------------------------------------------------------------------------------------

_NOWHERE = "tracker mglru knows how much memory was used when, but not where: it can only measure, with policy age"
_NOTHING = "tracker stub tracks nothing, and this policy goes by what was accessed"
_AGELESS = "tracker finder looks at no accesses: going by age, all memory would be idle, or none"
_MARKS = "policy demote-idle goes by the idle marks of pages, which tracker idlepage alone sets and reads"
_KERNEL = "policy damos is carried out by DAMON itself, so its tracker is damon"
# What cannot be, and why: everything else works. "age" is the age policy that moves something.
_UNFIT: Mapping[str, Mapping[str, str]] = {
    "age": {"mglru": _NOWHERE, "stub": _NOTHING, "finder": _AGELESS},
    "age, measuring": {"stub": _NOTHING},
    "heat": {"mglru": _NOWHERE, "stub": _NOTHING},
    "ratio": {"mglru": _NOWHERE, "stub": _NOTHING},
    "demote-idle": dict.fromkeys({*NEEDS, "multi", "stub"} - {"idlepage"}, _MARKS),
    "avoid-oom": {},
    "damos": dict.fromkeys({*NEEDS, "multi", "stub"} - {"damon"}, _KERNEL),
    "stub": {},
}
_NOT_IN_MULTI = {
    AUTO: "tracker multi combines trackers that are named: auto is none",
    "mglru": "tracker multi combines what is known by address, which mglru does not know",
}


def unfit(config: EngineConfig) -> str:
    """Why this tracker can never serve this policy, on any kernel; "" if it can."""
    return _unfit(config, config.tracker)


def _unfit(config: EngineConfig, tracker: TrackerConfig) -> str:
    reasons = _UNFIT[_kind(config)]
    if tracker.name != "multi" or "multi" in reasons:
        return reasons.get(tracker.name, "")
    found = (_NOT_IN_MULTI.get(each.name) or _unfit(config, each) for each in tracker.trackers)
    return next(filter(None, found), "")


def _kind(config: EngineConfig) -> str:
    measuring = config.policy_name == "age" and not config.moves()
    return "age, measuring" if measuring else config.policy_name


def fitting(config: EngineConfig) -> tuple[str, ...]:
    """Names of trackers that can serve this policy."""
    return tuple(name for name in _ALL if name not in _UNFIT[_kind(config)])


# -- what works here -------------------------------------------------------------------------------------------------


def available(features: Features) -> tuple[str, ...]:
    """Trackers that work here, in the order of `NEEDS`."""
    return tuple(name for name in NEEDS if not missing(name, features))


def missing(tracker: str, features: Features) -> tuple[str, ...]:
    """Names of the features that the tracker lacks here."""
    return tuple(name for name in NEEDS.get(tracker, ()) if not features.works(name))


def best(features: Features, *, moves: bool) -> str:
    """What `auto` takes for the age policy, "" for nothing."""
    return _first(_ORDER_MOVING if moves else _ORDER_MEASURING, features)


def _first(order: tuple[str, ...], features: Features) -> str:
    return next((name for name in order if not missing(name, features)), "")


def choose(config: EngineConfig, on_missing: OnMissingTracker, features: Features, *, where: str = "") -> Choice:
    """The tracker to use, with a Problem for everything that is not as asked."""
    features = _consented(config.tracker, features)
    name, lacking = config.tracker.name, _lacking(config, features)
    refused = _never(config)
    if refused or (lacking and on_missing is OnMissingTracker.REFUSE):
        why = refused or (
            f"tracker {name} does not work here ({_details(lacking, features)})",
            _hint(lacking, features),
        )
        return Choice(tracker="", problems=(_problem(where, *why),))
    if name == AUTO:
        return _best(config, features, where)
    if not lacking:
        return Choice(tracker=name, problems=_notes(config, where))
    found = _best(config, features, where)
    if not found.tracker:
        return found
    message = f"tracker {name} does not work here ({_details(lacking, features)}); {found.tracker} is used instead"
    said = _problem(where, message, _hint(lacking, features), Severity.WARNING)
    return Choice(tracker=found.tracker, problems=(said, *found.problems))


def _never(config: EngineConfig) -> tuple[str, str] | None:
    """What is wrong on every kernel, and what to do about it."""
    if config.tracker.name not in _ALL:
        return f"tracker {config.tracker.name!r} is unknown", f"one of {', '.join(_ALL)}"
    reason = unfit(config)
    return (reason, f"with this policy: {', '.join(fitting(config))}") if reason else None


def _lacking(config: EngineConfig, features: Features) -> tuple[str, ...]:
    marks = {"idlepage"} if config.policy_name == "demote-idle" else set()  # whatever its tracker is
    names = _named(config.tracker) | marks
    return tuple(sorted({feature for name in names for feature in missing(name, features)}))


def _consented(tracker: TrackerConfig, features: Features) -> Features:
    """DAMON that somebody else has may be used if the class says so: his kdamonds by name, DAMON_STAT by pausing it."""
    attributes = [each.damon for each in _parts(tracker)]
    named, stat = any(each.kdamonds for each in attributes), features.works("damon-stat")
    paused = any(each.pause_damon_stat for each in attributes)
    allowed = paused if stat else named  # while DAMON_STAT runs, nobody's kdamonds can be used
    if not allowed or not features.works("damon-sysfs"):
        return features
    return replace(features, features={**features.features, "damon": features.features["damon-sysfs"]})


def _named(tracker: TrackerConfig) -> set[str]:
    return {each.name for each in _parts(tracker)}


def _parts(tracker: TrackerConfig) -> Iterator[TrackerConfig]:
    """Itself, or the trackers that it is made of."""
    if tracker.name != "multi":
        yield tracker
    for each in tracker.trackers:
        yield from _parts(each)


def _best(config: EngineConfig, features: Features, where: str) -> Choice:
    order = _order(config)
    name = _first(order, features)
    if name:
        return Choice(tracker=name)
    lacking = "; ".join(f"{tracker}: {_details(missing(tracker, features), features)}" for tracker in order)
    dirty = replace(config, tracker=TrackerConfig(name="softdirty"))
    obeyed = config.moves() and not unfit(dirty) and not missing("softdirty", features)
    hint = "name softdirty to move memory that is only read, too" if obeyed else _DOCTOR
    return Choice(tracker="", problems=(_problem(where, f"no tracker works here ({lacking})", hint),))


def _order(config: EngineConfig) -> tuple[str, ...]:
    usual = _ORDER_MOVING if config.moves() else _ORDER_MEASURING
    reasons = _UNFIT[_kind(config)]
    return tuple(name for name in _ORDER_OF.get(config.policy_name, usual) if name not in reasons)


_DOCTOR = "`ebbtide doctor` says how to enable trackers"


def _details(lacking: tuple[str, ...], features: Features) -> str:
    details = ((name, features.features.get(name)) for name in lacking)
    return ", ".join(f"{name}: {found.detail}" if found else f"{name}: unknown" for name, found in details)


def _hint(lacking: tuple[str, ...], features: Features) -> str:
    hints = (features.features[name].hint for name in lacking if name in features.features)
    return next((hint for hint in hints if hint), _DOCTOR)


def _notes(config: EngineConfig, where: str) -> tuple[Problem, ...]:
    if not config.moves() or _named(config.tracker) != {"softdirty"} or config.policy_name == "avoid-oom":
        return ()
    message = "softdirty sees only writes: memory that is only read counts as idle and is moved"
    return (_problem(where, message, "use tracker auto to keep memory that is read", Severity.NOTE),)


def _problem(where: str, message: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(
        where=where, pointer="/memtierdconfig/policy/config/tracker", message=message, hint=hint, severity=severity
    )
