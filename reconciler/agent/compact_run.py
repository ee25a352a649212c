"""One compaction, from its start to the end of the child that does it; it never goes on without somebody watching.

The kernel compacts inside the write, without a limit of its own, and listens only to what ends the writer. So a child
writes, and is killed when it takes too long, when tasks begin to wait, or when nobody wants the compaction any more.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event
from typing import Protocol

from reconciler import children
from reconciler.agent import alarm, pressure
from reconciler.agentconfig import PsiConfig
from sysfs import compaction
from sysfs.tree import Tree

STEP_S = 0.1  # between two looks at the child, the clock and the alarm
LOOK_S = 1.0  # between two readings of pressure, as mem-agent's
PATIENCE_S = 5.0  # for a killed child: the kernel finishes the blocks in its hands


class Writer(Protocol):
    """A child that writes, of reconciler/children.py."""

    def ended(self) -> int | None: ...

    def kill(self) -> None: ...


class Bell(Protocol):
    """The part of an alarm that is needed here."""

    def raised(self) -> bool: ...

    def close(self) -> None: ...


class News(Protocol):
    """A `threading.Event` by which other threads say that something is new."""

    def set(self) -> None: ...

    def clear(self) -> None: ...

    def wait(self, seconds: float, /) -> object: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What a compaction does to the world; tests have others."""

    tree: Tree
    clock: Callable[[], float]
    news: News = field(default_factory=Event)
    start: Callable[[str, str], Writer] = children.writing
    alarm: Callable[[Tree, float, PsiConfig], Bell] = alarm.watch

    def wait(self) -> None:
        """For the next step, or for news."""
        self.news.wait(STEP_S)
        self.news.clear()


class Stop(StrEnum):
    """What ended a compaction before its end."""

    TIME = "time"
    PRESSURE = "pressure"
    CHANGE = "change"  # of the configuration: nobody wants it now
    END = "end"  # of us


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    by: Stop
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """They hold from the next look on, also for a compaction under way."""

    until: float  # monotonic seconds
    percent: float
    psi: PsiConfig


Wanted = Callable[[], Limits | Stopped]  # asked at each look


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    ran: bool = True  # else nothing was compacted
    stopped: Stopped | None = None
    error: str = ""  # why nothing was compacted, or what is wrong now
    left: Writer | None = None  # killed, and still inside the kernel
    unread: str = ""  # why pressure could not stop it


def compact(doors: Doors, node: int | None, wanted: Wanted) -> Ending:
    """Compact one memory node, or all (None), and come back when that is over, or was ended."""
    path = compaction.file(node)
    watch = _Watch(doors, wanted)
    try:
        if stopped := watch.look():
            return Ending(ran=False, stopped=stopped)
        try:
            writer = doors.start(doors.tree.path(path), compaction.ORDER)
        except OSError as error:
            return Ending(ran=False, error=f"no process for the compaction could be started: {error}")
        return _follow(doors, watch, writer, path)
    finally:
        watch.close()


def _follow(doors: Doors, watch: "_Watch", writer: Writer, path: str) -> Ending:
    try:
        while (status := writer.ended()) is None:
            if stopped := watch.look():
                return _killed(doors, writer, stopped, watch.unread)
            doors.wait()
    except BaseException:  # a bug: the next pass must not find a compaction that nobody watches
        writer.kill()
        raise
    error = _said(path, status)
    return Ending(ran=not error, error=error, unread=watch.unread)


def _killed(doors: Doors, writer: Writer, stopped: Stopped, unread: str) -> Ending:
    writer.kill()
    end = doors.clock() + PATIENCE_S
    while writer.ended() is None:
        if doors.clock() >= end:
            said = f"the compaction was killed (by {stopped.by}) and has not ended {PATIENCE_S:g} s later"
            return Ending(stopped=stopped, left=writer, error=f"{said}; the next one waits for it", unread=unread)
        doors.wait()
    return Ending(stopped=stopped, unread=unread)


def _said(path: str, status: int) -> str:
    """Of a child that nobody has stopped."""
    if status < 0:
        return f"{path}: the process that writes there ended before it was done (status {status})"
    if status == errno.ENOENT:
        return f"{path} is not there: this kernel compacts nothing on demand (CONFIG_COMPACTION)"
    return f"{path}: {os.strerror(status)}" if status else ""


class _Watch:
    """Looks for reasons to stop: the caller's, time, the kernel's alarm, and a meter once a second."""

    def __init__(self, doors: Doors, wanted: Wanted) -> None:
        self._doors, self._wanted = doors, wanted
        self._meter = pressure.Meter(doors.tree, doors.clock)
        self._next = doors.clock()
        self._bell: Bell = alarm.Alarm()
        self._set: tuple[float, PsiConfig] | None = None  # what the bell rings at
        self.unread = ""

    def look(self) -> Stopped | None:
        limits = self._wanted()
        if isinstance(limits, Stopped):
            return limits
        if self._doors.clock() >= limits.until:
            return Stopped(by=Stop.TIME, reason="it took longer than compact_sec_max")
        return self._pressed(limits)

    def _pressed(self, limits: Limits) -> Stopped | None:
        self._listen(limits)
        if self._bell.raised():
            said = f"the kernel saw tasks wait more than {limits.percent:g} % of the time"
            return Stopped(by=Stop.PRESSURE, reason=said)
        if self._doors.clock() < self._next:
            return None
        self._next = self._doors.clock() + LOOK_S
        verdict = pressure.judge(self._meter, limits.psi, limits.percent)
        self.unread = "" if verdict.stop else verdict.reason
        reason = verdict.reason.removeprefix("pressure: ")
        return Stopped(by=Stop.PRESSURE, reason=reason) if verdict.stop else None

    def _listen(self, limits: Limits) -> None:
        if self._set != (limits.percent, limits.psi):
            self._bell.close()
            self._bell = self._doors.alarm(self._doors.tree, limits.percent, limits.psi)
            self._set = (limits.percent, limits.psi)

    def close(self) -> None:
        self._bell.close()
