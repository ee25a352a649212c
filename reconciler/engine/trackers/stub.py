"""The tracker that sees nothing: for policies that need to know what is where, not what is used."""

from collections.abc import Mapping

from reconciler.engine.processes import Process
from reconciler.engine.trackers.tracker import Means, Seen, nothing
from reconciler.report import AgeBin


class Stub:
    note = ""

    def __init__(self, means: Means) -> None:
        del means

    def roster(self, known: Mapping[int, Process]) -> None:
        """Nobody is tracked."""

    def begin(self, known: Process) -> None:
        """Nothing is tracked."""

    def look(self, known: Process) -> Seen:
        return Seen(accesses=nothing(len(known.regions)), writes=nothing(len(known.regions)))

    def finish(self) -> None:
        """Nothing is left to do."""

    def amounts(self) -> tuple[AgeBin, ...]:
        return ()

    def close(self) -> None:
        """Nothing is open."""
