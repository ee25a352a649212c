"""The command line beside the real daemon, and without it."""

import json
from collections.abc import Callable
from typing import Any

from tests.e2e.guest import classes, ebbtide, pods, poll

Services = dict[str, ebbtide.Service]

HIGH = "classes:\n  - name: swap-idle-data\n    memory: {high: 200M}\n"


def pod_of_story(name: str) -> dict[str, Any]:
    command = ["python3", pods.EXERCISER, "--idle", "16M", "--write", "4M", "--rate", "2"]
    annotations = {"class.memtierd.nri.io": "swap-idle-data"}
    spec = {"containers": [{"name": "c", "command": command, "resources": {"limits": {"memory": "256Mi"}}}]}
    return {"metadata": {"name": name, "annotations": annotations}, "spec": spec}


def shows(container: pods.Container, what: str, high: str, swap: str) -> None:
    poll.until(what, lambda: (container.knob("memory.high"), container.knob("memory.swap.max")) == (high, swap))


def test_looking_pausing_and_releasing(product: Services, run_pod: Callable[..., pods.Pod]) -> None:
    classes.drop("auto")
    ebbtide.drop("30-high.yaml", HIGH)
    pod = run_pod(pod_of_story("commands"))
    pod.start()
    container, name, ours = pod["c"], "default/commands/c", str(200 << 20)
    shows(container, "it is managed", ours, "max")
    print(ebbtide.cli("explain", name), ebbtide.cli("plan"), sep="\n", flush=True)
    poll.until("the kernel shows what the classes ask for", verified, pause=5)

    ebbtide.cli("pause")
    (container.cgroup / "memory.high").write_text("150M", encoding="ascii")
    poll.until("the daemon has noticed the pause", lambda: ebbtide.report()["state"] == "paused")
    assert container.knob("memory.high") == str(150 << 20)
    ebbtide.cli("resume")
    shows(container, "resumed, it corrects", ours, "max")

    ebbtide.cli("release", name)
    shows(container, "released with the daemon up", "max", "0")
    ebbtide.cli("resume", name)
    shows(container, "and taken back", ours, "max")
    product["daemon"].stop()
    ebbtide.cli("release", name)
    shows(container, "released with the daemon down", "max", "0")
    product["daemon"].start()
    assert ebbtide.workload(container.id)["state"] == "released"
    ebbtide.cli("resume", name)
    shows(container, "and taken back again", ours, "max")


def verified() -> bool:
    return bool(json.loads(ebbtide.cli("verify", "-o", "json", ok=(0, 1)))["verified"])


def test_the_demo_works_here(product: Services) -> None:
    """On a node with swap, beside the real daemon; it gives up by itself on a machine that is too slow."""
    print(ebbtide.cli("demo", "--no-color"), flush=True)


def test_the_doctor_finds_the_runtime(product: Services) -> None:
    text = ebbtide.cli("doctor", ok=(0, 1))
    print(text, flush=True)
    about = json.loads(ebbtide.cli("doctor", "-o", "json", ok=(0, 1)))
    assert "containerd" in json.dumps(about)
    capture = ebbtide.RUN / "capture.tar.gz"
    ebbtide.cli("doctor", "--capture", str(capture), ok=(0, 1))
    print(ebbtide.cli("plan", "--root", str(capture), ok=(0, 1, 2)))
