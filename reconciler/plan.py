"""Desired + Observed + Known -> Plan. Pure: no os, no time, no log; two equal inputs give two equal plans.

Invariants, held by properties in tests/loop: planning again after applying gives nothing; every write is preceded by
its SaveOriginal; nothing is written outside the inventory or to a knob that no class named; only our own values are
undone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from reconciler import agentwanted, knobs
from reconciler.actions import (
    Action,
    BaselineEntry,
    ForgetOriginal,
    Hold,
    Known,
    Plan,
    RestoreKnob,
    SaveOriginal,
    SetAgent,
    StartEngine,
    StopEngine,
    WriteKnob,
)
from reconciler.agentconfig import AgentTask
from reconciler.model import (
    Desired,
    DesiredWorkload,
    Knob,
    Mode,
    Observed,
    ObservedWorkload,
    OnStop,
    Workload,
    WorkloadState,
)

GONE = ObservedWorkload(inode=0)
UNSEEN = "the cgroup tree cannot be seen from here, so nothing is known to be gone, and nothing is changed"
STEP_BYTES = 256 << 20
PAGE_BYTES = 1 << 16  # the largest page that Linux has: a multiple of every other
Step = Action | Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that a decision may look at, indexed once for all workloads."""

    observed: Observed
    known: Known
    now: float
    owners: Mapping[str, str]  # cgroup -> the workload that manages it
    entries: Mapping[str, tuple[BaselineEntry, ...]]  # cgroup -> its baseline

    def seen(self, workload: str) -> ObservedWorkload:
        return self.observed.workloads.get(workload, GONE)


def plan(desired: Desired, observed: Observed, known: Known, now: float) -> Plan:
    """Everything to do now, and everything that we choose not to do. `now`: monotonic seconds."""
    view = View(observed=observed, known=known, now=now, owners=_owners(desired), entries=_by_cgroup(known))
    steps: list[Step] = []
    for wanted in desired.workloads.values():
        steps += _workload(wanted, view)
    steps += _strays(desired, view)
    steps += _agent(desired, view)
    return _ordered(steps)


def _workload(wanted: DesiredWorkload, view: View) -> Iterator[Step]:
    known, key = view.known, wanted.workload.id
    if known.paused and not known.stopping:
        yield Hold(workload=key, what="", reason="paused: `ebbtide resume` goes on")
    elif wanted.held:
        yield Hold(workload=key, what="", reason=wanted.held)
    elif known.stopping:
        yield from _stop(wanted, view)
    elif known.released & {key, "*"}:
        yield from _unmanage(wanted, view, "released by an administrator: `ebbtide resume` takes it back")
    elif _is_managed(wanted):
        yield from _manage(wanted, view)
    else:
        yield from _unmanage(wanted, view, "")


def _manage(wanted: DesiredWorkload, view: View) -> Iterator[Step]:
    workload = wanted.workload
    seen = view.seen(workload.id)
    if workload.state is WorkloadState.PENDING and not seen.inode:
        yield Hold(workload=workload.id, what="", reason="pending: the runtime has not made its cgroup yet")
    elif workload.cgroup and not view.observed.cgroups_visible:
        yield Hold(workload=workload.id, what="", reason=UNSEEN)
    elif workload.cgroup and not seen.inode:
        yield from _unmanage(wanted, view, "gone: its cgroup does not exist")
    else:
        if workload.cgroup:
            yield from _knobs(wanted, seen, view)
        yield from _engine(wanted, view)


def _knobs(wanted: DesiredWorkload, seen: ObservedWorkload, view: View) -> Iterator[Step]:
    for knob, value in sorted(wanted.knobs.items()):
        yield from _knob(wanted, seen, view, knob, value)
    for entry in _entries(wanted.workload, seen, view):
        if entry.knob not in wanted.knobs:
            yield from _undo(entry, seen, view, observing=wanted.mode is Mode.OBSERVE)


def _knob(wanted: DesiredWorkload, seen: ObservedWorkload, view: View, knob: Knob, value: str) -> Iterator[Step]:
    key, current = wanted.workload.id, seen.knobs.get(knob)
    if current is None:
        why = seen.unreadable.get(knob, "the file does not exist")
        yield Hold(workload=key, what=knob, reason=f"cannot read it: {why}")
    elif wanted.mode is Mode.OBSERVE:
        if current != value:
            yield Hold(workload=key, what=knob, reason=f"observe mode: would write {value}, is {current}")
    elif held := _held_back(view, key, knob, value):
        yield held
    elif reason := _would_kill(knob, value, current, seen):
        yield Hold(workload=key, what=knob, reason=reason)
    else:
        target = _step(knob, value, current, seen)
        yield from _converge(wanted.workload, seen, view, knob, target)
        if target != value:
            yield Hold(workload=key, what=knob, reason=f"on the way to {value} in steps: each makes it reclaim")


def _converge(workload: Workload, seen: ObservedWorkload, view: View, knob: Knob, value: str) -> Iterator[Action]:
    current = seen.knobs[knob]
    entry = next((one for one in _entries(workload, seen, view) if one.knob == knob and one.inode == seen.inode), None)
    if entry is None and current == value:
        return  # already so, by somebody else's hand: nothing of ours to remember
    original, runtime = _original(workload, knob, entry, current)
    stands = current if entry is not None and current in entry.ours else ""
    save = SaveOriginal(
        workload=workload.id,
        cgroup=workload.cgroup,
        inode=seen.inode,
        knob=knob,
        original=original,
        written=value,
        before=stands if stands != value else "",
        runtime=runtime,
    )
    if not _is_saved(view.known, save):
        yield save
    if current != value:
        yield WriteKnob(
            workload=workload.id,
            cgroup=workload.cgroup,
            inode=seen.inode,
            knob=knob,
            value=value,
            seen=current,
            foreign=entry is not None and current not in (*entry.ours, workload.runtime_values.get(knob)),
        )


def _original(workload: Workload, knob: Knob, entry: BaselineEntry | None, current: str) -> tuple[str, str]:
    """(what to restore, the runtime's value at that time): seen once, and replaced only when the runtime changes it."""
    runtime = workload.runtime_values.get(knob, "")
    if entry is None:
        return current, runtime
    if runtime and runtime != entry.runtime:  # an in-place resize: new input, not drift
        return runtime, runtime
    return entry.original, entry.runtime


def _is_saved(known: Known, save: SaveOriginal) -> bool:
    entry = known.baseline.get((save.cgroup, save.knob))
    return entry is not None and all(getattr(entry, name) == getattr(save, name) for name in entry.__slots__)


def _entries(workload: Workload, seen: ObservedWorkload, view: View) -> Iterator[BaselineEntry]:
    """What we have to give back: the baseline, and what the runtime wrote for us before the daemon ever looked."""
    saved = view.entries.get(workload.cgroup, ())
    yield from saved
    known = {entry.knob for entry in saved if entry.inode == seen.inode}
    for name, value in workload.adjusted.items():
        runtime = workload.runtime_values.get(name, "")
        original = runtime or knobs.DEFAULTS.get(name, "")
        if name not in known and original and seen.knobs.get(name) == value != original:
            yield BaselineEntry(
                workload=workload.id,
                cgroup=workload.cgroup,
                inode=seen.inode,
                knob=Knob(name),
                original=original,
                written=value,
                runtime=runtime,
            )


def _would_kill(knob: Knob, value: str, current: str, seen: ObservedWorkload) -> str:
    """memory.max below what is used now ends in reclaim, and then in the out-of-memory killer."""
    if knob is not Knob.MEMORY_MAX or value == "max" or int(value) >= seen.usage_bytes:
        return ""
    if current != "max" and int(current) <= int(value):
        return ""
    return f"{value} is less than it uses now ({seen.usage_bytes}): that could kill it; a lower memory.high comes first"


def _step(knob: Knob, value: str, current: str, seen: ObservedWorkload) -> str:
    """How far memory.high may go down at once: the write reclaims what is above, and the loop must not wait for long.

    A step that could not make the usage fall is not repeated: then the value itself is written, and reclaim gives up.
    """
    floor = seen.usage_bytes - STEP_BYTES
    if knob is not Knob.MEMORY_HIGH or value == "max" or int(value) >= floor:
        return value
    if current != "max" and int(current) <= floor:
        return value
    return str(floor // PAGE_BYTES * PAGE_BYTES)


def _undo(entry: BaselineEntry, seen: ObservedWorkload, view: View, *, observing: bool = False) -> Iterator[Step]:
    """Give one knob back: restore where our value still stands, else only forget it."""
    current = seen.knobs.get(entry.knob)
    if observing:
        yield Hold(workload=entry.workload, what=entry.knob, reason="observe mode: not restored")
    elif not view.observed.cgroups_visible:
        yield Hold(workload=entry.workload, what=entry.knob, reason=UNSEEN)
    elif seen.inode != entry.inode:
        yield _forget(entry, "its cgroup is gone")
    elif current is None:
        yield Hold(workload=entry.workload, what=entry.knob, reason="cannot read it, so it is not restored yet")
    elif current == entry.original:
        yield _forget(entry, "it has its original value")
    elif current not in entry.ours:
        yield _forget(entry, f"somebody else wrote {current}")
    else:
        yield _held_back(view, entry.workload, entry.knob, entry.original) or _restore(entry)


def _restore(entry: BaselineEntry) -> RestoreKnob:
    return RestoreKnob(
        workload=entry.workload,
        cgroup=entry.cgroup,
        inode=entry.inode,
        knob=entry.knob,
        original=entry.original,
        expected=entry.ours,
    )


def _forget(entry: BaselineEntry, reason: str) -> ForgetOriginal:
    return ForgetOriginal(
        workload=entry.workload, cgroup=entry.cgroup, inode=entry.inode, knob=entry.knob, reason=reason
    )


def _engine(wanted: DesiredWorkload, view: View) -> Iterator[Step]:
    key = wanted.workload.id
    running = view.observed.engines.get(key)
    if wanted.engine == running:
        return
    if running is not None:
        yield StopEngine(workload=key, reason="its configuration changed" if wanted.engine else "no longer wanted")
    if wanted.engine is not None:
        held = _held_back(view, key, "engine", str(wanted.engine))
        yield held or StartEngine(workload=key, task=wanted.engine)


def _unmanage(wanted: DesiredWorkload, view: View, reason: str) -> Iterator[Step]:
    key = wanted.workload.id
    if key in view.observed.engines:
        yield StopEngine(workload=key, reason=reason or "no longer managed")
    yield from _give_back(wanted, view)
    if reason:
        yield Hold(workload=key, what="", reason=reason)


def _stop(wanted: DesiredWorkload, view: View) -> Iterator[Step]:
    key = wanted.workload.id
    if key in view.observed.engines:
        yield StopEngine(workload=key, reason="the daemon stops")
    if wanted.on_stop is OnStop.RESTORE:
        yield from _give_back(wanted, view)


def _give_back(wanted: DesiredWorkload, view: View) -> Iterator[Step]:
    """Undo all of a workload's knobs, unless another workload now owns its cgroup."""
    cgroup = wanted.workload.cgroup
    if view.owners.get(cgroup, wanted.workload.id) == wanted.workload.id:
        seen = view.seen(wanted.workload.id)
        for entry in _entries(wanted.workload, seen, view):
            yield from _undo(entry, seen, view)


def _strays(desired: Desired, view: View) -> Iterator[Step]:
    """Whatever we once touched and no record names any more."""
    known = view.known
    if known.paused and not known.stopping:
        return
    for key in sorted(view.observed.engines.keys() - desired.workloads.keys()):
        yield StopEngine(workload=key, reason="its record is gone")
    named = {wanted.workload.cgroup for wanted in desired.workloads.values()}
    for entry in known.baseline.values():
        if entry.cgroup not in named and not known.stopping:
            yield from _undo(entry, view.observed.strays.get(entry.cgroup, GONE), view)


def _agent(desired: Desired, view: View) -> Iterator[Step]:
    """When the daemon stops, its close ends the agent: what that leaves behind is taken up again, or put back."""
    running = view.observed.agent
    if view.known.stopping:
        return
    wanted, reason = _agent_now(desired, running, view.known)
    if reason and not (agentwanted.is_off(desired.agent or running) and agentwanted.is_off(running)):
        yield Hold(workload="", what="agent", reason=reason)
    if not agentwanted.same(running, wanted):
        yield SetAgent(task=wanted)


def _agent_now(desired: Desired, running: AgentTask, known: Known) -> tuple[AgentTask, str]:
    """What it may do at this moment, and why that is not what is wanted."""
    if known.paused:
        why = "paused: it decides and counts, and writes nothing; `ebbtide resume` goes on"
        return replace(running, observe=True), why
    if "*" in known.released:
        off = AgentTask(observe=(desired.agent or running).observe)
        return off, "released by an administrator: `ebbtide resume` takes it back"
    if desired.agent is None:
        why = "a class file is unreadable, and its sections may be in it"
        return agentwanted.without(desired, running, known.released), why
    return agentwanted.without(desired, desired.agent, known.released), ""


def _is_managed(wanted: DesiredWorkload) -> bool:
    return bool(wanted.class_name or wanted.knobs)


def _owners(desired: Desired) -> dict[str, str]:
    return {w.workload.cgroup: key for key, w in desired.workloads.items() if w.workload.cgroup and _is_managed(w)}


def _by_cgroup(known: Known) -> dict[str, tuple[BaselineEntry, ...]]:
    result: dict[str, tuple[BaselineEntry, ...]] = {}
    for entry in known.baseline.values():
        result[entry.cgroup] = (*result.get(entry.cgroup, ()), entry)
    return result


def _held_back(view: View, workload: str, what: str, value: str) -> Hold | None:
    retry = view.known.retries.get((workload, what))
    if retry is None:
        return None
    if retry.rejected:
        return Hold(workload=workload, what=what, reason=retry.reason) if retry.rejected == value else None
    if view.now < retry.not_before:
        return Hold(workload=workload, what=what, reason=retry.reason, until=retry.not_before)
    return None


_ORDER = (StopEngine, SaveOriginal, ForgetOriginal, RestoreKnob, WriteKnob, StartEngine, SetAgent)


def _ordered(steps: list[Step]) -> Plan:
    """Originals are remembered first (one write to disk for all), loops stop before knobs change and start after."""
    actions = [step for step in steps if not isinstance(step, Hold)]
    actions.sort(key=lambda action: (_ORDER.index(type(action)), action.workload, str(getattr(action, "knob", ""))))
    return Plan(actions=tuple(actions), holds=tuple(step for step in steps if isinstance(step, Hold)))
