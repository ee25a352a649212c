"""What goes into a container's specification: cgroup v2 files and values, for the runtime to write. Pure.

Only files that this kernel has, or the container could not start. One that another plugin sets, too, makes the runtime
refuse the container; `nri: {adjust: false}` leaves everything to the daemon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nri import containers
from reconciler import classification, desired
from reconciler.model import ClassTable, Features, Knob, MemoryClass, Mode, Problem, Severity, Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What there is to decide by, at this moment."""

    table: ClassTable
    features: Features  # knobs and the cgroup mount only; the rest is the daemon's
    boot_id: str
    uncertain: bool = False  # a class file is broken: a class that nobody knows may be in it
    paused: bool = False
    released: frozenset[str] = frozenset()  # ids that an administrator took back; "*" = all


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    class_name: str = ""  # "" = unmanaged
    values: Mapping[str, str] = field(default_factory=dict)  # what its files should have
    unified: Mapping[str, str] = field(default_factory=dict)  # what to tell the runtime now
    problems: tuple[Problem, ...] = ()
    reason: str = ""  # why nothing is told, if something is wanted

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(problem for problem in self.problems if problem.severity is Severity.ERROR)


def decide(workload: Workload, view: View) -> Decision:
    """What the workload should have, and what of it belongs into its specification."""
    classified = classification.classify(workload, view.table)
    memory_class = classified.memory_class
    wanted = desired.knob_values(classified, workload, view.table, view.features)
    # Without a cgroup v2 mount in sight every file seems to be missing; the daemon may see more.
    found = wanted.problems if view.features.cgroup_mount else []
    values = {str(knob): value for knob, value in wanted.values.items()}
    reason = _reason(workload, view, memory_class)
    return Decision(
        class_name=memory_class.name if memory_class else "",
        values=values,
        unified=_unified(workload, {} if reason else values, view),
        problems=(*classified.problems, *found),
        reason=reason if values else "",
    )


def _reason(workload: Workload, view: View, memory_class: MemoryClass | None) -> str:
    """Why the runtime gets nothing new from us, "" if it may."""
    mode = memory_class.mode if memory_class else Mode.ACT
    checks = {
        "nri.adjust is false": not view.table.nri.adjust,
        "mode is observe": Mode.OBSERVE in (view.table.mode, mode),
        "paused": view.paused,
        "released": bool({workload.id, "*"} & view.released),
    }
    return ", ".join(reason for reason, holds in checks.items() if holds)


def _unified(workload: Workload, values: Mapping[str, str], view: View) -> dict[str, str]:
    """New values, and for what we once set and no longer want, the runtime's own.

    The runtime keeps what we said in the container's specification and writes it again at every update, so what is
    there must never be out of date.
    """
    if view.paused:
        return dict(workload.adjusted)
    kept = {knob: value for knob, value in values.items() if _tellable(workload, knob)}
    for knob in workload.adjusted:
        value = kept.get(knob, containers.original(workload, knob))
        if value is not None:
            kept[knob] = value
    return kept


def _tellable(workload: Workload, knob: str) -> bool:
    """Whether the original is known, so that it can be put back.

    The kubelet sets memory.oom.group by itself, and hosts before NRI 0.10 hide that: then it is left to the daemon,
    which looks before it writes.
    """
    return knob != Knob.OOM_GROUP or knob in workload.runtime_values
