"""A runtime, as far as a plugin can see: the other end of the protocol, for tests and benchmarks.

It is deliberately dumb: every byte it sends is asked for by the test. `Host.call` is what containerd does; `send_raw`
is for what no sane runtime does.
"""

import os
import socket
from dataclasses import dataclass, field
from typing import Self

from google.protobuf.message import Message

from nri import api_pb2 as api
from nri import mux, ttrpc

PLUGIN_SERVICE = api.DESCRIPTOR.services_by_name["Plugin"].full_name
GENEROUS = 60.0  # seconds; a test that waits this long has failed


@dataclass(slots=True)
class Host:
    """One accepted connection."""

    connection: socket.socket
    stream: int = 1
    frame: int = mux.FIRST_FRAME  # how the host cuts what it sends
    _frames: mux.Reader = field(default_factory=mux.Reader)
    _messages: dict[int, ttrpc.Reader] = field(
        default_factory=lambda: {mux.PLUGIN: ttrpc.Reader(), mux.RUNTIME: ttrpc.Reader()}
    )
    _waiting: list[tuple[int, ttrpc.Message]] = field(default_factory=list)

    def registration(self) -> api.RegisterPluginRequest:
        """Wait for the plugin to register; answers nothing yet."""
        message = self._next(mux.RUNTIME)
        assert isinstance(message, ttrpc.Request)
        assert (message.method, message.stream) == ("RegisterPlugin", 1)
        return api.RegisterPluginRequest.FromString(message.payload)

    def accept(self) -> None:
        self.send(mux.RUNTIME, ttrpc.Response(stream=1))

    def refuse(self, message: str) -> None:
        self.send(mux.RUNTIME, ttrpc.Response(stream=1, code=2, message=message))

    def handshake(
        self, *subjects: tuple[api.PodSandbox, api.Container], config: str = "", synchronize: bool = True
    ) -> api.ConfigureResponse:
        """Register, configure and synchronize, as every host does."""
        self.registration()
        self.accept()
        request = api.ConfigureRequest(config=config, runtime_name="containerd", runtime_version="1.7.24~ds1")
        configured = api.ConfigureResponse.FromString(self.call("Configure", request).payload)
        if synchronize:
            pods = {pod.id: pod for pod, _ in subjects}
            listed = api.SynchronizeRequest(pods=list(pods.values()), containers=[one for _, one in subjects])
            assert self.call("Synchronize", listed).code == 0
        return configured

    def call(self, method: str, request: Message | bytes, service: str = PLUGIN_SERVICE) -> ttrpc.Response:
        """Call the plugin and wait for its answer."""
        payload = request if isinstance(request, bytes) else request.SerializeToString()
        stream, self.stream = self.stream, self.stream + 2
        self.send(mux.PLUGIN, ttrpc.Request(stream=stream, service=service, method=method, payload=payload))
        return self.answer(stream)

    def answer(self, stream: int) -> ttrpc.Response:
        message = self._next(mux.PLUGIN)
        assert isinstance(message, ttrpc.Response)
        assert message.stream == stream
        return message

    def create(self, pod: api.PodSandbox, container: api.Container) -> dict[str, str]:
        """CreateContainer; the `unified` map of the adjustment."""
        done = self.call("CreateContainer", api.CreateContainerRequest(pod=pod, container=container))
        assert done.code == 0, done.message
        reply = api.CreateContainerResponse.FromString(done.payload)
        return dict(reply.adjust.linux.resources.unified)

    def event(self, method: str, pod: api.PodSandbox, container: api.Container | None = None) -> None:
        """An event in the manner of hosts since NRI 0.12."""
        done = self.call(method, api.ContainerRequest(pod=pod, container=container))
        assert (done.code, done.message) == (0, "")

    def state_change(self, event: api.Event, pod: api.PodSandbox, container: api.Container | None = None) -> None:
        """The same in the manner of older hosts."""
        done = self.call("StateChange", api.StateChangeEvent(event=event, pod=pod, container=container))
        assert (done.code, done.message) == (0, "")

    def settle(self) -> None:
        """Wait until the work of all calls so far is done: there is one thread, so an answer to one more will do."""
        assert self.call("NoSuchMethod", b"").code == 12

    def send(self, connection: int, message: ttrpc.Message) -> None:
        data = ttrpc.encode(message)
        for at in range(0, len(data), self.frame):
            part = data[at : at + self.frame]
            self.send_raw(connection.to_bytes(4, "big") + len(part).to_bytes(4, "big") + part)

    def send_raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def closed(self) -> bool:
        """Wait for the plugin to close the connection."""
        self.connection.settimeout(GENEROUS)
        try:
            while self.connection.recv(1 << 16):
                pass
        except ConnectionResetError:
            return True
        return True

    def close(self) -> None:
        self.connection.close()

    def _next(self, connection: int) -> ttrpc.Message:
        """The next message of this connection; those of the other wait for their turn."""
        self.connection.settimeout(GENEROUS)
        while True:
            for at, (where, message) in enumerate(self._waiting):
                if where == connection:
                    del self._waiting[at]
                    return message
            self._read()

    def _read(self) -> None:
        """Like a Go host: a message begins a frame, of at most 4096 bytes, or the connection is lost."""
        data = self.connection.recv(1 << 16)
        assert data, "the plugin closed the connection"
        for connection, payload in self._frames.feed(data):
            if not self._messages[connection]._buffer:
                assert len(payload) <= mux.FIRST_FRAME, "this frame would have killed the connection"
            for message in self._messages[connection].feed(payload):
                assert not isinstance(message, ttrpc.Oversize)
                self._waiting.append((connection, message))


class Listener:
    """The runtime's socket; closing it closes its connections, as the end of the runtime does."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.hosts: list[Host] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen()
        self._socket.settimeout(GENEROUS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        os.unlink(self.path)
        for host in self.hosts:
            host.close()

    def host(self) -> Host:
        """Wait for the next plugin that connects."""
        self.hosts.append(Host(self._socket.accept()[0]))
        return self.hosts[-1]


def pod(annotations: dict[str, str] | None = None, name: str = "web-0") -> api.PodSandbox:
    return api.PodSandbox(
        id=f"sandbox-{name}",
        name=name,
        uid=f"uid-{name}",
        namespace="default",
        labels={"app": "web"},
        annotations=annotations or {},
        linux=api.LinuxPodSandbox(cgroup_parent=f"/kubepods/pod{name}"),
    )


def container(ident: str, of: api.PodSandbox, name: str = "c0", limit: int = 0, pid: int = 0) -> api.Container:
    made = api.Container(
        id=ident,
        pod_sandbox_id=of.id,
        name=name,
        pid=pid,
        linux=api.LinuxContainer(cgroups_path=f"/kubepods/pod{of.name}/{ident}"),
    )
    if limit:
        made.linux.resources.memory.limit.value = limit
        made.linux.resources.memory.swap.value = limit
    return made
