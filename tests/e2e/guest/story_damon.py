"""DAMON on a real kernel: what is idle is accounted and leaves, what is hot stays, and the kdamonds go back."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.guest import ebbtide, memory, pods, poll

ADMIN = Path("/sys/kernel/mm/damon/admin/kdamonds")
STAT = Path("/sys/module/damon_stat/parameters/enabled")
NAME = "50-damon.yaml"

pytestmark = pytest.mark.skipif(not ADMIN.exists(), reason="this kernel has no DAMON")


AGE = """classes:
  - name: story
    allowswap: true
    memtierdconfig:
      policy:
        name: age
        config:
          intervalms: 3000
          swapoutms: 9000
          pidwatcher: {name: cgroups, config: {cgroups: [$CGROUP2_ABS_PATH]}}
          tracker: {name: damon, config: {scanintervalms: 3000, pausedamonstat: true}}
          mover: {intervalms: 20, bandwidth: 200}
"""


def pod_of_story() -> dict[str, object]:
    command = ["python3", pods.EXERCISER, "--idle", "96M", "--write", "32M", "--rate", "10"]
    container = {"name": "c", "command": command, "resources": {"limits": {"memory": "512Mi"}}}
    annotations = {"class.memtierd.nri.io": "story"}
    return {"metadata": {"name": "damon", "annotations": annotations}, "spec": {"containers": [container]}}


def count() -> int:
    return int((ADMIN / "nr_kdamonds").read_text())


def comm(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:  # it has ended
        return ""


def running() -> list[str]:
    """Names of the kernel's threads: their files are busy while the daemon waits for a snapshot."""
    names = (Path(f"/proc/{pid}/comm") for pid in os.listdir("/proc") if pid.isdigit())
    return [name for path in names if (name := comm(path)).startswith("kdamond.")]


def of(container: pods.Container, role: str) -> memory.Pages:
    return memory.pages(container.pid, [each for each in container.truth if each.role == role])


@pytest.fixture
def as_it_was() -> Iterator[None]:
    """Nobody has kdamonds before, and nobody after."""
    assert count() == 0
    before = STAT.read_text() if STAT.exists() else ""
    yield
    ebbtide.clear_classes()
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)
    poll.until("the kdamonds went back", lambda: count() == 0, seconds=60)
    assert (STAT.read_text() if STAT.exists() else "") == before
    assert not (ebbtide.STATE / "kdamonds.json").exists()


def test_what_is_idle_leaves_and_what_is_hot_stays(
    as_it_was: object, product: object, run_pod: Callable[..., pods.Pod]
) -> None:
    ebbtide.drop(NAME, AGE)
    pod = run_pod(pod_of_story())
    pod.start()
    container = pod["c"]
    poll.until("DAMON looks", lambda: ebbtide.engine(container.id).get("tracker") == "damon")
    poll.until("most idle memory is out", lambda: of(container, "idle").share() > 0.9, seconds=180)
    print(f"  {ebbtide.show(container.id)}")
    assert of(container, "write").share() < 0.1
    assert (count(), len(running())) == (8, 1)


def test_killed_the_next_daemon_goes_on_and_gives_back(
    as_it_was: object, product: dict[str, ebbtide.Service], run_pod: Callable[..., pods.Pod]
) -> None:
    ebbtide.drop(NAME, AGE)
    pod = run_pod(pod_of_story())
    pod.start()
    container = pod["c"]
    poll.until("a kdamond runs", running)
    product["daemon"].kill()
    assert running(), "nobody has stopped it"

    product["daemon"].start()
    poll.until("another one runs", lambda: ebbtide.engine(container.id).get("scans", 0) > 1)
    assert (count(), len(running())) == (8, 1)
    product["daemon"].stop()
    assert count() == 0
    product["daemon"].start()


def test_kdamonds_of_somebody_else_are_left_alone(product: object, run_pod: Callable[..., pods.Pod]) -> None:
    (ADMIN / "nr_kdamonds").write_text("1")
    try:
        ebbtide.drop(NAME, AGE)
        pod = run_pod(pod_of_story())
        pod.start()
        container = pod["c"]
        poll.until("it is said who is in the way", lambda: "kdamond" in str(ebbtide.workload(container.id)))
        print(f"  {ebbtide.workload(container.id)}")
        assert (count(), running()) == (1, [])
        assert (ADMIN / "0/contexts/nr_contexts").read_text() == "0\n"
    finally:
        (ADMIN / "nr_kdamonds").write_text("0")
