"""A mover with a thread of its own and no policy: for tests of tasks by hand, and stories on real kernels."""

import time
from collections.abc import Callable

from reconciler.engine.mover import Mover
from reconciler.engine.scheduler import Scheduler
from reconciler.engine.site import Doors
from reconciler.engineconfig import MoverConfig

_KEY = "mover"


class Standalone:
    """`mover` may be used from any thread. With `workers=0` nothing runs by itself: tests call `scheduler.turn`."""

    def __init__(
        self, doors: Doors, config: MoverConfig, clock: Callable[[], float] = time.monotonic, workers: int = 1
    ) -> None:
        self._clock = clock
        self.error = ""  # why it ended by itself
        self.mover = Mover(doors, config, clock, wake=self._hasten)
        self.mover.running = False
        self.scheduler = Scheduler(self._died, clock, workers)

    def start(self) -> None:
        """Again, too, after it was stopped."""
        self.error, self.mover.running = "", True
        self._hasten()

    def stop(self) -> None:
        """Tasks wait until it is started again."""
        self.mover.running = False
        self.scheduler.remove(_KEY)

    def close(self) -> None:
        self.stop()
        self.scheduler.close()
        self.mover.close()

    def _hasten(self) -> None:
        if self.mover.running:
            self.scheduler.add(_KEY, self._turn)

    def _turn(self) -> float:
        self.mover.step({}, lambda: not self.mover.running)
        return self._clock() + self.mover.wait() if self.mover.pending() else float("inf")

    def _died(self, key: str, error: BaseException) -> None:
        del key
        self.mover.running = False
        self.error = f"{type(error).__name__}: {error}"
