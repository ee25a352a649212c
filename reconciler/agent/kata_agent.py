"""Calls to a kata-agent: ttrpc over a unix socket, over a hypervisor's socket, or over vsock; each with a deadline.

A hypervisor's socket ("hybrid vsock": Firecracker, Cloud Hypervisor, Dragonball) wants to be told which port of the
virtual machine is meant: `CONNECT 1024`, and answers `OK` and a number of its own, or closes.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from google.protobuf.message import Message

from nri import mux, ttrpc
from reconciler.agent import kata_rules
from reconciler.agent.kata_rules import Address

_LONGEST_LINE = 64
_LONGEST_ANSWER = 4096
_CHUNK = 1 << 16
_MOST_PATH = 107  # unix(7)

Left = Callable[[], float]


class Refused(Exception):
    """The agent answered, and what it answered is an error; its words."""


class Unreachable(Exception):
    """There was no answer, or none that makes sense; why."""


def call(address: Address, method: str, asked: Message, seconds: float, root: str = "") -> None:
    """One call that is answered with nothing. `root` is put before the path of a socket."""
    left = _countdown(seconds)
    try:
        with _connected(address, root, left) as connection:
            request = ttrpc.Request(
                stream=1,
                service=kata_rules.SERVICE,
                method=method,
                payload=asked.SerializeToString(),
                timeout_ns=int(seconds * 1e9),
            )
            connection.settimeout(left())
            connection.sendall(ttrpc.encode(request))
            answer = _answer(connection, left)
    except TimeoutError as error:
        raise Unreachable(f"no answer within {seconds:g} s") from error
    except (OSError, mux.Garbage) as error:
        raise Unreachable(getattr(error, "strerror", None) or str(error)) from error
    if answer.code != ttrpc.Code.OK:
        raise Refused(f"{answer.message or 'no reason given'} (code {answer.code})")


def _countdown(seconds: float) -> Left:
    end = time.monotonic() + seconds

    def left() -> float:
        rest = end - time.monotonic()
        if rest <= 0:
            raise TimeoutError
        return rest

    return left


def _answer(connection: socket.socket, left: Left) -> ttrpc.Response:
    reader = ttrpc.Reader()
    while True:
        connection.settimeout(left())
        data = connection.recv(_CHUNK)
        if not data:
            raise ConnectionResetError(0, "the agent closed the connection without an answer")
        for message in reader.feed(data):
            if isinstance(message, ttrpc.Response) and message.stream == 1:
                return message
            if isinstance(message, ttrpc.Oversize):
                raise mux.Garbage(f"an answer of {message.length} bytes, where nothing should come")


# -- connections -------------------------------------------------------------------------------------------------------


@contextmanager
def _connected(address: Address, root: str, left: Left) -> Iterator[socket.socket]:
    if not address.path:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as connection:
            connection.settimeout(left())
            connection.connect((address.cid, address.port))
            yield connection
        return
    with _unix(address.path, root, left) as connection:
        if address.hybrid:
            _knock(connection, address.port, left)
        yield connection


@contextmanager
def _unix(path: str, root: str, left: Left) -> Iterator[socket.socket]:
    """Also to a socket whose path is longer than an address may be: through its folder's descriptor."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(left())
        if path.startswith("@"):
            connection.connect("\0" + path[1:])
        elif len(os.fsencode(root + path)) <= _MOST_PATH:
            connection.connect(root + path)
        else:
            folder = os.open(os.path.dirname(root + path), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                connection.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
            finally:
                os.close(folder)
        yield connection


def _knock(connection: socket.socket, port: int, left: Left) -> None:
    connection.settimeout(left())
    connection.sendall(f"CONNECT {port}\n".encode())
    line = b""
    while not line.endswith(b"\n") and len(line) < _LONGEST_LINE:
        connection.settimeout(left())
        byte = connection.recv(1)  # not one more: what follows the line is the agent's
        if not byte:
            raise ConnectionResetError(0, f"the hypervisor closed the connection: nobody listens on port {port}")
        line += byte
    if not line.startswith(b"OK "):
        raise mux.Garbage(f"the hypervisor answers {line!r} and not OK; is this a hybrid vsock?")


def ask_shim(path: str, seconds: float, root: str = "") -> Address:
    """Where the agent of a sandbox listens, as its shim says (GET /agent-url). Raises Unreachable."""
    left = _countdown(seconds)
    try:
        with _unix(path, root, left) as connection:
            connection.sendall(b"GET /agent-url HTTP/1.0\r\nHost: shim\r\n\r\n")
            answer = b""
            while len(answer) < _LONGEST_ANSWER:
                connection.settimeout(left())
                data = connection.recv(_LONGEST_ANSWER)
                if not data:
                    break
                answer += data
        return _told(answer)
    except TimeoutError as error:
        raise Unreachable(f"the shim has not answered within {seconds:g} s") from error
    except (OSError, ValueError) as error:
        raise Unreachable(f"the shim: {getattr(error, 'strerror', None) or error}") from error


def _told(answer: bytes) -> Address:
    head, _, body = answer.decode("ascii", "replace").partition("\r\n\r\n")
    words = head.split(maxsplit=2)
    if len(words) < 2 or words[1] != "200":
        raise ValueError(f"it answers {' '.join(words[:2]) or 'nothing'}")
    return kata_rules.address(body.strip())
