"""What the service manager hears, on a real datagram socket."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.systemd import ServiceManager, watchdog_seconds


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield heard


def test_each_message_is_one_datagram(listener: socket.socket) -> None:
    manager = ServiceManager()
    manager.status("2 workloads\nREADY=1")
    manager.ready()
    manager.reloading(1.5)
    manager.alive()
    manager.stopping()
    manager.close()

    assert [listener.recv(200).decode() for _ in range(5)] == [
        "STATUS=2 workloads READY=1",
        "READY=1",
        "RELOADING=1\nMONOTONIC_USEC=1500000",
        "WATCHDOG=1",
        "STOPPING=1",
    ]


def test_an_unchanged_status_is_not_repeated(listener: socket.socket) -> None:
    manager = ServiceManager()
    manager.status("a")
    manager.status("a")
    manager.ready()
    manager.close()

    assert [listener.recv(200) for _ in range(2)] == [b"STATUS=a", b"READY=1"]


def test_without_a_service_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)

    ServiceManager().ready()


@pytest.mark.parametrize(
    ("microseconds", "pid", "seconds"),
    [("30000000", "", 30.0), ("30000000", "own", 30.0), ("30000000", "1", None), ("", "", None), ("x", "", None)],
)
def test_the_watchdogs_time_is_ours_only_if_it_names_us(
    monkeypatch: pytest.MonkeyPatch, microseconds: str, pid: str, seconds: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", microseconds)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()) if pid == "own" else pid)

    assert watchdog_seconds() == seconds
