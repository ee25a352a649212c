"""Which virtual machines are told what, and in which words: the pure half of what goes to kata-agents.

A pod of a Kata runtime has a kernel of its own, in which the pod's memory is managed by Kata's own mem-agent. A class's
`memagent:` is for that one. There is one agent a pod, so the pod's containers share what it is told.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import Message

from reconciler.agent import kata_pb2 as pb
from reconciler.agentconfig import KataTask, MemagentConfig
from reconciler.model import Workload

SERVICE = "grpc.AgentService"
AGENT_PORT = 1024  # of vsock, within the virtual machine
METHODS: Mapping[str, str] = {"memcg": "MemAgentMemcgSet", "compact": "MemAgentCompactSet"}
_HANDLER = "kata"  # kata, kata-qemu, kata-clh, kata-fc and so on
_SANDBOX = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}\Z")  # it becomes part of a path


def is_kata(workload: Workload) -> bool:
    return workload.runtime_handler.startswith(_HANDLER) and bool(_SANDBOX.match(workload.sandbox))


def wanted(pairs: Iterable[tuple[Workload, MemagentConfig]]) -> tuple[KataTask, ...]:
    """One task a sandbox, in the order of their ids; of containers that differ the first by name is heard."""
    found: dict[str, KataTask] = {}
    for workload, config in sorted(pairs, key=lambda pair: pair[0].name):
        if not is_kata(workload):
            continue
        pod = f"{workload.namespace}/{workload.pod}"
        new = KataTask(sandbox=workload.sandbox, name=pod, config=config)
        first = found.setdefault(workload.sandbox, new)
        if first.config != config:
            note = f"container {workload.container} asks for something else, and a pod has one agent"
            found[workload.sandbox] = KataTask(sandbox=first.sandbox, name=pod, config=first.config, note=note)
    return tuple(found[sandbox] for sandbox in sorted(found))


def requests(config: MemagentConfig) -> tuple[tuple[str, Message], ...]:
    """Method and message of each call that this takes; fields that are not given are absent."""
    parts = (("memcg", config.memcg), ("compact", config.compact))
    return tuple((METHODS[section], message(section, pairs)) for section, pairs in parts if pairs)


def message(section: str, pairs: Iterable[tuple[str, bool | int]]) -> Message:
    values: dict[str, Any] = dict(pairs)
    return pb.MemAgentMemcgConfig(**values) if section == "memcg" else pb.MemAgentCompactConfig(**values)


# -- addresses ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where an agent listens: a unix socket, one behind which a hypervisor reaches a vsock port, or a vsock."""

    path: str = ""  # a leading @ = abstract
    hybrid: bool = False
    cid: int = 0
    port: int = AGENT_PORT

    def __str__(self) -> str:
        if not self.path:
            return f"vsock://{self.cid}:{self.port}"
        return f"hvsock://{self.path}:{self.port}" if self.hybrid else f"unix://{self.path}"


_FORMS = "an address is unix:///PATH, unix://@ABSTRACT, hvsock:///PATH:PORT, or vsock://CID:PORT"


def address(text: str, *, hybrid: bool = False, port: int = AGENT_PORT) -> Address:
    """As kata-agent-ctl reads it, and as a shim tells it (hvsock). `hybrid`: a unix socket is a hypervisor's."""
    scheme, separator, rest = text.partition("://")
    match scheme.lower() if separator and rest else "":
        case "unix":
            return Address(path=rest, hybrid=hybrid, port=port)
        case "hvsock":
            path, _, number = rest.rpartition(":")
            return Address(path=path or rest, hybrid=True, port=_number(number, text) if path else port)
        case "vsock":
            cid, _, number = rest.partition(":")
            return Address(cid=_number(cid, text), port=_number(number, text) if number else port)
        case _:
            raise ValueError(f"{text!r} is no address: {_FORMS}")


def _number(word: str, text: str) -> int:
    if not (word.isascii() and word.isdecimal()) or int(word) >= 1 << 32:
        raise ValueError(f"{text!r} is no address: {_FORMS}")
    return int(word)


# Below the root of the host; the first that is there is used. runtime-rs keeps them below /run/kata, runtime-go below
# /run/vc. Any other arrangement is known to the sandbox's shim.
PLACES = (
    "/run/kata/{id}/root/kata.hvsock",
    "/run/kata/{id}/root/ch-vm.sock",
    "/run/kata/firecracker/{id}/root/kata.hvsock",
    "/run/vc/vm/{id}/kata.hvsock",
    "/run/vc/vm/{id}/clh.sock",
    "/run/vc/firecracker/{id}/root/kata.hvsock",
)
SHIMS = ("/run/kata/{id}/shim-monitor.sock", "/run/vc/sbs/{id}/shim-monitor.sock")
