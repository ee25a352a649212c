"""The image as a pod's two containers, through containerd itself, with the privileges of the shipped DaemonSet only."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.guest import cri, daemonset, memory, pods, poll
from tests.e2e.guest.story_classes import ORIGINAL
from tests.e2e.guest.story_package import CLASS, WANTED

DIST = Path("/src/dist")
CLASSES = Path("/run/configmap")


def imported() -> str:
    archive = next(DIST.glob("ebbtide-*.image.tar"))
    poll.command("ctr", "-n", "k8s.io", "images", "import", str(archive))
    return f"docker.io/library/ebbtide:{archive.name.removeprefix('ebbtide-').removesuffix('.image.tar')}"


@pytest.mark.skipif(not list(DIST.glob("*.image.tar")), reason="no image in dist/: run `./run image`")
def test_the_daemonset_manages_a_pod(client: cri.Client, run_pod: Callable[..., pods.Pod]) -> None:
    CLASSES.mkdir(parents=True, exist_ok=True)
    (CLASSES / "50-story.yaml").write_text(CLASS, encoding="utf-8")
    ours = daemonset.DaemonPod(client, imported(), CLASSES)
    try:
        alive = ours.spec["containers"][0]["livenessProbe"]["exec"]["command"]
        poll.until("the liveness probe is content", lambda: ours.run("daemon", *alive)[0] == 0, seconds=180)
        print(ours.run("daemon", "ebbtide", "doctor")[1], flush=True)
        poll.until("the plugin is registered", lambda: "event=synchronized" in ours.log("nri"), seconds=120)

        annotations = {"class.memtierd.nri.io": "story"}
        command = ["python3", pods.EXERCISER, "--idle", "64M", "--write", "16M", "--rate", "2"]
        spec = {"name": "c", "command": command, "resources": {"limits": {"memory": "512Mi"}}}
        pod = run_pod({"metadata": {"name": "story", "annotations": annotations}, "spec": {"containers": [spec]}})
        pod.start()
        container = pod["c"]
        poll.until(
            "the kernel shows what the class asks for",
            lambda: all(container.knob(knob) == value for knob, value in WANTED.items()),
        )
        idle = container.ranges("idle")
        poll.until(
            "the idle memory is in swap, moved from inside the pod",
            lambda: memory.pages(container.pid, idle).share() > 0.9,
            seconds=240,
            pause=3,
        )
        print(ours.run("daemon", "ebbtide", "status")[1], flush=True)
        (CLASSES / "50-story.yaml").unlink()
        poll.until(
            "without the class original values are back",
            lambda: all(container.knob(knob) == value for knob, value in ORIGINAL.items()),
        )
    except Exception:
        print(*(f"--- {name}\n{ours.log(name)[-6000:]}" for name in ours.containers), sep="\n", flush=True)
        raise
    finally:
        ours.stop()
