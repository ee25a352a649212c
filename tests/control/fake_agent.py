"""A kata-agent as far as its callers can see: ttrpc on a unix socket, plainly or behind a hypervisor's hybrid vsock.

It speaks through libraries of its own as little as possible: frames and protobuf are taken apart by hand, so that a
wrong field number of ours cannot hide in code that both ends share.
"""

import contextlib
import os
import socket
import struct
import threading
from dataclasses import dataclass, field
from pathlib import Path

HEADER = struct.Struct(">IIBB")


@dataclass(frozen=True, kw_only=True)
class Heard:
    service: str
    method: str
    fields: dict[int, int]  # of the message: number -> varint
    timeout_ns: int = 0


@dataclass
class FakeAgent:
    """Answers each call; what it does otherwise is switched by the test."""

    path: Path
    hybrid_port: int = 0  # 0 = no hypervisor in between
    error: str = ""  # what it answers instead, with code INTERNAL
    silent: bool = False  # takes calls and never answers
    garbage: bytes = b""  # what it says instead of an answer
    knock: bytes = b""  # what the hypervisor says instead of OK
    heard: list[Heard] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        folder = os.open(self.path.parent, os.O_PATH)
        self._listener.bind(f"/proc/self/fd/{folder}/{self.path.name}")  # a test's folder may have a long name
        os.close(folder)
        self._listener.listen()
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for each in self._held:
            each.close()
        self.path.unlink()

    def restart(self) -> None:
        """The sandbox, as another virtual machine with the same name."""
        self.close()
        (self.path.parent / "in between").touch()  # so that the next socket has another inode
        self.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with contextlib.suppress(OSError, struct.error):
                self._talk(connection)
            if not self.silent:
                connection.close()

    def _talk(self, connection: socket.socket) -> None:
        if self.silent:
            self._held.append(connection)
        if self.hybrid_port and not self._open_port(connection):
            return
        length, stream, kind, _ = HEADER.unpack(_exactly(connection, HEADER.size))
        assert (stream % 2, kind) == (1, 1)
        request = _message(_exactly(connection, length))
        payload = _message(bytes(request.get(3, b"")))
        self.heard.append(
            Heard(
                service=_text(request[1]),
                method=_text(request[2]),
                fields={number: value for number, value in payload.items() if isinstance(value, int)},
                timeout_ns=int(request.get(4, 0)),
            )
        )
        if not self.silent:
            connection.sendall(self.garbage or self._answer(stream))

    def _open_port(self, connection: socket.socket) -> bool:
        line = b""
        while not line.endswith(b"\n"):
            line += _exactly(connection, 1)
        if line != b"CONNECT %d\n" % self.hybrid_port:
            return False  # as the hypervisors do: nobody listens there, so the connection ends
        connection.sendall(self.knock or b"OK 1073741824\n")
        return not self.knock

    def _answer(self, stream: int) -> bytes:
        body = b""
        if self.error:
            said = self.error.encode()
            status = b"\x08\x0d" + b"\x12" + bytes([len(said)]) + said
            body = b"\x0a" + bytes([len(status)]) + status
        return HEADER.pack(len(body), stream, 2, 0) + body


def _exactly(connection: socket.socket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        part = connection.recv(length - len(data))
        if not part:
            raise ConnectionResetError
        data += part
    return data


def _text(value: int | bytes) -> str:
    assert isinstance(value, bytes)
    return value.decode()


def _message(data: bytes) -> dict[int, int | bytes]:
    """Fields of a protobuf message by number: varints, and what has a length."""
    found: dict[int, int | bytes] = {}
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, at = _varint(data, at)
        if tag & 7 == 2:
            found[tag >> 3] = data[at : at + value]
            at += value
        else:
            assert tag & 7 == 0
            found[tag >> 3] = value
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if data[at - 1] < 0x80:
            return value, at
