"""What the daemon's reclaim has seen of one workload: the question that `what-if` and `right-size` begin with."""

from typing import Any

from reconciler.cli import options, published, select
from reconciler.cli.failure import Exit, Failure

HINT = "its class needs a `reclaim:`; with `mode: observe` it takes nothing, and learns"


def read(common: options.Options, word: str) -> dict[str, Any]:
    """The answer, with `workload` and `name` of the one that `word` means."""
    standing = published.read(common)
    names = {workload.id: workload.name for workload in standing.report.workloads}
    workload = select.one(names, word)
    return {**_ask(common, workload), "workload": workload, "name": names[workload]}


def _ask(common: options.Options, workload: str) -> dict[str, Any]:
    from reconciler.control import client  # gRPC is heavy

    try:
        with client.Client(common.socket) as ends:
            return ends.history(workload)
    except client.Unknown as error:
        raise Failure(workload, str(error), hint=HINT, code=Exit.UNKNOWN) from error
    except client.Forbidden as error:
        raise Failure("the daemon", str(error), hint="try as root", code=Exit.PRIVILEGE) from error
    except client.Unavailable as error:
        raise Failure("the daemon", str(error), hint=published.START_HINT, code=Exit.STOPPED) from error
