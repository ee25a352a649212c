"""What all rules share: the configuration, the machine if one is known, and a list of what they find."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reconciler.documents import step
from reconciler.kubelet import configuration
from reconciler.kubelet.configuration import Effective
from reconciler.kubelet.findings import Finding
from reconciler.kubelet.machine import Machine
from reconciler.kubelet.quantity import Quantity
from reconciler.model import Severity

STATIC, NONE, BEST_EFFORT = "Static", "None", "BestEffort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One amount of reservedMemory, and where it is written."""

    node: int
    kind: str  # "memory", "hugepages-2Mi"
    amount: Quantity
    pointer: str


@dataclass(slots=True, kw_only=True)
class Judge:
    effective: Effective
    machine: Machine | None = None
    findings: list[Finding] = field(default_factory=list)

    def refuse(self, pointer: str, message: str, kubelet: str, hint: str = "") -> None:
        self.findings.append(Finding(problem=self.effective.problem(pointer, message, hint), kubelet=kubelet))

    def warn(self, pointer: str, message: str, hint: str = "") -> None:
        problem = self.effective.problem(pointer, message, hint, Severity.WARNING)
        self.findings.append(Finding(problem=problem))

    def note(self, pointer: str, message: str, hint: str = "") -> None:
        problem = self.effective.problem(pointer, message, hint, Severity.NOTE)
        self.findings.append(Finding(problem=problem))

    @property
    def policy(self) -> str:
        return self.effective.word("memoryManagerPolicy", NONE)


def limits(values: Mapping[str, Any]) -> tuple[Limit, ...]:
    """All amounts of reservedMemory, in their order."""
    found = []
    for index, entry in enumerate(values.get("reservedMemory") or ()):
        at = step(step("/reservedMemory", index), "limits")
        for kind, value in (entry.get("limits") or {}).items():
            amount = configuration.amount(value)
            found.append(Limit(node=entry.get("numaNode", 0), kind=kind, amount=amount, pointer=step(at, kind)))
    return tuple(found)
