"""Which tracker a class really gets on this kernel."""

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.engineconfig import TrackerConfig
from reconciler.model import Features, OnMissingTracker, Problem, Severity

# Tracker -> features (sysfs/probe.py) that it cannot do without.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "idlepage": ("idle-page", "pagemap-pfn"),
    "softdirty": ("soft-dirty", "pagemap"),
    "referenced": ("referenced", "pagemap"),
}
AUTO = "auto"
# Best first. softdirty sees writes only: what is read all day looks idle, so `auto` never lets it move anything.
_ORDER_MOVING = ("idlepage", "referenced")
_ORDER_MEASURING = (*_ORDER_MOVING, "softdirty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    tracker: str  # "" = none, the class is refused
    problems: tuple[Problem, ...] = ()


def available(features: Features) -> tuple[str, ...]:
    """Trackers that work here, in the order of `NEEDS`."""
    return tuple(name for name in NEEDS if not missing(name, features))


def missing(tracker: str, features: Features) -> tuple[str, ...]:
    """Names of the features that the tracker lacks here."""
    return tuple(name for name in NEEDS[tracker] if not features.works(name))


def best(features: Features, *, moves: bool) -> str:
    """What `auto` takes, "" for nothing."""
    order = _ORDER_MOVING if moves else _ORDER_MEASURING
    return next((name for name in order if not missing(name, features)), "")


def choose(
    config: TrackerConfig, on_missing: OnMissingTracker, features: Features, *, moves: bool, where: str = ""
) -> Choice:
    """The tracker to use, with a Problem for everything that is not as asked."""
    if config.name == AUTO:
        return _best(features, where, moves=moves)
    if config.name not in NEEDS:
        known = ", ".join([AUTO, *NEEDS])
        return Choice(tracker="", problems=(_problem(where, f"tracker {config.name!r} is unknown", f"one of {known}"),))
    if not missing(config.name, features):
        return Choice(tracker=config.name, problems=_notes(config.name, where) if moves else ())
    if on_missing is OnMissingTracker.REFUSE:
        return Choice(tracker="", problems=(_missing(config.name, features, where, Severity.ERROR),))
    found = _best(features, where, moves=moves)
    if not found.tracker:
        return found
    said = _missing(config.name, features, where, Severity.WARNING, instead=found.tracker)
    return Choice(tracker=found.tracker, problems=(said, *found.problems))


def _best(features: Features, where: str, *, moves: bool) -> Choice:
    name = best(features, moves=moves)
    if name:
        return Choice(tracker=name)
    order = _ORDER_MOVING if moves else _ORDER_MEASURING
    lacking = "; ".join(f"{tracker}: {_lacks(tracker, features)}" for tracker in order)
    hint = (
        "name softdirty to move memory that is only read, too" if moves and not missing("softdirty", features) else ""
    )
    return Choice(tracker="", problems=(_problem(where, f"no tracker works here ({lacking})", hint or _DOCTOR),))


_DOCTOR = "`ebbtide doctor` says how to enable trackers"


def _lacks(tracker: str, features: Features) -> str:
    details = ((name, features.features.get(name)) for name in missing(tracker, features))
    return ", ".join(f"{name}: {found.detail}" if found else f"{name}: unknown" for name, found in details)


def _missing(tracker: str, features: Features, where: str, severity: Severity, *, instead: str = "") -> Problem:
    message = f"tracker {tracker} does not work here ({_lacks(tracker, features)})"
    if instead:
        message += f"; {instead} is used instead"
    hints = (features.features[name].hint for name in missing(tracker, features) if name in features.features)
    return _problem(where, message, next((hint for hint in hints if hint), _DOCTOR), severity)


def _notes(tracker: str, where: str) -> tuple[Problem, ...]:
    if tracker != "softdirty":
        return ()
    message = "softdirty sees only writes: memory that is only read counts as idle and is moved"
    return (_problem(where, message, "use tracker auto to keep memory that is read", Severity.NOTE),)


def _problem(where: str, message: str, hint: str, severity: Severity = Severity.ERROR) -> Problem:
    return Problem(
        where=where, pointer="/memtierdconfig/policy/config/tracker", message=message, hint=hint, severity=severity
    )
