"""Class files come, change, break and go while a container runs: what the kernel shows follows each time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.guest import ebbtide, pods, poll

VENDOR = Path("/usr/lib/nri/conf.d")  # below /etc: an administrator's file of the same name masks it
NAME = "50-story.yaml"
SWAP_OFF = "classes:\n  - name: story\n    allowswap: false\n    memory: {high: 300M, low: 10M}\n"
SWAP_ON = "classes:\n  - name: story\n    allowswap: true\n    memory: {high: 50%, low: 10M}\n"
BROKEN = "classes:\n  - name: story\n    allowswap: [maybe\n"
ORIGINAL = {"memory.swap.max": "0", "memory.high": "max", "memory.low": "0"}
OFF = {"memory.swap.max": "0", "memory.high": str(300 << 20), "memory.low": str(10 << 20)}
ON = {"memory.swap.max": "max", "memory.high": str(256 << 20), "memory.low": str(10 << 20)}


def pod_of_story() -> dict[str, Any]:
    command = ["python3", pods.EXERCISER, "--idle", "16M", "--write", "4M", "--rate", "2"]
    container = {"name": "c", "command": command, "resources": {"limits": {"memory": "512Mi"}}}
    annotations = {"class.memtierd.nri.io": "story"}
    return {"metadata": {"name": "story", "annotations": annotations}, "spec": {"containers": [container]}}


def shows(container: pods.Container, what: str, wanted: dict[str, str]) -> None:
    def right() -> bool:
        return all(container.knob(knob) == value for knob, value in wanted.items())

    try:
        poll.until(what, right, seconds=60, pause=0.5)
    except AssertionError:
        print({knob: container.knob(knob) for knob in wanted}, ebbtide.workload(container.id), flush=True)
        raise


def problem_with(text: str) -> str:
    return next((str(each) for each in ebbtide.report()["problems"] if text in str(each)), "")


@pytest.mark.smoke
def test_class_files_change_while_a_container_runs(product: object, run_pod: Callable[..., pods.Pod]) -> None:
    pod = run_pod(pod_of_story())
    pod.start()
    container = pod["c"]
    shows(container, "without the class: nothing is touched", ORIGINAL)
    poll.until("the workload says that its class is unknown", lambda: ebbtide.workload(container.id).get("problems"))

    ebbtide.drop(NAME, SWAP_OFF)
    shows(container, "the class is dropped", OFF)
    poll.until("the workload is converged", lambda: ebbtide.workload(container.id)["state"] == "converged")
    ebbtide.drop(NAME, SWAP_ON)
    shows(container, "the class is changed", ON)
    ebbtide.drop(NAME, BROKEN)
    poll.until("the broken file is named", lambda: problem_with(NAME))
    shows(container, "the broken file changes nothing", ON)
    (ebbtide.CLASSES / NAME).unlink()
    shows(container, "the class is removed", ORIGINAL)

    VENDOR.mkdir(parents=True, exist_ok=True)
    (VENDOR / NAME).write_text(SWAP_ON, encoding="utf-8")
    shows(container, "a vendor's file gives the class", ON)
    (ebbtide.CLASSES / NAME).symlink_to("/dev/null")
    shows(container, "an administrator masks it", ORIGINAL)
    (ebbtide.CLASSES / NAME).unlink()
    shows(container, "it is unmasked", ON)
    (VENDOR / NAME).unlink()
    shows(container, "original values are back", ORIGINAL)


def test_a_write_by_somebody_else_is_corrected(product: object, run_pod: Callable[..., pods.Pod]) -> None:
    ebbtide.drop(NAME, SWAP_ON)
    pod = run_pod(pod_of_story())
    pod.start()
    container = pod["c"]
    shows(container, "it starts with its class", ON)
    (container.cgroup / "memory.high").write_text("123M", encoding="ascii")
    shows(container, "what somebody else wrote is corrected at the next look", ON)
    poll.until("it is counted", lambda: foreign_writes(container) > 0)


def foreign_writes(container: pods.Container) -> int:
    return sum(each["foreign_writes"] for each in ebbtide.workload(container.id).get("knobs", ()))
