"""The drop-in that makes a kubelet's memory configuration right on a machine: every number an integer, the sum exact.

What must be reserved depends on all that the kubelet reads, so the drop-in is first put among the node's own files
without `reservedMemory`, the sum is taken of what holds then, and the whole is checked again with the shares in it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import yaml

from reconciler.kubelet import configuration, judging, quantity, rules
from reconciler.kubelet.configuration import Effective, Sources, Text
from reconciler.kubelet.findings import Finding
from reconciler.kubelet.machine import Machine, MemoryNode
from reconciler.kubelet.rules import Verdict
from reconciler.kubeletconfig import KubeletConfig, Split
from reconciler.model import Problem

NAME = "90-ebbtide.conf"
_HEAD = "# Written by Ebbtide from `kubelet:` of its class files; see `ebbtide kubelet render`.\n"
_UNITS = (1 << 20, 1 << 10, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """`text` is empty if a kubelet would not start with it; `shares` are bytes by node."""

    text: str = ""
    shares: Mapping[int, int] | None = None
    findings: tuple[Finding, ...] = ()
    effective: Effective | None = None  # what would hold with it


def render(wanted: KubeletConfig, sources: Sources, machine: Machine, path: str = NAME) -> Rendered:
    """`sources`: the node's own, with or without an older drop-in of ours at `path`."""
    keys = _keys(wanted)
    before = rules.check(_with(sources, path, keys), machine)
    if before.effective.word("memoryManagerPolicy", judging.NONE) != judging.STATIC:
        return _judged(_written(keys), before, None)
    if before.required.total is None:
        return _judged("", before, None)
    shares = share(before.required.total.value, wanted, machine.nodes)
    if problems := tuple(_too_much(shares, machine.nodes, path)):
        return Rendered(findings=problems)
    keys["reservedMemory"] = [
        {"numaNode": node, "limits": {"memory": quantity.written(amount)}} for node, amount in shares.items() if amount
    ]
    return _judged(_written(keys), rules.check(_with(sources, path, keys), machine), shares)


def share(total: int, wanted: KubeletConfig, nodes: Mapping[int, MemoryNode]) -> dict[int, int]:
    """Bytes by node, which add up to `total` exactly; in whole MiB if it is in whole MiB."""
    weights = _weights(wanted, nodes)
    unit = next(unit for unit in _UNITS if total % unit == 0)
    units, weight = total // unit, sum(weights.values())
    if not weight:
        return {}
    shares = {node: units * own // weight for node, own in weights.items()}
    heaviest = max(weights, key=lambda node: weights[node])
    shares[heaviest] += units - sum(shares.values())
    return {node: amount * unit for node, amount in shares.items()}


def _weights(wanted: KubeletConfig, nodes: Mapping[int, MemoryNode]) -> dict[int, int]:
    usable = {number: node.usable_bytes for number, node in sorted(nodes.items()) if node.usable_bytes}
    match wanted.split:
        case Split.EVEN:
            return dict.fromkeys(usable, 1)
        case Split.PROPORTIONAL:
            return usable
        case Split.NODE0:
            return dict.fromkeys(list(usable)[:1], 1)
        case Split.WEIGHTS:
            return dict(sorted(wanted.weights.items()))


def _too_much(shares: Mapping[int, int], nodes: Mapping[int, MemoryNode], path: str) -> Iterator[Finding]:
    if not shares:
        said = "no NUMA node has memory that could be reserved"
        yield Finding(problem=Problem(where=path, message=said, hint="is all of it in huge pages?"))
    for number, amount in shares.items():
        has = nodes[number].usable_bytes if number in nodes else 0
        if amount and amount >= has:
            left = f"has only {quantity.of_bytes(has)} that is no huge pages" if number in nodes else "is not there"
            said = f"NUMA node {number} would have to reserve {quantity.of_bytes(amount)}, and {left}"
            hint = "reserve less, or write another split: proportional follows the memory of each node"
            yield Finding(problem=Problem(where=path, message=said, hint=hint))


def _keys(wanted: KubeletConfig) -> dict[str, Any]:
    policy = {"memoryManagerPolicy": wanted.policy} if wanted.policy else {}
    return {**policy, **{key: dict(one) if isinstance(one, Mapping) else one for key, one in wanted.keys.items()}}


def _written(keys: Mapping[str, Any]) -> str:
    head = {"apiVersion": configuration.API_VERSION, "kind": configuration.KIND}
    text: str = yaml.safe_dump({**head, **keys}, sort_keys=False, width=10**6)
    return _HEAD + text


def _with(sources: Sources, path: str, keys: Mapping[str, Any]) -> Sources:
    """Among the other drop-ins, in its place; a later one may still win, and the check shows what comes of it."""
    texts = {text.path: text for text in sources.dropins or ()}
    texts[path] = Text(path=path, text=_written(keys))
    return replace(sources, dropins=tuple(texts[name] for name in configuration.in_order(list(texts))))


def _judged(text: str, verdict: Verdict, shares: Mapping[int, int] | None) -> Rendered:
    return Rendered(
        text=text if verdict.starts else "",
        shares=shares,
        findings=verdict.findings,
        effective=verdict.effective,
    )
