"""Routines of the node, from `routines:` of class files: what they count is the sum over all workloads."""

from collections.abc import Callable

from reconciler.engine.console import Console
from reconciler.engine.errands import Errands
from reconciler.engine.routines import Routines, Stage
from reconciler.engineconfig import RoutineConfig

NODE = ""  # its key where workloads have their ids, which are never empty


class NodeRoutines:
    def __init__(
        self,
        console: Console,
        paged_out: Callable[[], int],
        output: Callable[[str], None],
        errands: Errands,
        clock: Callable[[], float],
    ) -> None:
        self._stage = Stage(name="node", console=console, paged_out=paged_out, output=output, errands=errands)
        self._clock = clock
        self._configs: tuple[RoutineConfig, ...] = ()
        self._routines = Routines((), self._stage, 0.0)

    def change(self, configs: tuple[RoutineConfig, ...]) -> bool:
        """Whether these are others than before; then they begin afresh, and the old ones end."""
        if configs == self._configs:
            return False
        old, self._configs = self._routines, configs
        self._routines = Routines(configs, self._stage, self._clock())
        old.stop()
        return True

    def run(self) -> float:
        routines = self._routines
        routines.run(self._clock())
        return routines.due()

    def notes(self) -> tuple[str, ...]:
        return tuple(self._routines.notes())

    def stop(self) -> None:
        self._routines.stop()
