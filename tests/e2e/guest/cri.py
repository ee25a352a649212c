"""What the kubelet says to containerd: a raw client of the Container Runtime Interface.

Its messages are generated when it is first used, from the .proto in Debian's golang-github-kubernetes-cri-api-dev.
"""

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc

from tests.e2e.guest import node, poll

PROTOS = Path("/usr/share/gocode/src")
API = "k8s.io/cri-api/pkg/apis/runtime/v1/api.proto"
GOGO = "github.com/gogo/protobuf/gogoproto/gogo.proto"  # older versions of the API import it
GENERATED = Path("/run/cri")
SECONDS = 120  # software emulation is slow
HOST_NETWORK = 2  # NamespaceMode NODE: needs no network plugin


def generated() -> ModuleType:
    files = [name for name in (API, GOGO) if (PROTOS / name).exists()]
    GENERATED.mkdir(exist_ok=True)
    poll.command("protoc", f"-I{PROTOS}", f"--python_out={GENERATED}", *files)
    sys.path.insert(0, str(GENERATED))
    return importlib.import_module(
        API.removesuffix(".proto").replace(".", "/").replace("-", "_").replace("/", ".") + "_pb2"
    )


class Client:
    """One method for all calls: `call("RunPodSandbox", config=...)`, with dictionaries for messages."""

    def __init__(self) -> None:
        self.messages = generated()

    def call(self, method: str, **fields: object) -> Any:
        request = getattr(self.messages, method + "Request")
        response = getattr(self.messages, method + "Response")
        with grpc.insecure_channel(f"unix://{node.SOCKET}") as channel:  # a new one: containerd restarts
            invoke = channel.unary_unary(
                f"/runtime.v1.RuntimeService/{method}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )
            return invoke(request(**fields), timeout=SECONDS, wait_for_ready=True)
