"""What the daemon's reclaim has seen of one workload: the question that `what-if` and `right-size` begin with."""

from typing import Any

from reconciler.cli import asking, options, published, select

HINT = "its class needs a `reclaim:`; with `mode: observe` it takes nothing, and learns"


def read(common: options.Options, word: str) -> dict[str, Any]:
    """The answer, with `workload` and `name` of the one that `word` means."""
    standing = published.read(common)
    names = {workload.id: workload.name for workload in standing.report.workloads}
    workload = select.one(names, word)
    return {**_ask(common, workload), "workload": workload, "name": names[workload]}


def _ask(common: options.Options, workload: str) -> dict[str, Any]:
    with asking.daemon(common, workload, hint=HINT) as ends:
        answer: dict[str, Any] = ends.history(workload)
        return answer
