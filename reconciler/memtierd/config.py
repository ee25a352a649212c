"""memtierd's configuration, as text or as mappings, made into the engine's own.

Differences that are meant (docs/memtierd.md): missing keys take the documented defaults (memtierd takes zero, and then
panics or loops); a mapping may stand wherever memtierd wants a text; durations and sizes may have units; a missing
pidwatcher is the workload's own cgroup. `$CGROUP2_ABS_PATH` stays as it is here and is replaced in the parsed value
later, so a strange cgroup name can never become configuration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from reconciler import tracking
from reconciler.documents import Document, step
from reconciler.engineconfig import (
    AgeConfig,
    DemoteIdleConfig,
    EngineConfig,
    MoverConfig,
    RoutineConfig,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.memtierd import parts, policies, routines, trackers, watchers, words
from reconciler.memtierd.parts import USUAL_PAGE, Part, Reading
from reconciler.model import Problem, Severity

__all__ = ["USUAL_PAGE", "Found", "Read", "read", "read_mover", "read_named", "read_routines"]

_MOST_BANDWIDTH = 2**20  # MiB/s: one TiB a second
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What came of it: `config` is None if there was an error; warnings and notes come with a configuration."""

    config: EngineConfig | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found(Generic[T]):
    """The same for a part of a configuration."""

    value: T | None
    problems: tuple[Problem, ...] = ()


def read(
    document: Document, pointer: str, value: object, page_size: int = USUAL_PAGE, *, programs: bool = True
) -> Read:
    """The configuration at `pointer` of a document: of a class, or (pointer "") a memtierd configuration file.

    `programs`: whether its author may have programs started as root: true only of what nobody but root can write.
    """
    found = _read(_engine, document, pointer, value, Reading(page_size=page_size, programs=programs))
    return Read(config=found.value, problems=found.problems)


def read_routines(document: Document, value: object, *, programs: bool = True) -> Found[tuple[RoutineConfig, ...]]:
    """The list under "routines" at the top of a class file."""
    return _read(routines.read_all, document, "", {"routines": value}, Reading(programs=programs))


def read_named(
    kind: words.Kind, name: str, text: str, page_size: int = USUAL_PAGE
) -> Found[EngineConfig | TrackerConfig | WatcherConfig | RoutineConfig]:
    """One named part alone, as memtierd's prompt takes it: `tracker -create NAME -config TEXT`, an administrator's."""
    whole = Document(file=f"{kind.title} {name}", value={kind.title: {"name": name, "config": text}})

    return _read(lambda root: _one(root, kind), whole, "", whole.value, Reading(page_size=page_size))


def _one(root: Part, kind: words.Kind) -> EngineConfig | TrackerConfig | WatcherConfig | RoutineConfig | None:
    if kind is words.POLICIES:
        return _engine(root)
    found = root.named(kind.title, kind)
    if found is None:
        return None
    if kind is words.TRACKERS:
        return trackers.read(*found)
    return watchers.read(*found) if kind is words.PIDWATCHERS else routines.read(*found)


def read_mover(text: str) -> Found[MoverConfig]:
    """The prompt's `mover -config TEXT`."""
    whole = Document(file="mover", value={"mover": text})
    return _read(_mover, whole, "", whole.value, Reading())


def _read(
    reader: Callable[[Part], T | None], document: Document, pointer: str, value: object, reading: Reading
) -> Found[T]:
    root = parts.read(document, pointer, value, reading)
    found = None if root is None else reader(root)
    problems = tuple(dict.fromkeys(reading.problems))
    wrong = any(problem.severity is Severity.ERROR for problem in problems)
    return Found(value=None if wrong else found, problems=problems)


def _engine(root: Part) -> EngineConfig | None:
    root.check_keys(words.TOP_KEYS)
    listed = routines.read_all(root)
    if not root.has("policy"):
        if root.values.get("routines"):  # memtierd refuses these
            tracker = TrackerConfig(name="stub")
            return EngineConfig(policy=StubConfig(), tracker=tracker, watcher=watchers.OWN, routines=listed)
        root.say("", 'the key "policy" is missing', "write policy: {name: age, config: {interval: 10s}}")
        return None
    found = root.named("policy", words.POLICIES)
    if found is None:
        return None
    name, part = found
    part.check_keys(words.policy_keys(name))
    policy = policies.read(name, part)
    tracker = trackers.of_policy(name, part, policy)
    watcher = watchers.of_policy(name, part)
    config = EngineConfig(policy=policy, tracker=tracker, mover=_mover(part), watcher=watcher, routines=listed)
    _check_fit(part, config)
    _check_looks(part, config)
    return config


def _check_fit(part: Part, config: EngineConfig) -> None:
    reason = tracking.unfit(config)
    if reason:
        hint = f"with this policy: {', '.join(tracking.fitting(config))}"
        key = step(step(part.pointer, "tracker"), "name")
        found = part.document.problem(key, reason, hint)
        part.reading.problems.append(found)


def _check_looks(part: Part, config: EngineConfig) -> None:
    """Memory that is looked at too rarely would look idle, or too often; the policy means another time."""
    if isinstance(config.policy, DemoteIdleConfig):
        _check_marks(part, config)
    if not isinstance(config.policy, AgeConfig):
        return
    by_node = "idledurationms" if not part.gives("swapoutms") else "swapoutms"  # idlenumas: [-1]
    for key, after, what in (
        (by_node, config.policy.swapout_ms, "paged out"),
        ("idledurationms", config.policy.idle_ms, "moved"),
    ):
        if 0 < after < config.tracker.scan_interval_ms:
            said = f"memory is {what} after {after} ms without access, but looked at only every"
            said += f" {config.tracker.scan_interval_ms} ms: memory in use would look idle"
            hint = "make it at least the tracker's scanintervalms, better twice that"
            part.say(part.spelled(key), said, hint, Severity.WARNING)


def _check_marks(part: Part, config: EngineConfig) -> None:
    looks, interval = config.tracker.scan_interval_ms, config.policy.interval_ms
    if config.tracker.name in {"idlepage", "auto"} and looks != interval:
        said = f"marks are looked at every {looks} ms, so pages move that were idle for so long, not for {interval} ms"
        part.say("tracker", said, "leave the tracker's scanintervalms out: it is the policy's then", Severity.WARNING)


def _mover(policy: Part) -> MoverConfig:
    mover = policy.below("mover")
    if mover is None:
        return MoverConfig()
    mover.check_keys(words.with_native(words.MOVER_KEYS))
    return MoverConfig(interval_ms=mover.duration_ms("intervalms", 10, least=1), bandwidth_mib=_bandwidth(mover))


def _bandwidth(mover: Part) -> int:
    """Memtierd's plain number is MiB per second; ours may say `50MiB` or `50MiB/s`."""
    if isinstance(mover.values.get("bandwidth"), str):
        size = mover.size("bandwidth", 100 * 2**20, "50MiB", 2**20, ending="/s")
        return min(_MOST_BANDWIDTH, size // 2**20)
    bandwidth = mover.whole("bandwidth", 100, most=_MOST_BANDWIDTH)
    if bandwidth == 0:
        mover.say(
            "bandwidth", "with a bandwidth of 0 nothing is ever moved", "remove it for 100 MiB/s", Severity.WARNING
        )
    return bandwidth
