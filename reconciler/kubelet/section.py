"""The section `kubelet:` of class files. A later file replaces single keys of it, each as a whole.

The schema has looked at types and words before; here are the things that it cannot say.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from reconciler import checking
from reconciler.documents import Document, step
from reconciler.kubelet import durations, eviction, quantity
from reconciler.kubeletconfig import KubeletConfig, Split
from reconciler.model import Given, Origin, Problem

NAME = "kubelet"
MANAGER = "memoryManager"
RESERVATIONS = ("kubeReserved", "systemReserved")
WORDS = ("cpuManagerPolicy", "topologyManagerPolicy", "topologyManagerScope")
TIMES = ("shutdownGracePeriod", "shutdownGracePeriodCriticalPods")


def given(document: Document, problems: list[Problem]) -> Iterator[tuple[str, Given]]:
    """Dotted names and values of all keys that are right; what is wrong with the others is added to `problems`."""
    found = (document.value or {}).get(NAME)
    for key, value in (found or {}).items():
        at = step(step("", NAME), key)
        if value is None:
            continue
        try:
            read = _read(key, value)
        except _Wrong as wrong:
            below = step(at, wrong.key) if wrong.key else at
            problems.append(document.problem(below, str(wrong), wrong.hint))
            continue
        yield f"{NAME}.{key}", Given(value=read, origin=Origin(file=document.file, line=document.mark(at)[0]))


def config(values: Mapping[str, Any]) -> KubeletConfig | None:
    """Of all keys that hold, by their dotted names; None if there are none."""
    keys = {name.removeprefix(f"{NAME}."): one for name, one in values.items() if name.startswith(f"{NAME}.")}
    if not keys:
        return None
    manager = keys.pop(MANAGER, {})
    reserve = manager.get("reserve") or {}
    weights = {int(node): weight for node, weight in (reserve.get("weights") or {}).items()}
    split = Split(reserve.get("split", Split.WEIGHTS if weights else Split.EVEN))
    return KubeletConfig(policy=manager.get("policy", ""), split=split, weights=weights, keys=keys)


class _Wrong(Exception):
    def __init__(self, key: str, message: str, hint: str) -> None:
        super().__init__(message)
        self.key, self.hint = key, hint


def _read(key: str, value: Any) -> object:
    if key == MANAGER:
        return _manager(value)
    if key in RESERVATIONS:
        return _amounts(value, lambda _, text: _not_negative(text))
    if key == "evictionHard":
        return _amounts(value, eviction.threshold)
    if key in TIMES:
        return _time(value)
    return value


def _amounts(value: Mapping[str, Any], read: Callable[[str, str], object]) -> dict[str, str]:
    for name, one in value.items():
        try:
            read(name, str(one))
        except ValueError as error:
            hint = "write for example 4Gi: Ki, Mi, Gi are powers of 1024"
            raise _Wrong(name, f"{checking.show(one)}: {error}", hint) from error
    return {name: str(one) for name, one in value.items()}


def _not_negative(text: str) -> None:
    if quantity.parse(text).nano < 0:
        raise ValueError("less than nothing cannot be reserved")


def _time(value: str) -> str:
    try:
        durations.seconds(value)
    except ValueError as error:
        raise _Wrong("", f"{checking.show(value)} is no duration", "write for example 300s") from error
    return value


def _manager(value: Mapping[str, Any]) -> Mapping[str, Any]:
    reserve = value.get("reserve") or {}
    weights = reserve.get("weights") or {}
    if reserve.get("split") == Split.WEIGHTS and not any(weights.values()):
        raise _Wrong("reserve", "weights of nodes are missing", "write for example weights: {0: 2, 1: 1}")
    if weights and reserve.get("split", Split.WEIGHTS) != Split.WEIGHTS:
        raise _Wrong("reserve", "weights count only with split: weights", "write split: weights, or remove them")
    return value
