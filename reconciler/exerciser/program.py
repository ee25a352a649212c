"""The exerciser at work: one loop does what is due next, so that nothing is touched while a line of truth is written.

meme has a thread for each reader and writer; Python's would take turns anyway, and forked children want none.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from reconciler import exercise
from reconciler.exerciser import rounds
from reconciler.exerciser.arrays import Array
from reconciler.exerciser.rounds import READ, WRITE, Exerciser, Manner
from reconciler.exerciser.settings import FOREVER, Every, Settings
from reconciler.exerciser.truth import Record

Wait = Callable[[float], bool]
"""Waits so many seconds; True as soon as somebody wants the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """How the loop reaches the world."""

    say: Callable[[str], None]  # a line for people
    tell: Callable[[str], None]  # a line of truth
    wait: Wait
    clock: Callable[[], float] = time.monotonic


@dataclass(slots=True)
class Timer:
    """When something that happens every so often is due."""

    every: Every
    due: float


class Loop:
    def __init__(self, settings: Settings, doors: Doors) -> None:
        self.settings, self.doors = settings, doors
        self.arrays: list[Array] = []
        self.exercisers: list[Exerciser] = []
        self.record = Record(os.getpid(), doors.clock(), doors.tell)
        self.manner = Manner(
            touch=settings.touch, report_s=settings.report_s, seed=settings.seed, say=doors.say, clock=doors.clock
        )
        self._timers: list[Timer] = []
        self._started = 0  # exercisers so far
        self._made = 0  # arrays so far

    # -- arrays ------------------------------------------------------------------------------------------------------

    def fill(self) -> None:
        self.doors.say(f"creating {self.settings.arrays} byte arrays")
        for _ in range(self.settings.arrays):
            self.add_array()

    def add_array(self) -> None:
        told = self.settings
        path = f"{told.file}.{self._made}" if told.file else ""
        array = Array(told.array_bytes, path=path, hugepages=told.hugepages, grows=told.grow is not None)
        self._made += 1
        self.arrays.append(array)
        self.doors.say(f"    array: {rounds.addresses(array, (0, array.size))}")
        self.record.add(READ if path else WRITE, array.start, array.end)
        self.staff(array)

    def staff(self, array: Array) -> None:
        """Give it a reader and a writer, as long as some are left."""
        for kind, most, pattern in (
            (READ, self.settings.readers, self.settings.reading),
            (WRITE, self.settings.writers, self.settings.writing),
        ):
            if sum(each.kind == kind for each in self.exercisers) < most:
                made = Exerciser(number=self._started, kind=kind, array=array, pattern=pattern, manner=self.manner)
                self._started += 1
                self.exercisers.append(made)
                made.start()

    def remove_array(self) -> None:
        if not self.arrays:
            return
        array = self.arrays.pop()
        where = rounds.addresses(array, (0, array.size))
        self.doors.say(f"    free array {len(self.arrays)}: {where}")
        for each in [each for each in self.exercisers if each.array is array]:
            each.stop()
            self.exercisers.remove(each)
        array.free()

    def change_arrays(self, change: Every) -> None:
        self.doors.say(f"    allocate {change.amount} arrays (every {change.interval_s:g} s)")
        for _ in range(abs(change.amount)):
            if change.amount > 0:
                self.add_array()
            else:
                self.remove_array()

    def grow(self, growth: Every) -> None:
        for array in self.arrays:
            low, high = array.grow(growth.amount)
            if low < high:
                self.record.add(WRITE, low, high)
                self.doors.say(f"    array: {rounds.addresses(array, (0, array.size))}")

    def alone(self, doors: Doors) -> None:
        """Go on as another process."""
        self.doors, self.record.pid = doors, os.getpid()
        self.manner = replace(self.manner, say=doors.say)
        for each in self.exercisers:
            each.manner = self.manner

    # -- time --------------------------------------------------------------------------------------------------------

    def run(self, lifetime_s: float) -> None:
        begun = self.doors.clock()
        self.begin_timers(begun)
        try:
            while (now := self.doors.clock()) < begun + lifetime_s:
                if self.doors.wait(max(min(self.next_due(), begun + lifetime_s) - now, 0.0)):
                    break
                self.do_what_is_due()
        finally:
            if self.doors.clock() > self.record.begin:
                self.flush()

    def begin_timers(self, now: float) -> None:
        """Time counts from here: filling large arrays takes long."""
        told = self.settings
        growths = [told.grow] if told.grow else []
        self._timers = [Timer(each, now + each.interval_s) for each in (*growths, *told.more_arrays)]
        self.flush()
        for each in self.exercisers:
            each.begun = each.due = each.reported = now

    def next_due(self) -> float:
        dues = [self.record.begin + self.settings.interval_s, *(timer.due for timer in self._timers)]
        return min([*dues, *(each.due for each in self.exercisers)])

    def do_what_is_due(self) -> None:
        now = self.doors.clock()
        if now >= self.record.begin + self.settings.interval_s:
            self.flush()
        for timer in self._timers:
            if now >= timer.due:
                timer.due += timer.every.interval_s
                (self.grow if timer.every is self.settings.grow else self.change_arrays)(timer.every)
        for each in [each for each in self.exercisers if each.due <= now]:
            each.round(self.record)

    def flush(self) -> None:
        self.record.flush(self.doors.clock(), [(each.start, each.end) for each in self.arrays])


def perform(settings: Settings, doors: Doors) -> None:
    """Everything from the first line to the last; files that were made are removed, whatever ends it."""
    doors.say(f"memory exerciser\npid: {os.getpid()}")
    loop = Loop(settings, doors)
    lifetime_s = FOREVER if settings.lifetime_s is None else settings.lifetime_s
    with orderly_end(), removed(loop):
        loop.fill()
        start_children(loop)
        if settings.lifetime_s is None:
            doors.say("press enter to exit...")
        loop.run(lifetime_s)


def start_children(loop: Loop) -> None:
    """They have nobody to reap them: the kernel does."""
    if not loop.settings.children:
        return
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    children = exercise.fork_children(loop.settings.children, lambda: live(loop))
    loop.doors.say(f"children: {' '.join(map(str, children))}")


def live(loop: Loop) -> None:
    """A child's life: with the same arrays, whose pages become its own when either of us writes."""
    lifetime_s = loop.settings.child_lifetime_s
    if loop.settings.children_do == "sleep":
        signal.pause() if lifetime_s == FOREVER else time.sleep(lifetime_s)
        return
    loop.alone(Doors(say=lambda _: None, tell=loop.doors.tell, wait=slept, clock=loop.doors.clock))
    loop.run(lifetime_s)


def slept(seconds: float) -> bool:
    time.sleep(seconds)
    return False


@contextmanager
def removed(loop: Loop) -> Iterator[None]:
    try:
        yield
    finally:
        for array in loop.arrays:
            array.remove_file()


@contextmanager
def orderly_end() -> Iterator[None]:
    """SIGTERM ends it as a full lifetime does."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
