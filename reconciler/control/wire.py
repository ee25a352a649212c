"""What both ends of the control API agree on: gRPC over a unix socket, JSON documents as messages, no generated code.

Methods of `ebbtide.v1.Control`: Status {} -> a Report; Accessed {workload, limits} -> an AccessedTable; Wake {reason}
-> {}; Held {} -> {process id: id of the workload that tracks it}; Prompt {workload, person, line} -> an Answer of
memtierd's prompt, `person` being a word of the client's choice that keeps what was selected apart from others';
History {workload} -> what reclaim has seen of it, as columns.
Answers are mappings, or dataclasses as `dataclasses.asdict` shows them.
"""

import json
import os
from dataclasses import asdict, is_dataclass
from typing import Any
from urllib.parse import quote

SERVICE = "ebbtide.v1.Control"
MOST_PATH = 107  # bytes of sun_path in unix(7), without the closing zero
OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),  # a report of thousands of workloads
    ("grpc.enable_http_proxy", 0),
    ("grpc.so_reuseport", 0),
]


def encode(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), default=_plain).encode()


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON document")


def decode(message: bytes) -> Any:
    return json.loads(message or b"{}")


def address(socket_path: str) -> str:
    """The path as gRPC wants it; gRPC reads it as an URI. Raises ValueError for a path that no socket can have."""
    path = os.path.abspath(socket_path)
    if len(os.fsencode(path)) > MOST_PATH:
        raise ValueError(f"{path}: longer than the {MOST_PATH} bytes that a unix socket's path may have")
    return f"unix:{quote(path)}"
