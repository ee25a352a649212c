"""The multiplexer of the Node Resource Interface: two connections on one socket, in frames.

A frame is the connection's id and the payload's length, 32 bits each, big endian, and the payload. There is nothing
to open, close or acknowledge. Pure: bytes in, values out.

The 4096 rule: hosts read through a buffer of 4096 bytes, and one whose buffer is smaller than the frame kills the
connection. Only while it reads the body of a large message is its buffer large. So a message begins a frame, that
frame has at most 4096 bytes, and the rest follows in one more, which is what the hosts' own library does.
"""

import struct
from collections.abc import Iterator

PLUGIN = 1  # the runtime calls, we serve
RUNTIME = 2  # we call, the runtime serves

FIRST_FRAME = 4096
LARGEST_FRAME = 16 << 20  # the most that any host sends (NRI 0.6)
_HEADER = struct.Struct(">II")


class Garbage(ValueError):
    """What came in cannot be this protocol: the connection is of no more use."""


def frames(connection: int, message: bytes) -> Iterator[bytes]:
    """One message as the frames to send."""
    for part in filter(None, (message[:FIRST_FRAME], message[FIRST_FRAME:])):
        yield _HEADER.pack(connection, len(part)) + part


class Reader:
    """Takes bytes as they come, and gives back (connection, payload) for each complete frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            connection, length = _HEADER.unpack_from(self._buffer)
            if length > LARGEST_FRAME:
                raise Garbage(f"a frame of {length} bytes for connection {connection}; no host sends that")
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            payload = bytes(memoryview(self._buffer)[_HEADER.size : end])
            del self._buffer[:end]
            yield connection, payload
