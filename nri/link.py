"""A socket to the runtime, with whole messages on it. One thread: what comes in is handled before the next is read."""

import logging
import socket
from collections.abc import Iterator

from nri import mux, ttrpc
from reconciler import logfmt

log = logging.getLogger("ebbtide.nri.messages")

SEND_SECONDS = 10.0
_CHUNK = 1 << 18


class Closed(ConnectionError):
    """The runtime closed the connection."""


class Link:
    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._frames = mux.Reader()
        self._messages = {mux.PLUGIN: ttrpc.Reader(), mux.RUNTIME: ttrpc.Reader()}

    def receive(self, seconds: float) -> Iterator[tuple[int, ttrpc.Message | ttrpc.Oversize]]:
        """What came within this time; nothing is normal. `Closed` at the end, `Garbage` if it is not the protocol."""
        self._socket.settimeout(max(seconds, 0.001))
        try:
            data = self._socket.recv(_CHUNK)
        except TimeoutError:
            return
        if not data:
            raise Closed("the runtime closed the connection")
        for connection, payload in self._frames.feed(data):
            if connection not in self._messages:
                continue  # a connection that we never opened: the protocol says to drop it
            for message in self._messages[connection].feed(payload):
                _log("received", message)
                yield connection, message

    def send(self, connection: int, message: ttrpc.Message) -> None:
        _log("sent", message)
        self._socket.settimeout(SEND_SECONDS)
        for frame in mux.frames(connection, ttrpc.encode(message)):
            self._socket.sendall(frame)

    def close(self) -> None:
        self._socket.close()


def _log(direction: str, message: ttrpc.Message | ttrpc.Oversize) -> None:
    if not log.isEnabledFor(logging.INFO):
        return
    if isinstance(message, ttrpc.Request):
        facts: dict[str, object] = {"call": message.method, "stream": message.stream, "bytes": len(message.payload)}
    elif isinstance(message, ttrpc.Response):
        facts = {"reply": message.stream, "bytes": len(message.payload), "code": message.code or None}
        facts |= {"message": message.message}
    else:
        facts = {"oversize": message.stream, "bytes": message.length}
    log.info(logfmt.line(f"event={direction}", **facts))
