"""Pods from Kubernetes manifests, as the kubelet would run them, and what is known about their containers."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.guest import cri, node, poll

CGROUPS = Path("/sys/fs/cgroup")
LOGS = Path("/var/log/pods")
EXERCISER = "/src/reconciler/exercise.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """One range of the exerciser, by its own word."""

    role: str
    start: int
    end: int


@dataclass(slots=True, kw_only=True)
class Container:
    name: str
    id: str
    log: Path
    cgroup: Path = Path()
    pid: int = 0
    truth: list[Truth] = field(default_factory=list)

    def knob(self, name: str) -> str:
        return (self.cgroup / name).read_text(encoding="ascii").strip()

    def ranges(self, *roles: str) -> list[Truth]:
        return [each for each in self.truth if each.role in roles]


class Pod:
    """A sandbox on the host's network; its containers are started one by one."""

    def __init__(self, client: cri.Client, manifest: Mapping[str, Any], driver: node.Driver) -> None:
        metadata = manifest["metadata"]
        self.client, self.manifest, self.uid = client, manifest, str(uuid.uuid4())
        self.containers: dict[str, Container] = {}
        self.config = {
            "metadata": {"name": metadata["name"], "uid": self.uid, "namespace": metadata.get("namespace", "default")},
            "annotations": metadata.get("annotations", {}),
            "labels": metadata.get("labels", {}),
            "log_directory": str(LOGS / self.uid),
            "linux": {
                "cgroup_parent": parent(self.uid, driver),
                "security_context": {"namespace_options": {"network": cri.HOST_NETWORK}},
            },
        }
        self.id = client.call("RunPodSandbox", config=self.config).pod_sandbox_id

    def start(self, *names: str) -> None:
        """The named containers of the manifest, or all; comes back when each exerciser has told its ranges."""
        specs = {spec["name"]: spec for spec in self.manifest["spec"]["containers"]}
        for name in names or specs:
            self.create(specs[name])
        for name in names or specs:
            know(self.containers[name])

    def create(self, spec: Mapping[str, Any]) -> None:
        name = spec["name"]
        config = {
            "metadata": {"name": name},
            "image": {"image": node.IMAGE},
            "command": spec["command"],
            "mounts": [{"container_path": path, "host_path": path, "readonly": True} for path in ("/usr", "/src")],
            "log_path": f"{name}.log",
            "linux": {"resources": resources(spec.get("resources", {}))},
        }
        made = self.client.call("CreateContainer", pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        self.containers[name] = Container(name=name, id=made.container_id, log=LOGS / self.uid / f"{name}.log")
        self.client.call("StartContainer", container_id=made.container_id)

    def stop(self) -> None:
        if self.id:
            self.client.call("StopPodSandbox", pod_sandbox_id=self.id)
            self.client.call("RemovePodSandbox", pod_sandbox_id=self.id)
        self.id = ""

    def __getitem__(self, name: str) -> Container:
        return self.containers[name]


def parent(uid: str, driver: node.Driver) -> str:
    """Where the kubelet puts a best-effort pod."""
    if driver == node.Driver.SYSTEMD:
        return f"kubepods-besteffort-pod{uid.replace('-', '_')}.slice"
    return f"/kubepods/besteffort/pod{uid}"


def resources(spec: Mapping[str, Any]) -> dict[str, int]:
    limit = spec.get("limits", {}).get("memory")
    return {"memory_limit_in_bytes": int(str(limit).removesuffix("Mi")) << 20} if limit else {}


def know(container: Container) -> None:
    """Find its cgroup by its id, its process, and the ranges it printed."""
    container.cgroup = poll.until(f"cgroup of {container.name} exists", lambda: cgroup_of(container.id))
    told = poll.until(f"{container.name} has filled its memory", lambda: first_json(container.log), seconds=300)
    container.pid = int((container.cgroup / "cgroup.procs").read_text(encoding="ascii").split()[0])
    container.truth = [Truth(role=each["role"], start=each["start"], end=each["end"]) for each in told["ranges"]]


def cgroup_of(container_id: str) -> Path | None:
    return next((path for path in CGROUPS.rglob(f"*{container_id}*") if path.is_dir()), None)


def first_json(log: Path) -> dict[str, Any]:
    """CRI logs have TIME STREAM TAG before each line."""
    if log.exists():
        for line in log.read_text(encoding="utf-8").splitlines():
            text = line.split(" ", 3)[-1]
            if text.startswith("{") and text.endswith("}"):
                return dict(json.loads(text))
    return {}


def example() -> dict[str, Any]:
    """The example that is shipped, with the exerciser from here."""
    text = Path("/src/etc/examples/kubernetes/pod.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text.replace("/usr/lib/ebbtide/reconciler/exercise.py", EXERCISER)))
