"""A kubelet's command line, as far as it says where its configuration is or wins over it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MAPS = {  # flag -> key, and what separates name and value
    "kube-reserved": ("kubeReserved", "="),
    "system-reserved": ("systemReserved", "="),
    "eviction-hard": ("evictionHard", "<"),
    "eviction-soft": ("evictionSoft", "<"),
    "cpu-manager-policy-options": ("cpuManagerPolicyOptions", "="),
    "topology-manager-policy-options": ("topologyManagerPolicyOptions", "="),
    "feature-gates": ("featureGates", "="),
}
_WORDS = {
    "memory-manager-policy": "memoryManagerPolicy",
    "cpu-manager-policy": "cpuManagerPolicy",
    "topology-manager-policy": "topologyManagerPolicy",
    "topology-manager-scope": "topologyManagerScope",
    "reserved-cpus": "reservedSystemCPUs",
    "system-reserved-cgroup": "systemReservedCgroup",
    "kube-reserved-cgroup": "kubeReservedCgroup",
}
_PLACES = ("config", "config-dir", "root-dir")
_IGNORE = "experimental-allocatable-ignore-eviction"
_LISTS = {"enforce-node-allocatable": "enforceNodeAllocatable"}
RESERVED = "reserved-memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """`values` by the configuration's keys; a flag takes the place of the whole key, feature gates aside."""

    values: Mapping[str, Any] = field(default_factory=dict)
    given: Mapping[str, str] = field(default_factory=dict)  # configuration's key -> flag
    config: str = ""
    config_dir: str = ""
    root_dir: str = ""
    ignore_eviction: bool = False
    wrong: tuple[tuple[str, str], ...] = ()  # flag, and why its value cannot be used


def parse(line: str) -> Flags:
    """Of one line as a shell or a unit has it. ValueError: a quote is not closed."""
    return parse_words(shlex.split(line))


def parse_words(words: Sequence[str]) -> Flags:
    values: dict[str, Any] = {}
    given: dict[str, str] = {}
    places: dict[str, str] = {}
    wrong: list[tuple[str, str]] = []
    ignore = False
    for name, text in _pairs(words):
        if name in _PLACES:
            places[name] = text
        elif name == _IGNORE:
            ignore = text != "false"
        else:
            try:
                for key, value in _value(name, text, values):
                    values[key], given[key] = value, name
            except ValueError as error:
                wrong.append((name, str(error)))
    where = {name.replace("-", "_"): text for name, text in places.items()}
    return Flags(values=values, given=given, ignore_eviction=ignore, wrong=tuple(wrong), **where)


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """`--flag=value` and `--flag value`; underscores are dashes. What we do not know is passed over."""
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            continue
        name, equals, value = word.lstrip("-").replace("\n", " ").partition("=")
        name = name.replace("_", "-")
        if not equals and name != _IGNORE and left and not left[0].startswith("-"):
            value = left.pop(0)
        yield name, value


def _value(name: str, text: str, before: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    if name in _WORDS:
        yield _WORDS[name], text
    elif name in _LISTS:
        yield _LISTS[name], [part.strip() for part in text.split(",") if part.strip()]
    elif name in _MAPS:
        key, separator = _MAPS[name]
        yield key, {**before.get(key, {}), **_map(text, separator)}
    elif name == RESERVED:
        yield "reservedMemory", [*before.get("reservedMemory", []), *_reserved(text)]


def _map(text: str, separator: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, here, value = part.partition(separator)
        if not here:
            raise ValueError(f"malformed pair, expect string{separator}string")
        found[name.strip()] = value.strip()
    return found


def _reserved(text: str) -> Iterator[dict[str, Any]]:
    """`0:memory=1Gi,hugepages-1Gi=2Gi;1:memory=2Gi`."""
    for part in filter(None, text.split(";")):
        node, colon, limits = part.partition(":")
        if not colon or not node.strip().isdecimal() or not limits:
            raise ValueError('the format must be "numa-node:type=value,...;..."')
        yield {"numaNode": int(node), "limits": _map(limits, "=")}
