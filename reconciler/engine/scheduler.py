"""One scheduler for all workloads: a heap of deadlines and a few worker threads.

A job is a function that does what is due and says when it wants to run next. It never runs twice at once, so its own
state needs no lock. A job that raises is dropped and reported, the others go on.
"""

import heapq
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

Run = Callable[[], float]  # returns the next deadline, on the scheduler's clock
Died = Callable[[str, BaseException], None]

_LONGEST_WAIT_S = 60.0
_MOST_WAITING = 30


@dataclass(slots=True, eq=False)
class _Job:
    key: str
    run: Run
    removed: bool = field(default=False)
    number: int = 0  # of its entry in the heap that counts; 0 = it runs now
    latest: float = float("inf")  # when it runs again, as far as is known


class Scheduler:
    """With `workers=0` nothing runs by itself: tests call `turn`."""

    def __init__(self, died: Died, clock: Callable[[], float], workers: int = 2) -> None:
        self._died, self._clock = died, clock
        self._heap: list[tuple[float, int, _Job]] = []
        self._jobs: dict[str, _Job] = {}
        self._numbers = count(1)  # equal deadlines: first come, first served
        self._changed = threading.Condition()
        self._closed = False
        self._least = workers
        self._threads: list[threading.Thread] = []
        self.widen(0)

    def widen(self, waiting: int) -> None:
        """Have a thread more for each of so many jobs that wait for somebody else; idle threads cost next to nothing.

        Without threads of its own it gets none.
        """
        with self._changed:
            wanted = self._least + min(waiting, _MOST_WAITING) if self._least and not self._closed else 0
            new = [
                threading.Thread(target=self._work, name=f"engine-{number}", daemon=True)
                for number in range(len(self._threads), wanted)
            ]
            self._threads += new
        for thread in new:
            thread.start()

    def add(self, key: str, run: Run) -> None:
        """Run it now, and then whenever it says; a job of the same key is replaced."""
        with self._changed:
            self._drop(key)
            job = self._jobs[key] = _Job(key, run)
            self._push(job, self._clock())

    def remove(self, key: str) -> None:
        """It does not run again; a run under way ends by itself."""
        with self._changed:
            self._drop(key)

    def hurry(self, key: str, deadline: float) -> None:
        """Run it no later than this; if it runs now, then again."""
        with self._changed:
            job = self._jobs.get(key)
            if job is None or self._closed:
                return
            if deadline < job.latest:
                job.latest = deadline
                if job.number:
                    self._push(job, deadline)

    def close(self, patience: float = 5.0) -> None:
        """No more jobs; waits a moment for those under way."""
        with self._changed:
            self._closed = True
            self._heap.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(patience)

    def turn(self) -> bool:
        """Run one job that is due, if there is one."""
        with self._changed:
            job = self._take()
        if job is None:
            return False
        self._perform(job)
        return True

    def next_deadline(self) -> float:
        with self._changed:
            self._forget_removed()
            return self._heap[0][0] if self._heap else float("inf")

    def _work(self) -> None:
        while job := self._await():
            self._perform(job)

    def _await(self) -> _Job | None:
        """The next job when it is due, or nothing when all is over."""
        with self._changed:
            while not self._closed:
                if job := self._take():
                    return job
                self._changed.wait(self._pause())
        return None

    def _perform(self, job: _Job) -> None:
        try:
            deadline = job.run()
        except Exception as error:  # noqa: BLE001 the one guard of a loop: whatever it was, it is reported
            if self._retire(job):
                self._died(job.key, error)
            return
        with self._changed:
            if not job.removed and not self._closed:
                self._push(job, deadline)

    def _retire(self, job: _Job) -> bool:
        """Whether it still counted: a removed job's successor of the same key must not pay for it."""
        with self._changed:
            counted = not job.removed
            if counted:
                self._drop(job.key)
        return counted

    def _push(self, job: _Job, deadline: float) -> None:
        """An entry of its own for each deadline; only the last one counts."""
        job.number = next(self._numbers)
        job.latest = min(deadline, job.latest)
        heapq.heappush(self._heap, (job.latest, job.number, job))
        self._changed.notify()

    def _take(self) -> _Job | None:
        self._forget_removed()
        if self._heap and self._heap[0][0] <= self._clock():
            job = heapq.heappop(self._heap)[2]
            job.number, job.latest = 0, float("inf")
            return job
        return None

    def _forget_removed(self) -> None:
        while self._heap and (self._heap[0][2].removed or self._heap[0][1] != self._heap[0][2].number):
            heapq.heappop(self._heap)

    def _pause(self) -> float:
        if not self._heap:
            return _LONGEST_WAIT_S
        return min(max(self._heap[0][0] - self._clock(), 0.0), _LONGEST_WAIT_S)

    def _drop(self, key: str) -> None:
        if job := self._jobs.pop(key, None):
            job.removed = True
