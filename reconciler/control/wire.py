"""What both ends of the control API agree on: gRPC over a unix socket, the messages of control.proto, its limits.

Generic handlers and calls, no generated stubs: the stubs of one grpcio do not work with another.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any
from urllib.parse import quote

from google.protobuf.message import Message

from reconciler.control import control_pb2 as pb

SERVICE = "ebbtide.v1.Control"
MOST_PATH = 107  # bytes of sun_path in unix(7), without the closing zero
MOST_ASKED = 1 << 20  # bytes of a request
MOST_ANSWERED = 64 << 20  # a report of thousands of workloads
_EVERYWHERE = [("grpc.enable_http_proxy", 0), ("grpc.so_reuseport", 0)]
OF_SERVER = [
    *_EVERYWHERE,
    ("grpc.max_receive_message_length", MOST_ASKED),
    ("grpc.max_send_message_length", MOST_ANSWERED),
    ("grpc.max_concurrent_streams", 16),  # of one connection
    ("grpc.max_metadata_size", 8 << 10),
]
OF_CLIENT = [*_EVERYWHERE, ("grpc.max_receive_message_length", MOST_ANSWERED)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Of the service; `changes`: only for root."""

    asked: type[Message]
    answered: type[Message]
    changes: bool = False
    stream: bool = False


METHODS: Mapping[str, Method] = {
    "Status": Method(asked=pb.StatusRequest, answered=pb.Document),
    "Plan": Method(asked=pb.PlanRequest, answered=pb.Document),
    "Watch": Method(asked=pb.WatchRequest, answered=pb.Transition, stream=True),
    "MemcgGet": Method(asked=pb.Target, answered=pb.Document),
    "MemcgStatus": Method(asked=pb.Target, answered=pb.Document),
    "CompactGet": Method(asked=pb.Target, answered=pb.Document),
    "CompactStatus": Method(asked=pb.Target, answered=pb.Document),
    "Accessed": Method(asked=pb.AccessedRequest, answered=pb.Document),
    "History": Method(asked=pb.HistoryRequest, answered=pb.Document),
    "Heatmap": Method(asked=pb.HeatmapRequest, answered=pb.Document),
    "Stats": Method(asked=pb.StatsRequest, answered=pb.Document),
    "Held": Method(asked=pb.HeldRequest, answered=pb.HeldAnswer),
    "MemcgSet": Method(asked=pb.Change, answered=pb.Document, changes=True),
    "CompactSet": Method(asked=pb.Change, answered=pb.Document, changes=True),
    "MemcgReset": Method(asked=pb.Target, answered=pb.Document, changes=True),
    "CompactReset": Method(asked=pb.Target, answered=pb.Document, changes=True),
    "Pause": Method(asked=pb.PauseRequest, answered=pb.Done, changes=True),
    "Resume": Method(asked=pb.ResumeRequest, answered=pb.Done, changes=True),
    "Release": Method(asked=pb.ReleaseRequest, answered=pb.Done, changes=True),
    "Prompt": Method(asked=pb.PromptRequest, answered=pb.PromptAnswer, changes=True),
    "Wake": Method(asked=pb.WakeRequest, answered=pb.Done, changes=True),
}


def document(value: object) -> pb.Document:
    """Mappings, or dataclasses as `dataclasses.asdict` shows them."""
    return pb.Document(json=json.dumps(value, separators=(",", ":"), default=_plain))


def _plain(value: object) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} has no place in a JSON document")


def address(socket_path: str) -> str:
    """The path as gRPC wants it; gRPC reads it as an URI. Raises ValueError for a path that no socket can have."""
    path = os.path.abspath(socket_path)
    if len(os.fsencode(path)) > MOST_PATH:
        raise ValueError(f"{path}: longer than the {MOST_PATH} bytes that a unix socket's path may have")
    return f"unix:{quote(path)}"
