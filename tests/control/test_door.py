"""The door alone: bytes go through whole, both ways, and nobody who stands in it holds up others. Its clock is ours."""

import contextlib
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.control import door
from reconciler.control.door import Door, Rooms


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Entrance:
    """A door, and what is behind it: a listening socket in place of gRPC's."""

    def __init__(self, folder: Path) -> None:
        self.path, self.clock = str(folder / "s"), Clock()
        self.behind = _listening(str(folder / "w"))
        self.door = Door(_listening(self.path), Rooms(write=str(folder / "w")), self.clock)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """A client, and the server's end of its connection."""
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(60)
        client.connect(self.path)
        server, _ = self.behind.accept()
        server.settimeout(60)
        return client, server


def _listening(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    listener.settimeout(60)
    return listener


@pytest.fixture
def entrance(tmp_path: Path) -> Iterator[Entrance]:
    made = Entrance(tmp_path)
    yield made
    made.door.close()
    made.behind.close()


def receive(end: socket.socket, length: int) -> bytes:
    data = bytearray()
    while len(data) < length and (part := end.recv(1 << 20)):
        data += part
    return bytes(data)


def test_bytes_go_through_whole_both_ways(entrance: Entrance) -> None:
    client, server = entrance.pair()
    data = bytes(range(256)) * 20_000
    for source, sink in ((client, server), (server, client)):
        sending = threading.Thread(target=source.sendall, args=(data,))
        sending.start()
        assert receive(sink, len(data)) == data
        sending.join()
    client.close()
    assert server.recv(1) == b""
    server.close()


def test_the_last_words_of_the_server_arrive(entrance: Entrance) -> None:
    client, server = entrance.pair()
    data = b"x" * 300_000
    sending = threading.Thread(target=_say_and_leave, args=(server, data))
    sending.start()

    assert receive(client, len(data) + 1) == data
    sending.join()
    client.close()


def _say_and_leave(end: socket.socket, data: bytes) -> None:
    with end:
        end.sendall(data)


def _talk_on(end: socket.socket) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while True:
            end.send(b"x" * (1 << 16))


def test_who_takes_nothing_is_dropped_and_holds_up_nobody(entrance: Entrance, caplog: pytest.LogCaptureFixture) -> None:
    slow, its_server = entrance.pair()
    its_server.settimeout(None)
    talking = threading.Thread(target=_talk_on, args=(its_server,))
    talking.start()
    client, server = entrance.pair()

    deadline = time.monotonic() + 60
    while talking.is_alive():
        entrance.clock.now += door.STALL_SECONDS + 1
        server.sendall(b"tick")  # something happens, so the door looks around
        assert client.recv(4) == b"tick"
        assert time.monotonic() < deadline

    assert "event=client-dropped" in caplog.text
    for end in (slow, its_server, client, server):
        end.close()


def test_a_server_that_is_gone_turns_people_away(entrance: Entrance, caplog: pytest.LogCaptureFixture) -> None:
    entrance.behind.close()
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(entrance.path)
            client.settimeout(60)
            assert client.recv(1) == b""

    assert caplog.text.count("event=turned-away") == 1, "one line in a minute is enough"


def test_without_descriptors_it_rests_and_goes_on(entrance: Entrance, caplog: pytest.LogCaptureFixture) -> None:
    waiting = socket.socket(socket.AF_UNIX)
    waiting.settimeout(60)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))  # not one more
    try:
        waiting.connect(entrance.path)
        deadline = time.monotonic() + 60
        while "Too many open files" not in caplog.text:
            assert time.monotonic() < deadline
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    entrance.clock.now += 2.0
    server, _ = entrance.behind.accept()
    waiting.sendall(b"at last")
    server.settimeout(60)
    assert server.recv(7) == b"at last"
    waiting.close()
    server.close()
    assert caplog.text.count("event=turned-away") == 1
