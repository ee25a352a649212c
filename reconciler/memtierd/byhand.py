"""A loop's mover as the prompt sees it: tasks by hand beside what the policy moves."""

from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.engine import tasks
from reconciler.engine.mover import Mover
from reconciler.engine.regions import Addresses


@dataclass(frozen=True, slots=True)
class ByHand:
    mover: Mover

    def add(self, pid: int, start: Addresses, end: Addresses, to: tuple[int, ...]) -> int:
        return self.mover.add(tasks.Task(pid=pid, to=to, ranges=(start, end)))

    def tasks(self) -> Sequence[tasks.TaskReport]:
        return self.mover.tasks()

    def remove(self, task: int) -> bool:
        return self.mover.remove(task)

    def pause(self) -> None:
        self.mover.pause()

    def proceed(self) -> None:
        self.mover.proceed()

    def state(self) -> str:
        return self.mover.state()
