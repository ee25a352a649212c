"""Whether a kubelet would take up its state files again, and if not, why: the checks that it makes when it starts.

It goes on with a file only if policy, machine and reservations are still those with which the file was written. That is
why changes of them need the file to go, and why nothing else does.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from reconciler.kubelet import judging, quantity, remembered, settings
from reconciler.kubelet.configuration import Effective
from reconciler.kubelet.machine import Machine
from reconciler.kubelet.remembered import Block, CpuState, MemoryState, NodeState, Sum, Table

_CORRUPT = "checkpoint is corrupted"
_RESTORE = "could not restore state from checkpoint: {}"
_DIFFERENT = "[memorymanager] the expected machine state is different from the real one"
_ZERO_FITS_SINCE = (1, 36)  # a checksum of 0 in a memory file


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    reason: str  # ours
    kubelet: str = ""


def of_memory(text: str, effective: Effective, machine: Machine | None) -> tuple[Refusal, ...]:
    """Why the kubelet would not start with this memory_manager_state; without a machine what needs one is left out."""
    try:
        state = remembered.memory(text)
    except ValueError as error:
        return (Refusal(reason=f"cannot be read: {error}", kubelet=_RESTORE.format(error)),)
    fits = state.sum is Sum.RIGHT or (state.sum is Sum.ABSENT and effective.version >= _ZERO_FITS_SINCE)
    if not fits:
        return (Refusal(reason="its checksum is wrong", kubelet=_RESTORE.format(_CORRUPT)),)
    policy = effective.word("memoryManagerPolicy", judging.NONE)
    if policy != state.policy:
        said = f'[memorymanager] configured policy "{policy}" differs from state checkpoint policy "{state.policy}"'
        reason = f"the policy was {state.policy}, and is {policy} now"
        return (Refusal(reason=reason, kubelet=_RESTORE.format(said)),)
    return tuple(_static(state, effective, machine)) if policy == judging.STATIC else ()


def _static(state: MemoryState, effective: Effective, machine: Machine | None) -> Iterator[Refusal]:
    if not state.nodes:
        if state.blocks:
            said = "[memorymanager] machine state can not be empty when it has memory assignments"
            yield Refusal(reason="it has assignments and no machine", kubelet=said)
        return
    if machine is None:
        return
    expected = _Expected(effective, machine)
    for block in state.blocks:
        wrong = expected.assign(block)
        if wrong is not None:
            yield wrong
            return
    yield from (Refusal(reason=reason, kubelet=_DIFFERENT) for reason in expected.differences(state.nodes))


@dataclass(slots=True, kw_only=True)
class _Counts:
    total: int
    system_reserved: int
    allocatable: int
    reserved: int = 0
    free: int = 0


@dataclass(slots=True, kw_only=True)
class _Node:
    tables: dict[str, _Counts]
    cells: tuple[int, ...]
    assignments: int = 0


class _Expected:
    """The book-keeping that a kubelet builds from machine and configuration, and fills with the file's entries."""

    def __init__(self, effective: Effective, machine: Machine) -> None:
        reserved = {(one.node, one.kind): one.amount.value for one in judging.limits(effective.values)}
        self.nodes = {number: _Node(tables={}, cells=(number,)) for number in machine.nodes}
        for number, node in machine.nodes.items():
            kinds = {settings.MEMORY: node.total_bytes, **node.hugepages}
            for kind, total in kinds.items():
                kept = reserved.get((number, kind), 0)
                huge = sum(node.hugepages.values()) if kind == settings.MEMORY else 0
                left = total - kept - huge
                counts = _Counts(total=total, system_reserved=kept, allocatable=left, free=left)
                self.nodes[number].tables[kind] = counts

    def assign(self, block: Block) -> Refusal | None:
        left = block.size
        for number in block.nodes:
            node = self.nodes.get(number)
            counts = node.tables.get(block.kind) if node else None
            if node is None or counts is None:
                return _unknown(block, number, has_node=node is not None)
            node.assignments += 1
            node.cells = block.nodes
            taken = min(left, max(0, counts.free))
            counts.reserved, counts.free, left = counts.reserved + taken, counts.free - taken, left - taken
        return None

    def differences(self, found: Mapping[int, NodeState]) -> Iterator[str]:
        if set(found) != set(self.nodes):
            yield f"NUMA nodes were {_listed(found)}, and are {_listed(self.nodes)} now"
            return
        for number, node in sorted(self.nodes.items()):
            yield from self._of_node(number, node, found)

    def _of_node(self, number: int, node: _Node, found: Mapping[int, NodeState]) -> Iterator[str]:
        was = found[number]
        if was.assignments != node.assignments:
            yield f"NUMA node {number} has {was.assignments} assignments, and its entries make {node.assignments}"
        if was.cells != node.cells:
            yield f"NUMA node {number} is grouped with {_listed(was.cells)}, and its entries say {_listed(node.cells)}"
        if set(was.tables) != set(node.tables):
            before, now = (", ".join(sorted(one)) for one in (was.tables, node.tables))
            yield f"NUMA node {number} had {before}, and has {now} now"
            return
        for kind, counts in sorted(node.tables.items()):
            yield from _of_kind(f"NUMA node {number}: {kind}", was.tables[kind], counts)
            yield from self._of_group(number, node.cells, kind, found)

    def _of_group(self, number: int, cells: Sequence[int], kind: str, found: Mapping[int, NodeState]) -> Iterator[str]:
        """How much is assigned is compared by groups, for inside of one it depends on the order of the past."""
        if number != min(cells) or not set(cells) <= set(found):
            return
        was = sum(found[cell].tables[kind].reserved for cell in cells if kind in found[cell].tables)
        now = sum(self.nodes[cell].tables[kind].reserved for cell in cells)
        free = sum(found[cell].tables[kind].free for cell in cells if kind in found[cell].tables)
        left = sum(self.nodes[cell].tables[kind].free for cell in cells)
        if (was, free) != (now, left):
            said = f"{_bytes(was)} assigned and {_bytes(free)} free"
            yield f"NUMA nodes {_listed(cells)}: {kind}: {said}, and entries make {_bytes(now)} and {_bytes(left)}"


def _of_kind(where: str, was: Table, now: _Counts) -> Iterator[str]:
    for word, before, after in (
        ("total", was.total, now.total),
        ("reserved for the system", was.system_reserved, now.system_reserved),
        ("allocatable", was.allocatable, now.allocatable),
    ):
        if before != after:
            yield f"{where} {word} was {_bytes(before)}, and is {_bytes(after)} now"
            return  # what is calculated from it differs as well


def _unknown(block: Block, number: int, *, has_node: bool) -> Refusal:
    who = f"[memorymanager] (pod: {block.pod_uid}, container: {block.container}) the memory assignment uses"
    what = "memory resource that does not exist" if has_node else "the NUMA that does not exist"
    reason = f"container {block.container} of pod {block.pod_uid} has {block.kind} on NUMA node {number}, which is gone"
    return Refusal(reason=reason, kubelet=f"{who} {what}")


def _listed(numbers: Mapping[int, object] | Sequence[int]) -> str:
    return settings.cpu_list(frozenset(numbers)) or "none"


def _bytes(amount: int) -> str:
    return str(quantity.of_bytes(amount))


# -- CPUs -------------------------------------------------------------------------------------------------------------


def of_cpu(text: str, effective: Effective, machine: Machine | None) -> tuple[Refusal, ...]:
    """The same for cpu_manager_state."""
    try:
        state = remembered.cpu(text)
    except ValueError as error:
        return (Refusal(reason=f"cannot be read: {error}", kubelet=_RESTORE.format(error)),)
    if state.sum is Sum.WRONG:
        return (Refusal(reason="its checksum is wrong", kubelet=_RESTORE.format(_CORRUPT)),)
    policy = effective.word("cpuManagerPolicy", "none")
    if policy != state.policy:
        said = f'configured policy "{policy}" differs from state checkpoint policy "{state.policy}"'
        reason = f"the policy was {state.policy}, and is {policy} now"
        return (Refusal(reason=reason, kubelet=_RESTORE.format(said)),)
    return tuple(_static_cpus(state, effective, machine)) if policy == "static" else ()


def _static_cpus(state: CpuState, effective: Effective, machine: Machine | None) -> Iterator[Refusal]:
    if not state.default:
        if state.entries:
            yield Refusal(reason="it has assignments and no shared CPUs", kubelet="default cpuset cannot be empty")
        return
    default = settings.cpu_list(state.default)
    reserved = settings.cpus(effective.word("reservedSystemCPUs", "") or "x") or frozenset()
    if effective.mapping("cpuManagerPolicyOptions").get("strict-cpu-reservation") == "true":
        if both := reserved & state.default:
            said = f'some of strictly reserved cpus: "{settings.cpu_list(both)}" are present in defaultCpuSet'
            yield Refusal(reason="reserved CPUs are shared now, too", kubelet=f'{said}: "{default}"')
        reserved_beside = reserved
    else:
        if not reserved <= state.default:
            said = f'not all reserved cpus: "{settings.cpu_list(reserved)}" are present in defaultCpuSet: "{default}"'
            yield Refusal(reason="reserved CPUs were given to containers", kubelet=said)
        reserved_beside = frozenset()
    for (pod, container), cpus in state.entries.items():
        if cpus & state.default:
            mine = settings.cpu_list(cpus)
            said = f'pod: {pod}, container: {container} cpuset: "{mine}" overlaps with default cpuset "{default}"'
            yield Refusal(reason=f"CPUs of container {container} are shared as well", kubelet=said)
    known = state.default.union(reserved_beside, *state.entries.values())
    if machine is not None and machine.cpus and known != machine.cpus:
        now, before = settings.cpu_list(machine.cpus), settings.cpu_list(known)
        said = f'current set of available CPUs "{now}" doesn\'t match with CPUs in state "{before}"'
        yield Refusal(reason=f"CPUs were {before}, and are {now} now", kubelet=said)
