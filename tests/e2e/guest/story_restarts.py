"""Processes end and come back: the daemon by SIGKILL, containerd, the plugin. Nothing is lost or done twice."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.guest import classes, ebbtide, memory, node, pods, poll

Services = dict[str, ebbtide.Service]

HIGH = "  - name: swap-idle-data\n    memory: {high: 200M}\n"


def small(name: str, **annotations: str) -> dict[str, Any]:
    """A pod of one container with 48 MiB idle and 8 MiB busy, and a limit, so that the runtime forbids swap."""
    command = ["python3", pods.EXERCISER, "--idle", "48M", "--write", "8M", "--rate", "4"]
    container = {"name": "c", "command": command, "resources": {"limits": {"memory": "512Mi"}}}
    notes = annotations or {"class.memtierd.nri.io": "swap-idle-data"}
    return {"metadata": {"name": name, "annotations": notes}, "spec": {"containers": [container]}}


def drop_classes() -> None:
    classes.drop("auto")
    ebbtide.drop("30-high.yaml", "classes:\n" + HIGH)


def idle_is_out(container: pods.Container) -> None:
    def gone() -> bool:
        share = memory.pages(container.pid, container.ranges("idle")).share()
        print(f"    idle in swap {share:5.1%}; {ebbtide.show(container.id)}", flush=True)
        return share >= 0.9

    poll.until(f"idle memory of {container.name} is in swap", gone, seconds=180, pause=3)


def originals(container: pods.Container) -> list[tuple[str, str]]:
    """(knob, original value) of one container as the daemon keeps it on disk."""
    text = (ebbtide.STATE / "baseline.json").read_text(encoding="utf-8")
    entries = json.loads(text)["entries"]
    path = "/" + str(container.cgroup.relative_to(pods.CGROUPS))
    return sorted((each["knob"], each["original"]) for each in entries if each["cgroup"] == path)


@pytest.mark.smoke
def test_the_daemon_is_killed(product: Services, run_pod: Callable[..., pods.Pod]) -> None:
    drop_classes()
    pod = run_pod(small("killed"))
    pod.start()
    container = pod["c"]
    idle_is_out(container)
    poll.until("memory.high is ours", lambda: container.knob("memory.high") == str(200 << 20))
    before = originals(container)
    print(f"  baseline: {before}")
    product["daemon"].kill()
    assert container.knob("memory.swap.max") == "max", "a killed daemon changes nothing"
    product["daemon"].start()
    poll.until("the daemon carries on", lambda: ebbtide.engine(container.id).get("scans", 0) > 0)
    assert originals(container) == before
    managed = [each for each in ebbtide.report()["workloads"] if each["id"] == container.id]
    assert len(managed) == 1
    assert managed[0]["state"] == "converged", managed[0]
    refused = ebbtide.cli("daemon", ok=range(1, 128))
    print(f"  a second daemon: {refused.strip()}")
    released(container)


def released(container: pods.Container) -> None:
    """Without its class the container has what it would have had without us: a limit, and so no swap."""
    ebbtide.clear_classes()
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)
    poll.until("memory.high is as before", lambda: container.knob("memory.high") == "max")
    poll.until("memory.swap.max is as before", lambda: container.knob("memory.swap.max") == "0")


@pytest.mark.smoke
def test_containerd_restarts(product: Services, run_pod: Callable[..., pods.Pod]) -> None:
    drop_classes()
    first = run_pod(small("first"))
    first.start()
    plugin = product["nri"].pid()
    node.stop_containerd()
    node.start_containerd()
    second = run_pod(small("second"))
    second.start()
    assert product["nri"].pid() == plugin, "the plugin has reconnected, it was not started again"
    for pod in (first, second):
        managed(pod["c"])


@pytest.mark.smoke
def test_a_container_that_was_created_while_the_plugin_was_away(
    product: Services, run_pod: Callable[..., pods.Pod]
) -> None:
    drop_classes()
    product["nri"].stop()
    pod = run_pod(small("meanwhile"))
    pod.start()
    assert pod["c"].knob("memory.swap.max") == "0", "nobody was there to allow swap"
    product["nri"].start()
    managed(pod["c"])


def managed(container: pods.Container) -> None:
    poll.until("swap is allowed", lambda: container.knob("memory.swap.max") == "max")
    poll.until("memory.high is ours", lambda: container.knob("memory.high") == str(200 << 20))
    poll.until("it is watched", lambda: ebbtide.engine(container.id).get("scans", 0) > 0)


@pytest.fixture
def cgroupfs() -> Iterator[node.Driver]:
    """containerd with the other cgroup driver, while this story lasts."""
    yield drive(node.Driver.CGROUPFS)
    drive(node.Driver.SYSTEMD)


def drive(driver: node.Driver) -> node.Driver:
    node.stop_containerd()
    node.configure(driver)
    node.start_containerd()
    return driver


def test_the_cgroupfs_driver(cgroupfs: node.Driver, product: Services, run_pod: Callable[..., pods.Pod]) -> None:
    drop_classes()
    pod = run_pod(small("cgroupfs"), cgroupfs)
    pod.start()
    assert "kubepods.slice" not in str(pod["c"].cgroup)
    managed(pod["c"])
    idle_is_out(pod["c"])
    pod.stop()
    poll.until("nothing is known of it any more", lambda: not ebbtide.workload(pod["c"].id))
