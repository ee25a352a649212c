"""Whether a kubelet would start with a configuration, by every rule that its memory, CPU and topology managers have."""

from dataclasses import dataclass

from reconciler.kubelet import configuration, reservations, settings
from reconciler.kubelet.configuration import Effective, Sources
from reconciler.kubelet.findings import Finding
from reconciler.kubelet.judging import Judge
from reconciler.kubelet.machine import Machine
from reconciler.kubelet.reservations import Required


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    effective: Effective
    required: Required
    findings: tuple[Finding, ...] = ()

    @property
    def starts(self) -> bool:
        return not any(finding.refuses for finding in self.findings)


def check(sources: Sources, machine: Machine | None = None) -> Verdict:
    """`machine`: None = files alone are looked at, and rules that need a machine are passed over."""
    loaded = configuration.load(sources)
    judge = Judge(effective=loaded.effective, machine=machine, findings=list(loaded.findings))
    settings.check(judge)
    required = reservations.check(judge)
    return Verdict(effective=loaded.effective, required=required, findings=tuple(judge.findings))
