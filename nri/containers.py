"""What the runtime says of a container, as a workload record. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from nri import api_pb2 as api
from reconciler import classification, inventory, knobs
from reconciler.model import Knob, Workload, WorkloadState

_MOST_LABELS = 100  # a record must stay small, whatever is written into a pod


def workload(pod: api.PodSandbox, container: api.Container, boot_id: str) -> Workload:
    """A record without a cgroup yet; ValueError if its id could not be the name of a file."""
    if not inventory.ID.match(container.id):
        raise ValueError(f"{container.id!r} is no container id")
    return Workload(
        id=container.id,
        namespace=pod.namespace,
        pod=pod.name,
        container=container.name,
        pod_uid=pod.uid,
        sandbox=container.pod_sandbox_id or pod.id,
        runtime_handler=classification.shortened(pod.runtime_handler),
        cgroups_path=container.linux.cgroups_path,
        state=WorkloadState.PENDING,
        annotations=classification.vocabulary(pod.annotations, container.name),
        labels={key: classification.shortened(value) for key, value in sorted(pod.labels.items())[:_MOST_LABELS]},
        memory_limit=limit(container.linux.resources),
        runtime_values=runtime_values(container.linux.resources),
        boot_id=boot_id,
        writer=inventory.WRITER,
    )


def limit(resources: api.LinuxResources) -> int | None:
    """The memory limit in bytes; 0 and less mean none."""
    value = resources.memory.limit.value
    return value if value > 0 else None


def runtime_values(resources: api.LinuxResources, *, unified: bool = False) -> dict[str, str]:
    """Cgroup files that the runtime sets by itself, as far as we know for sure.

    `unified` only before anything of ours can be in that map, which is at creation; later see `resized`.
    """
    values: dict[str, str] = {}
    size, both = limit(resources), resources.memory.swap.value
    if size is not None:
        values[Knob.MEMORY_MAX] = str(size)
        # A limit without a word about swap makes containerd and CRI-O set both equal: no swap.
        values[Knob.SWAP_MAX] = "max" if both < 0 else str(max(0, both - size))
    if resources.memory.reservation.value > 0:
        values[Knob.MEMORY_LOW] = str(resources.memory.reservation.value)
    return values | _unified(resources) if unified else values


def _unified(resources: api.LinuxResources) -> dict[str, str]:
    return {key: text.strip() for key, text in resources.unified.items() if key in set(Knob)}


def resized(known: Workload, resources: api.LinuxResources) -> Workload:
    """What the runtime wants from now on.

    It may repeat what we once put into its specification: a value that is our last one is ours, not the runtime's.
    """
    theirs = {key: text for key, text in _unified(resources).items() if text != known.adjusted.get(key)}
    return replace(
        known,
        memory_limit=limit(resources) or known.memory_limit,
        runtime_values={**known.runtime_values, **runtime_values(resources), **theirs},
    )


def original(known: Workload, knob: str) -> str | None:
    """What would stand in this file without us; None if that cannot be told."""
    return known.runtime_values.get(knob, knobs.DEFAULTS.get(knob))


def adjusted(workload: Workload, unified: Mapping[str, str]) -> Workload:
    """With what we put into the spec of a container that is being created, and what it would have had without us.

    The daemon sees these files only with our values in them: it could not tell the original.
    """
    known = {knob: value for knob in unified if (value := original(workload, knob)) is not None}
    return replace(workload, adjusted=unified, runtime_values={**known, **workload.runtime_values})


def continued(fresh: Workload, known: Workload | None) -> Workload:
    """The same container seen again: what it was created with is known from then only."""
    if known is None:
        return fresh
    return replace(
        fresh,
        cgroup=known.cgroup,
        pids=known.pids,
        state=known.state,
        runtime_values={**known.runtime_values, **fresh.runtime_values},
        adjusted=known.adjusted,
        problems=known.problems,
    )
