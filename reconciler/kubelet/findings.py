"""What a check finds: a problem of ours, with the words that the kubelet itself would log."""

from dataclasses import dataclass

from reconciler.model import Problem, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An error is what a kubelet does not start with; its words are empty where it would say nothing."""

    problem: Problem
    kubelet: str = ""

    @property
    def refuses(self) -> bool:
        return self.problem.severity is Severity.ERROR
