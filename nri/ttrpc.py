"""ttrpc, the part of it that the Node Resource Interface uses: unary calls. Pure: bytes in, values out.

A message has a header of ten bytes (length of the body, stream, type, flags) and a protobuf envelope as its body. An
empty body is an answer, too: all is well, and there is nothing to tell.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from google.protobuf.message import DecodeError

from nri import envelope_pb2 as envelope
from nri.mux import Garbage

LARGEST_BODY = 4 << 20
_HEADER = struct.Struct(">IIBB")
_REQUEST, _RESPONSE = 1, 2  # 3 is the data of streams, which nobody uses here


class Code(IntEnum):
    """Those of google.rpc.Code that are of use here."""

    OK = 0
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    stream: int
    service: str
    method: str
    payload: bytes = b""
    timeout_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    stream: int
    payload: bytes = b""
    code: int = Code.OK
    message: str = ""


Message = Request | Response


@dataclass(frozen=True, slots=True, kw_only=True)
class Oversize:
    """A message whose body was too large to be kept; a request deserves an answer all the same."""

    stream: int
    length: int
    request: bool


def encode(message: Message) -> bytes:
    if isinstance(message, Request):
        kind, body = _REQUEST, _request(message)
    else:
        kind, body = _RESPONSE, _response(message)
    if len(body) > LARGEST_BODY:
        raise ValueError(f"a message of {len(body)} bytes; the protocol's limit is {LARGEST_BODY}")
    return _HEADER.pack(len(body), message.stream, kind, 0) + body


class Reader:
    """Takes the payloads of one connection's frames as they come, and gives back complete messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._skip = 0  # bytes of an oversize body that are still to come

    def feed(self, data: bytes) -> Iterator[Message | Oversize]:
        self._buffer += data
        while self._drop_skipped() and len(self._buffer) >= _HEADER.size:
            length, stream, kind, _ = _HEADER.unpack_from(self._buffer)
            if length > LARGEST_BODY:
                del self._buffer[: _HEADER.size]
                self._skip = length
                yield Oversize(stream=stream, length=length, request=kind == _REQUEST)
                continue
            end = _HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(memoryview(self._buffer)[_HEADER.size : end])
            del self._buffer[:end]
            if kind in (_REQUEST, _RESPONSE):  # anything else is of a newer protocol, and not for us
                yield _decode(kind, stream, body)

    def _drop_skipped(self) -> bool:
        dropped = min(self._skip, len(self._buffer))
        del self._buffer[:dropped]
        self._skip -= dropped
        return self._skip == 0


def _request(message: Request) -> bytes:
    return envelope.Request(
        service=message.service,
        method=message.method,
        payload=message.payload,
        timeout_nano=message.timeout_ns,
    ).SerializeToString()


def _response(message: Response) -> bytes:
    body = envelope.Response(payload=message.payload)
    if message.code != Code.OK:
        body.status.code = message.code
        body.status.message = message.message
    return body.SerializeToString()


def _decode(kind: int, stream: int, body: bytes) -> Message:
    try:
        if kind == _REQUEST:
            request = envelope.Request.FromString(body)
            return Request(
                stream=stream,
                service=request.service,
                method=request.method,
                payload=request.payload,
                timeout_ns=request.timeout_nano,
            )
        response = envelope.Response.FromString(body)
    except DecodeError as error:
        raise Garbage(f"a message whose envelope is no protobuf (stream {stream}, {len(body)} bytes)") from error
    return Response(stream=stream, payload=response.payload, code=response.status.code, message=response.status.message)
