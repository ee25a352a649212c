"""Stage A: what the kubelet validates before it looks at the machine; all that is wrong is told."""

from collections.abc import Sequence
from fractions import Fraction

from reconciler import checking, documents
from reconciler.documents import step
from reconciler.kubelet import durations, judging
from reconciler.kubelet.judging import Judge

MEMORY, HUGEPAGES = "memory", "hugepages-"
TOPOLOGY = ("none", "best-effort", "restricted", "single-numa-node")
SCOPES = ("container", "pod")
CPU = ("none", "static")
MEMORY_POLICIES = (judging.NONE, judging.STATIC)
_INVALID = "invalid configuration: "
_CGROUPS = {"system-reserved": "systemReservedCgroup", "kube-reserved": "kubeReservedCgroup"}
_FLAGS = {"systemReservedCgroup": "--system-reserved-cgroup", "kubeReservedCgroup": "--kube-reserved-cgroup"}
_ENFORCED = ("pods", "system-reserved", "kube-reserved", "system-reserved-compressible", "kube-reserved-compressible")
_VALID = (
    '"pods", "system-reserved", "system-reserved-compressible", "kube-reserved", "kube-reserved-compressible" or "none"'
)
_ENFORCE = "enforceNodeAllocatable (--enforce-node-allocatable)"


def check(judge: Judge) -> None:
    _reserved(judge)
    _topology(judge)
    _shutdown(judge)
    _enforced(judge)
    _reserved_cpus(judge)
    _cpu_policy(judge)


def _reserved(judge: Judge) -> None:
    seen: set[tuple[int, str]] = set()
    for limit in judging.limits(judge.effective.values):
        where = f"for NUMA node {limit.node}"
        if limit.kind != MEMORY and not limit.kind.startswith(HUGEPAGES):
            said = f'"{documents.shorten(limit.kind)}" cannot be reserved {where}'
            kubelet = f'the limit type "{limit.kind}" {where} is not supported, only [memory hugepages-<HugePageSize>]'
            judge.refuse(limit.pointer, said, f"{_INVALID}{kubelet} is accepted", "write memory")
        if limit.amount.nano == 0:
            said = f"0 of {limit.kind} is reserved {where}"
            kubelet = f'{_INVALID}reserved memory may not be zero {where} and resource "{limit.kind}"'
            judge.refuse(limit.pointer, said, kubelet, "remove the entry: a node may have none")
        if limit.amount.nano < 0:
            judge.refuse(limit.pointer, f"less than nothing is reserved {where}", "", "write what is to be reserved")
        if (limit.node, limit.kind) in seen:
            said = f"{limit.kind} {where} is here twice"
            kubelet = f'{_INVALID}the reserved memory has a duplicate value {where} and resource "{limit.kind}"'
            judge.refuse(limit.pointer, said, kubelet, "keep one of the two")
        seen.add((limit.node, limit.kind))


def _word(judge: Judge, key: str, known: Sequence[str], kubelet: str) -> None:
    value = judge.effective.word(key, known[0])
    if value not in known:
        said = f"must be one of {', '.join(known)}, not {checking.show(value)}"
        judge.refuse(step("", key), said, kubelet.format(value), checking.did_you_mean(value, known))


def _topology(judge: Judge) -> None:
    words = " ".join(f'"{word}"' for word in TOPOLOGY)
    policy = f'{_INVALID}topologyManagerPolicy (--topology-manager-policy) "{{}}" must be one of: [{words}]'
    _word(judge, "topologyManagerPolicy", TOPOLOGY, policy)
    scope = f'{_INVALID}topologyManagerScope (--topology-manager-scope) "{{}}" must be one of: "container", or "pod"'
    _word(judge, "topologyManagerScope", SCOPES, scope)


def _cpu_policy(judge: Judge) -> None:
    _word(judge, "cpuManagerPolicy", CPU, 'unknown policy: "{}"')


def _duration(judge: Judge, key: str) -> Fraction:
    text = judge.effective.word(key, "0s")
    try:
        amount = durations.seconds(text)
    except ValueError as error:
        judge.refuse(step("", key), f"{checking.show(text)} is no duration", str(error), "write for example 300s")
        return Fraction(0)
    if amount < 0 or 0 < amount < 1:
        said = f"{durations.shown(amount)} is neither 0 nor a second or more"
        kubelet = f"{_INVALID}{key} {{{durations.shown(amount)}}} must be either zero or otherwise >= 1 sec"
        judge.refuse(step("", key), said, kubelet, "write 0s, or at least 1s")
    return amount


def _shutdown(judge: Judge) -> None:
    total, critical = (_duration(judge, key) for key in ("shutdownGracePeriod", "shutdownGracePeriodCriticalPods"))
    if critical > total:
        shown = f"shutdownGracePeriodCriticalPods {{{durations.shown(critical)}}}"
        kubelet = f"{_INVALID}{shown} must be <= shutdownGracePeriod {{{durations.shown(total)}}}"
        said = f"critical pods have {durations.shown(critical)} of {durations.shown(total)}"
        hint = f"write at most {durations.shown(total)}, or raise shutdownGracePeriod"
        judge.refuse("/shutdownGracePeriodCriticalPods", said, kubelet, hint)


def _enforced(judge: Judge) -> None:
    listed = judge.effective.values.get("enforceNodeAllocatable") or ()
    for index, word in enumerate(listed):
        at = step("/enforceNodeAllocatable", index)
        if word in listed[:index]:
            kubelet = f'{_INVALID}duplicated enforcements "{word}" in {_ENFORCE}'
            judge.refuse(at, f"{word} is here twice", kubelet, "keep one of the two")
        elif word == "none":
            if len(listed) > 1:
                kubelet = f'{_INVALID}{_ENFORCE} may not contain additional enforcements when "none" is specified'
                judge.refuse(at, "none stands alone", kubelet, "remove none, or the others")
        elif word not in _ENFORCED:
            said = f"{checking.show(word)} cannot be enforced"
            kubelet = f'{_INVALID}option "{word}" specified for {_ENFORCE}. Valid options are {_VALID}'
            judge.refuse(at, said, kubelet, checking.did_you_mean(word, _ENFORCED))
        else:
            _its_cgroup(judge, at, word, listed)


def _its_cgroup(judge: Judge, at: str, word: str, listed: Sequence[str]) -> None:
    if judge.effective.values.get("cgroupsPerQOS") is False:
        contained = f'must be set to true when "{word}" contained in {_ENFORCE}'
        kubelet = f"{_INVALID}cgroupsPerQOS (--cgroups-per-qos) {contained}"
        judge.refuse(at, f"{word} needs cgroupsPerQOS", kubelet, "write cgroupsPerQOS: true, or enforce none")
    plain = word.removesuffix("-compressible")
    key = _CGROUPS.get(plain, "")
    both = f'"{plain}" or "{plain}-compressible"'
    if key and not judge.effective.word(key, ""):
        kubelet = f"{_INVALID}{key} ({_FLAGS[key]}) must be specified when {both} included in {_ENFORCE}"
        judge.refuse(at, f"{word} needs {key}", kubelet, f"write {key}: /THE/CGROUP, or remove {word}")
    if word != plain and plain in listed:
        kubelet = f'{_INVALID}both "{plain}" and "{word}" cannot be specified together in {_ENFORCE}'
        judge.refuse(at, f"{plain} and {word} exclude each other", kubelet, "keep one of the two")


def _reserved_cpus(judge: Judge) -> None:
    text = judge.effective.word("reservedSystemCPUs", "")
    if not text:
        return
    at = "/reservedSystemCPUs"
    if any(judge.effective.word(key, "") for key in _CGROUPS.values()):
        cgroups = " or ".join(f"{key} ({_FLAGS[key]})" for key in _CGROUPS.values())
        kubelet = f"{_INVALID}can't use reservedSystemCPUs (--reserved-cpus) with {cgroups}"
        judge.refuse(at, "excludes systemReservedCgroup and kubeReservedCgroup", kubelet, "remove one or the other")
    found = cpus(text)
    if found is None:
        kubelet = f"{_INVALID}unable to parse reservedSystemCPUs (--reserved-cpus) {text}"
        judge.refuse(at, f"{checking.show(text)} is no list of CPUs", kubelet, "write for example 0-1,8")
    elif judge.machine is not None and judge.machine.cpus and found - judge.machine.cpus:
        online = cpu_list(judge.machine.cpus)
        kubelet = f"reserved-cpus: {cpu_list(found)} is not a subset of online-cpus: {online}"
        judge.refuse(at, f"CPUs that are not online: {cpu_list(found - judge.machine.cpus)}", kubelet, f"of {online}")


def cpus(text: str) -> frozenset[int] | None:
    """Of "0-3,8"; None if it is no such list."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and first.isascii()) or (dash and not (last.isdecimal() and last.isascii())):
            return None
        start, end = int(first), int(last or first)
        if end < start or end > 1 << 16:
            return None
        found.update(range(start, end + 1))
    return frozenset(found)


def cpu_list(numbers: frozenset[int]) -> str:
    """The kernel's short form."""
    spans: list[list[int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)
