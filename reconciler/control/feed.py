"""Transitions for those who follow them: each has a queue of its own, and a full one ends that reader, nobody else."""

import threading
from collections import deque
from collections.abc import Iterator

from reconciler.report import Transition

REMEMBERED = 500  # transitions, for those who come later
MOST_WAITING = 2000  # in one queue


class TooSlow(Exception):
    """Transitions were lost for this reader."""


class Reader:
    """One follower's queue."""

    def __init__(self, past: list[Transition], most: int) -> None:
        self._queue, self._most = deque(past), most
        self._changed = threading.Condition()
        self._closed, self._late = False, False

    def put(self, one: Transition) -> None:
        with self._changed:
            if len(self._queue) >= self._most:
                self._late = True
            else:
                self._queue.append(one)
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator[Transition]:
        """Until it is closed. Raises TooSlow at once when something was lost: a history with holes is none."""
        while (found := self._next()) is not None:
            yield found

    def _next(self) -> Transition | None:
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed or self._late)
            if self._late:
                said = f"{self._most} transitions were waiting for you, and more came; the daemon does not keep them"
                raise TooSlow(said)
            return None if self._closed else self._queue.popleft()


class Feed:
    def __init__(self, *, remembered: int = REMEMBERED, waiting: int = MOST_WAITING) -> None:
        self._past: deque[Transition] = deque(maxlen=remembered)
        self._waiting = waiting
        self._readers: set[Reader] = set()
        self._lock = threading.Lock()

    def publish(self, one: Transition) -> None:
        """Never waits."""
        with self._lock:
            self._past.append(one)
            for reader in self._readers:
                reader.put(one)

    def past(self, most: int) -> list[Transition]:
        """The latest ones, oldest first."""
        with self._lock:
            return list(self._past)[-most:] if most else []

    def follow(self, past: int = 0) -> Reader:
        """Everything from now on, and before it the latest `past`; `leave` when done."""
        with self._lock:
            begin = list(self._past)[-past:] if past else []
            reader = Reader(begin, self._waiting + len(begin))
            self._readers.add(reader)
            return reader

    def leave(self, reader: Reader) -> None:
        reader.close()
        with self._lock:
            self._readers.discard(reader)
