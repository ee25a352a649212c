"""The DaemonSet's pod as the kubelet would give it to containerd: from the shipped manifest to CRI messages."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.guest import cri, node, pods

BASE = Path("/src/packaging/kubernetes/base")
HOST = 2  # NamespaceMode NODE
UNCONFINED, RUNTIME_DEFAULT = 1, 0  # SecurityProfile.ProfileType


def spec() -> dict[str, Any]:
    return dict(yaml.safe_load((BASE / "daemonset.yaml").read_text(encoding="utf-8"))["spec"]["template"]["spec"])


class DaemonPod:
    """Both containers, with the volumes' places on this machine; the ConfigMap is a folder."""

    def __init__(self, client: cri.Client, image: str, classes: Path) -> None:
        self.client, self.image, self.uid, self.spec = client, image, str(uuid.uuid4()), spec()
        self.folders = dict(self._folders(classes))
        self.config = {
            "metadata": {"name": "ebbtide", "uid": self.uid, "namespace": "ebbtide"},
            "log_directory": str(pods.LOGS / self.uid),
            "linux": {
                "cgroup_parent": pods.parent(self.uid, node.Driver.SYSTEMD),
                "security_context": {"namespace_options": {"network": HOST, "pid": HOST}},
            },
        }
        self.id = client.call("RunPodSandbox", config=self.config).pod_sandbox_id
        self.containers = {each["name"]: self._start(each) for each in self.spec["containers"]}

    def _folders(self, classes: Path) -> Iterator[tuple[str, Path]]:
        for volume in self.spec["volumes"]:
            if "hostPath" in volume:
                path = Path(volume["hostPath"]["path"])
            else:
                path = classes if "configMap" in volume else Path("/run/kubelet") / self.uid / volume["name"]
            path.mkdir(parents=True, exist_ok=True)
            yield volume["name"], path

    def _start(self, container: Mapping[str, Any]) -> str:
        given = container["securityContext"]
        context = {
            "privileged": given.get("privileged", False),
            "readonly_rootfs": given["readOnlyRootFilesystem"],
            "no_new_privs": not given["allowPrivilegeEscalation"],
            "namespace_options": {"network": HOST, "pid": HOST},
            "capabilities": {
                "drop_capabilities": given["capabilities"]["drop"],
                "add_capabilities": given["capabilities"].get("add", []),
            },
            "seccomp": {
                "profile_type": UNCONFINED if given["seccompProfile"]["type"] == "Unconfined" else RUNTIME_DEFAULT
            },
            "run_as_user": {"value": given["runAsUser"]},
        }
        config = {
            "metadata": {"name": container["name"]},
            "image": {"image": self.image},
            "args": container["args"],
            "mounts": [
                {
                    "container_path": mount["mountPath"],
                    "host_path": str(self.folders[mount["name"]]),
                    "readonly": mount.get("readOnly", False),
                }
                for mount in container["volumeMounts"]
            ],
            "log_path": f"{container['name']}.log",
            "linux": {"security_context": context, "resources": {}},
        }
        made = self.client.call("CreateContainer", pod_sandbox_id=self.id, config=config, sandbox_config=self.config)
        self.client.call("StartContainer", container_id=made.container_id)
        return str(made.container_id)

    def run(self, name: str, *words: str) -> tuple[int, str]:
        """A command inside, as a probe or `kubectl exec` runs it."""
        done = self.client.call("ExecSync", container_id=self.containers[name], cmd=words, timeout=60)
        return done.exit_code, (done.stdout + done.stderr).decode(errors="replace")

    def log(self, name: str) -> str:
        return (pods.LOGS / self.uid / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        self.client.call("StopPodSandbox", pod_sandbox_id=self.id)
        self.client.call("RemovePodSandbox", pod_sandbox_id=self.id)
