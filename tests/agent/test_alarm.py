"""Kernel triggers of pressure: when they fire, when their cgroup goes, and kernels that give none."""

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.agent import alarm
from reconciler.agent.alarm import Alarm
from reconciler.agentconfig import PsiConfig
from sysfs import pressure
from sysfs.errors import Gone, KernelError, Rejected, Unsupported
from sysfs.pressure import EVERYBODYS_WINDOW_US, LONGEST_WINDOW_US, Trigger
from sysfs.tree import Tree

HERE = Tree("/")
STALL_US = 50_000


class Pressed:
    """A file that polls as a trigger that has fired: a socket with urgent data."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self._sender = socket.create_connection(server.getsockname())
            self._receiver = server.accept()[0]
        self.total_us, self.accounts = 7_000_000, True
        file = self._receiver.makefile("rb", buffering=0)
        self.trigger = Trigger(file, "/a/memory.pressure", self.total, STALL_US)

    def total(self) -> int:
        if not self.accounts:
            raise Unsupported(95, "Operation not supported", "/a/memory.pressure")
        return self.total_us

    def press(self, stall_us: int = 1_000_000) -> None:
        self.total_us += stall_us
        self._sender.send(b"!", socket.MSG_OOB)

    def note(self) -> None:
        """As the kernel does by itself when the event is told."""
        self._receiver.recv(1, socket.MSG_OOB)

    def close(self) -> None:
        self.trigger.close()
        self._sender.close()
        self._receiver.close()


@pytest.fixture
def pressed() -> Iterator[Pressed]:
    made = Pressed()
    yield made
    made.close()


def gone() -> Trigger:
    """The writing end of a pipe that nobody reads polls as a trigger whose cgroup was removed."""
    reading, writing = os.pipe()
    os.close(reading)
    return Trigger(io.FileIO(writing, "w"), "/b/memory.pressure", lambda: 0, STALL_US)


def test_a_trigger_fires_once_told(pressed: Pressed) -> None:
    assert not pressed.trigger.fired()

    pressed.press()
    assert pressed.trigger.fired(60)
    pressed.note()
    assert not pressed.trigger.fired()


@pytest.mark.parametrize(("stall_us", "fires"), [(0, False), (STALL_US - 1, False), (STALL_US, True)])
def test_an_event_without_so_much_stall_since_the_beginning_is_none(
    pressed: Pressed, stall_us: int, *, fires: bool
) -> None:
    """The kernel tells of one at the beginning of a window that it has misplaced."""
    pressed.press(stall_us)

    assert pressed.trigger.fired(60) is fires


def test_a_trigger_says_when_its_cgroup_is_gone() -> None:
    trigger = gone()

    with pytest.raises(Gone, match=r"/b/memory\.pressure"):
        trigger.fired()
    trigger.close()


def test_any_trigger_raises_the_alarm(pressed: Pressed) -> None:
    other = Pressed()
    bell = Alarm([other.trigger, pressed.trigger])
    assert (bell.raised(), bell.silent) == (False, "")

    pressed.press()
    assert pressed.trigger.fired(60)
    assert bell.raised()
    bell.close()
    other.close()


def test_what_is_gone_raises_nothing_and_is_said(pressed: Pressed) -> None:
    bell = Alarm([gone(), pressed.trigger])

    assert not bell.raised()
    assert "/b/memory.pressure" in bell.silent
    pressed.press()
    assert pressed.trigger.fired(60)
    assert bell.raised()
    bell.close()


def test_without_pressure_files_it_stays_silent(tmp_path: Path) -> None:
    bell = alarm.watch(Tree(tmp_path), 5, PsiConfig())

    assert not bell.raised()
    assert bell.silent == "[Errno 2] No such file or directory: '/proc/pressure/io'"
    bell.close()


def test_what_is_accounted_no_more_raises_nothing(pressed: Pressed) -> None:
    pressed.press()
    assert pressed.trigger.fired(60)
    pressed.accounts = False
    bell = Alarm([pressed.trigger])

    assert not bell.raised()
    assert bell.silent == "[Errno 95] Operation not supported: '/a/memory.pressure'"
    bell.close()


def has_psi() -> bool:
    try:
        pressure.read(HERE)
        HERE.open(pressure.NODE, write=True).close()
    except KernelError:
        return False
    return True


needs_psi = pytest.mark.skipif(not has_psi(), reason="this kernel accounts no pressure, or not for us")


@needs_psi
@pytest.mark.parametrize(
    ("stall_us", "window_us"),
    [
        (0, EVERYBODYS_WINDOW_US),
        (EVERYBODYS_WINDOW_US + 1, EVERYBODYS_WINDOW_US),
        (1, LONGEST_WINDOW_US + EVERYBODYS_WINDOW_US),
    ],
)
def test_this_kernel_refuses_what_makes_no_sense(stall_us: int, window_us: int) -> None:
    with pytest.raises(Rejected, match=pressure.NODE):
        pressure.trigger(HERE, pressure.NODE, "some", stall_us, window_us)


@needs_psi
def test_this_kernel_gives_a_trigger_to_everybody() -> None:
    trigger = pressure.trigger(HERE, pressure.NODE, "full", EVERYBODYS_WINDOW_US, EVERYBODYS_WINDOW_US)

    assert not trigger.fired()
    trigger.close()


@needs_psi
@pytest.mark.parametrize(("limit", "can"), [(0, True), (99.9, True), (100, False), (150, False)])
def test_an_alarm_of_this_kernel(limit: float, can: bool) -> None:
    """More than all of the time is never."""
    bell = alarm.watch(HERE, limit, PsiConfig())

    assert (bell.silent == "") is can
    bell.close()
