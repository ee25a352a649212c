"""What else the runtime does: it starts the plugin itself, and changes a container's limit while it runs."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.guest import cri, ebbtide, node, pods, poll

Services = dict[str, ebbtide.Service]

PLUGINS = Path("/opt/nri/plugins")
CONFIG = ebbtide.CLASSES / "40-ebbtide.conf"  # what containerd hands to the plugin of this name
HALF = "classes:\n  - name: half\n    allowswap: true\n    memory: {high: 50%}\n"


def pod_of_half(name: str) -> dict[str, Any]:
    command = ["python3", pods.EXERCISER, "--idle", "16M", "--write", "4M", "--rate", "2"]
    container = {"name": "c", "command": command, "resources": {"limits": {"memory": "256Mi"}}}
    annotations = {"class.memtierd.nri.io": "half"}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": {"containers": [container]}}


def has(container: pods.Container, what: str, high: int, most: int) -> None:
    wanted = [str(most << 20), str(high << 20), "max"]
    knobs = ("memory.max", "memory.high", "memory.swap.max")
    poll.until(what, lambda: [container.knob(knob) for knob in knobs] == wanted, pause=0.5)


def test_a_container_is_resized_in_place(
    product: Services, client: cri.Client, run_pod: Callable[..., pods.Pod]
) -> None:
    """A percentage follows the new limit, and swap stays allowed although the runtime would forbid it."""
    ebbtide.drop("40-half.yaml", HALF)
    pod = run_pod(pod_of_half("resized"))
    pod.start()
    has(pod["c"], "it starts with half of its limit", 128, 256)
    client.call(
        "UpdateContainerResources",
        container_id=pod["c"].id,
        linux={"memory_limit_in_bytes": 384 << 20},
    )
    has(pod["c"], "it has half of its new limit", 192, 384)


@pytest.fixture
def launched(product: Services) -> Iterator[Path]:
    """containerd starts the plugin, and gives it its classes; ours, that was started by hand, is away."""
    product["nri"].stop()
    PLUGINS.mkdir(parents=True, exist_ok=True)
    plugin = PLUGINS / "40-ebbtide"
    exports = "".join(f"export {name}={os.environ[name]}\n" for name in ebbtide.PASSED if name in os.environ)
    plugin.write_text(f"#!/bin/sh\n{exports}exec {sys.executable} -m reconciler\n", encoding="ascii")
    plugin.chmod(0o755)
    CONFIG.write_text(HALF, encoding="ascii")
    node.stop_containerd()
    node.start_containerd()
    yield plugin
    plugin.unlink()
    CONFIG.unlink()
    node.stop_containerd()
    node.start_containerd()
    product["nri"].start()


def test_the_runtime_launches_the_plugin(launched: Path, run_pod: Callable[..., pods.Pod]) -> None:
    pod = run_pod(pod_of_half("launched"))
    pod.start()
    has(pod["c"], "its class came through the runtime", 128, 256)
    about = poll.until("the daemon knows it, too", lambda: ebbtide.workload(pod["c"].id))
    assert about["class_name"] == "half"
    published = list((ebbtide.STATE / "classes.d").iterdir())
    print(f"  published: {[path.name for path in published]}")
    assert published
