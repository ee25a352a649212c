"""Stages B to D: reservations are quantities, the node has as much, and reservedMemory is exactly their sum."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reconciler import checking, documents
from reconciler.documents import step
from reconciler.kubelet import eviction, judging, quantity, settings
from reconciler.kubelet.judging import Judge, Limit
from reconciler.kubelet.quantity import Quantity

RESOURCES = ("cpu", "memory", "ephemeral-storage", "pid")
_FLAGS = {"kubeReserved": "--kube-reserved", "systemReserved": "--system-reserved"}
_NOT_EQUAL = 'the total amount "{}" of type "{}" is not equal to the value "{}" determined by Node Allocatable feature'


@dataclass(frozen=True, slots=True, kw_only=True)
class Required:
    """What reservedMemory must add up to, and of what; `total` is None if it cannot be known."""

    total: Quantity | None
    parts: tuple[tuple[str, Quantity], ...] = ()  # key, amount

    def words(self) -> str:
        return " + ".join(f"{key} {amount}" for key, amount in self.parts if amount.nano) or "nothing is reserved"


def check(judge: Judge) -> Required:
    reserved = {key: _reserved(judge, key) for key in _FLAGS}
    required = _required(judge, reserved)
    _cpu(judge, reserved)
    _capacity(judge, required)
    _policy(judge)
    if judge.policy == judging.STATIC:
        _static(judge, required)
    return required


# -- B: reservations as quantities ------------------------------------------------------------------------------------


def _reserved(judge: Judge, key: str) -> dict[str, Quantity] | None:
    """Amounts by resource; None if any is wrong."""
    found: dict[str, Quantity] = {}
    right = True
    for resource, text in judge.effective.mapping(key).items():
        try:
            found[resource] = _amount(resource, text)
        except ValueError as error:
            hint = f"known here: {', '.join(RESOURCES)}" if resource not in RESOURCES else "write for example 4Gi"
            said = f"{documents.shorten(resource)}: {checking.show(text)} cannot be reserved"
            judge.refuse(step(step("", key), resource), said, f"{_FLAGS[key]} value failed to parse: {error}", hint)
            right = False
    return found if right else None


def _amount(resource: str, text: str) -> Quantity:
    if resource not in RESOURCES:
        raise ValueError(f'cannot reserve "{resource}" resource')
    try:
        amount = quantity.parse(text)
    except ValueError as error:
        raise ValueError(f'failed to parse quantity "{text}" for "{resource}" resource: {error}') from error
    if amount.nano < 0:
        raise ValueError(f'resource quantity for "{resource}" cannot be negative: {text}')
    return amount


def _required(judge: Judge, reserved: Mapping[str, Mapping[str, Quantity] | None]) -> Required:
    evicted = _evicted(judge)
    parts = [(key, found["memory"]) for key, found in _known(reserved) if "memory" in found]
    parts.sort(key=lambda part: part[0] != "systemReserved")  # the kubelet's order, which gives the sum its suffix
    if evicted is None or None in reserved.values():
        return Required(total=None, parts=tuple(parts))
    parts.append((f"evictionHard {eviction.MEMORY}", evicted))
    return Required(total=sum((amount for _, amount in parts), quantity.ZERO), parts=tuple(parts))


def _known(reserved: Mapping[str, Mapping[str, Quantity] | None]) -> Iterator[tuple[str, Mapping[str, Quantity]]]:
    yield from ((key, found) for key, found in reserved.items() if found is not None)


def _evicted(judge: Judge) -> Quantity | None:
    """What hard eviction keeps free; None if that is wrong, or a share of a machine that we do not know."""
    thresholds = {key: _threshold(judge, key, text) for key, text in judge.effective.mapping("evictionHard").items()}
    if judge.effective.ignore_eviction or eviction.MEMORY not in thresholds:
        return quantity.ZERO
    found = thresholds[eviction.MEMORY]
    at = step("/evictionHard", eviction.MEMORY)
    if found is None or found.share is None:
        return None if found is None else found.of(0)
    said = "a percentage of memory changes with every kernel that keeps more or less of it for itself"
    if judge.machine is None:
        judge.warn(at, f"{said}, so that nothing can be said without a machine", "write bytes, for example 100Mi")
        return None
    amount = found.of(judge.machine.capacity_bytes)
    judge.warn(at, f"{said}, and reservedMemory must follow", f'write "{quantity.written(amount.value)}"')
    return amount


def _threshold(judge: Judge, signal: str, text: str) -> eviction.Threshold | None:
    at = step("/evictionHard", signal)
    if signal not in eviction.SIGNALS:
        said = f'"{documents.shorten(signal)}" is no signal of eviction'
        hint = checking.did_you_mean(signal, eviction.SIGNALS)
        judge.refuse(at, said, f"unsupported eviction signal {signal}", hint)
        return None
    try:
        return eviction.threshold(signal, text)
    except ValueError as error:
        said = f"{checking.show(text)} is no threshold"
        judge.refuse(at, said, str(error), "write for example 100Mi, or 5%")
        return None


# -- C: does the node have it -----------------------------------------------------------------------------------------


def _capacity(judge: Judge, required: Required) -> None:
    if judge.machine is None or required.total is None:
        return
    capacity = quantity.of_bytes(judge.machine.capacity_bytes)
    left = capacity.nano - required.total.nano
    if left < 0:
        said = f"{required.words()} = {required.total} is more than the node's {capacity}"
        rest = Quantity(nano=left, family=capacity.family)
        found = f'Resource "memory" has an allocatable of {rest}, capacity of {capacity}'
        judge.refuse("/kubeReserved", said, f"invalid Node Allocatable configuration. {found}", "reserve less")


def _cpu(judge: Judge, reserved: Mapping[str, Mapping[str, Quantity] | None]) -> None:
    """The static CPU policy wants some for the system; reservedSystemCPUs takes the place of what both maps say."""
    effective = judge.effective
    if effective.word("cpuManagerPolicy", "none") != "static" or None in reserved.values():
        return
    amounts = [found["cpu"] for _, found in _known(reserved) if "cpu" in found]
    if effective.word("reservedSystemCPUs", "") or sum(amount.nano for amount in amounts) > 0:
        return
    kubelet = "[cpumanager] unable to determine reserved CPU resources for static policy"
    if amounts:
        kubelet = (
            "[cpumanager] the static policy requires systemreserved.cpu + kubereserved.cpu to be greater than zero"
        )
    said = "the static CPU policy needs CPUs that it may leave to the system"
    judge.refuse("/cpuManagerPolicy", said, kubelet, 'write kubeReserved: {cpu: "1"}, or reservedSystemCPUs: "0"')


# -- D: the memory manager --------------------------------------------------------------------------------------------


def _policy(judge: Judge) -> None:
    policy, at = judge.policy, "/memoryManagerPolicy"
    if policy == judging.BEST_EFFORT:
        kubelet = 'policy "BestEffort" is not available for platform "linux"'
        judge.refuse(at, "BestEffort is for Windows", kubelet, "write Static or None")
    elif policy not in settings.MEMORY_POLICIES:
        said = f"must be one of {', '.join(settings.MEMORY_POLICIES)}, not {checking.show(policy)}"
        hint = checking.did_you_mean(policy, settings.MEMORY_POLICIES)
        if policy.capitalize() in settings.MEMORY_POLICIES:
            hint = f"write {policy.capitalize()}: this policy begins with a capital, that of the CPU manager does not"
        judge.refuse(at, said, f'unknown policy: "{policy}"', hint)
    elif policy == judging.NONE and judge.effective.values.get("reservedMemory"):
        judge.warn(
            "/reservedMemory", "has no effect without memoryManagerPolicy: Static", "add the policy, or remove it"
        )


def _static(judge: Judge, required: Required) -> None:
    limits = judging.limits(judge.effective.values)
    before = len(judge.findings)
    _existing(judge, limits)
    _huge(judge, limits)
    _equal(judge, limits, required)
    if len(judge.findings) == before:
        _integers(judge, limits)
    _shares(judge, limits)
    _advise(judge)


def _existing(judge: Judge, limits: tuple[Limit, ...]) -> None:
    if judge.machine is None:
        return
    nodes = judge.machine.nodes
    for limit in limits:
        if limit.node not in nodes:
            kubelet = "the reserved memory configuration references a NUMA node {} that does not exist on this machine"
            there = ", ".join(str(node) for node in sorted(nodes)) or "none"
            said = f"there is no NUMA node {limit.node}"
            judge.refuse(limit.pointer, said, kubelet.format(limit.node), f"this machine has: {there}")


def _total(limits: tuple[Limit, ...], kind: str) -> Quantity:
    """Newer entries are added to by older ones, which matters to the suffix only."""
    amounts = [limit.amount for limit in reversed(limits) if limit.kind == kind]
    return sum(amounts, quantity.ZERO)


def _huge(judge: Judge, limits: tuple[Limit, ...]) -> None:
    for kind in sorted({limit.kind for limit in limits if limit.kind.startswith(settings.HUGEPAGES)}):
        total = _total(limits, kind)
        if total.nano:
            at = next(limit.pointer for limit in limits if limit.kind == kind)
            said = "huge pages cannot be reserved: nothing could be on the other side of the sum"
            judge.refuse(at, said, _NOT_EQUAL.format(total, kind, 0), f"remove {kind} of all nodes")


def _equal(judge: Judge, limits: tuple[Limit, ...], required: Required) -> None:
    total = _total(limits, settings.MEMORY)
    if required.total is None:
        return
    if total.nano != required.total.nano:
        said = f"the nodes' memory adds up to {total}, and must be {required.total}: {required.words()}"
        kubelet = _NOT_EQUAL.format(total, settings.MEMORY, required.total)
        judge.refuse("/reservedMemory", said, kubelet, _right(limits, required.total))
    elif total.nano <= 0:
        said = "Static needs some memory to be reserved"
        kubelet = "[memorymanager] you should specify the system reserved memory"
        judge.refuse("/reservedMemory", said, kubelet, "write for example systemReserved: {memory: 1Gi}")


def _right(limits: tuple[Limit, ...], total: Quantity) -> str:
    """What the last node would have to get, all others left as they are; or the sum, where that is impossible."""
    own = [limit for limit in limits if limit.kind == settings.MEMORY]
    if not own:
        return f"write reservedMemory: [{{numaNode: 0, limits: {{memory: {quantity.written(total.value)}}}}}]"
    last = own[-1]
    rest = total.value - sum(limit.amount.value for limit in own[:-1])
    if rest > 0:
        return f'NUMA node {last.node} would be right with memory: "{quantity.written(rest)}"'
    each, more = divmod(total.value, len(own))
    shares = [each + (1 if index < more else 0) for index in range(len(own))]
    listed = ", ".join(f"{limit.node}: {quantity.written(share)}" for limit, share in zip(own, shares, strict=True))
    return f"shared evenly, nodes would have {listed}"


def _integers(judge: Judge, limits: tuple[Limit, ...]) -> None:
    for limit in limits:
        rewritten = judge.effective.is_rewritten(limit.pointer)
        found = quantity.parse(str(limit.amount)) if rewritten else limit.amount
        if found.whole is None:
            hint = f'write "{quantity.written(limit.amount.value)}"'
            said = "a fraction, or so many digits, is not made an integer by the kubelet"
            judge.refuse(limit.pointer, said, "could not covert a variable of type Quantity to int64", hint)


def _shares(judge: Judge, limits: tuple[Limit, ...]) -> None:
    """A node cannot give more than it has; the kubelet itself calculates on with a number below zero."""
    nodes = judge.machine.nodes if judge.machine else {}
    for limit in limits:
        node = nodes.get(limit.node)
        if node is not None and limit.kind == settings.MEMORY and limit.amount.value > node.usable_bytes:
            has = quantity.of_bytes(node.usable_bytes)
            said = f"NUMA node {limit.node} has only {has} that is no huge pages, and is to reserve {limit.amount}"
            judge.warn(limit.pointer, said, "give more of it to other nodes")


def _advise(judge: Judge) -> None:
    effective = judge.effective
    if eviction.MEMORY not in effective.mapping("evictionHard"):
        said = f"has no {eviction.MEMORY}, so the kernel's OOM killer comes before any eviction"
        judge.warn("/evictionHard", said, "write memory.available: 100Mi, and 100Mi more in reservedMemory")
    if effective.word("topologyManagerPolicy", "none") == "none":
        said = "with the topology manager's policy none, memory and CPUs are placed without asking each other"
        judge.warn("/topologyManagerPolicy", said, "write best-effort, restricted or single-numa-node")
