"""DAMON on a real kernel: what is idle is accounted and leaves, what is hot stays, and the kdamonds go back."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.guest import ebbtide, groups, memory, pods, poll

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


SAMPLING_US = 7000  # an administrator's, which nobody else would write


@pytest.fixture
def administrators() -> Iterator[list[str]]:
    """Two kdamonds, the second with settings of its own, which nobody runs. What is set there."""
    (ADMIN / "nr_kdamonds").write_text("2")
    (ADMIN / "1/contexts/nr_contexts").write_text("1")
    (ADMIN / "1/contexts/0/monitoring_attrs/intervals/sample_us").write_text(str(SAMPLING_US))
    yield settings(1)
    ebbtide.clear_classes()
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)
    poll.until("nobody uses them", lambda: not running(), seconds=60)
    (ADMIN / "nr_kdamonds").write_text("0")


def settings(kdamond: int) -> list[str]:
    context = ADMIN / f"{kdamond}/contexts/0"
    names = ("operations", "monitoring_attrs/intervals/sample_us", "targets/nr_targets", "schemes/nr_schemes")
    return [told(ADMIN / f"{kdamond}/state"), *(told(context / name) for name in names)]


def told(path: Path) -> str:
    """DAMON answers one at a time, and turns others away meanwhile."""

    def read() -> str:
        try:
            return path.read_text()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return ""

    return poll.until(f"{path} can be read", read, seconds=60, pause=0.1)


def test_kdamonds_that_the_class_names_are_shared_and_get_their_settings_back(
    administrators: list[str], product: object
) -> None:
    named = AGE.replace("pausedamonstat: true", "pausedamonstat: true, kdamondslist: [1]")
    ebbtide.drop(NAME, named)
    with groups.managed("one") as one, groups.managed("two") as two:
        programs = {
            group.path.name: groups.Exerciser(
                group, "--idle", "48M", "--write", "16M", "--rate", "10", "--hugepages", "never"
            )
            for group in (one, two)
        }

        def out() -> bool:
            shares = {
                name: [memory.pages(each.pid, each.ranges(role)).share() for role in ("idle", "write")]
                for name, each in programs.items()
            }
            print(f"    idle and written memory in swap: {shares}", flush=True)
            assert all(written < 0.1 for _, written in shares.values()), "it is in use"
            return all(idle > 0.9 for idle, _ in shares.values())

        poll.until("DAMON looks at both", lambda: all(ebbtide.engine(name).get("scans", 0) for name in programs))
        assert {ebbtide.engine(name)["tracker"] for name in programs} == {"damon"}
        poll.until("most idle memory of both is out", out, seconds=240, pause=3)
        assert told(ADMIN / "nr_kdamonds") == "2\n"
        assert len(running()) == 1, "both in the one that the class names"
        assert told(ADMIN / "0/state") == "off\n"
        assert told(ADMIN / "0/contexts/nr_contexts") == "0\n"
        ebbtide.clear_classes()
        ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)
        poll.until("it has its settings back", lambda: not running() and settings(1) == administrators, seconds=60)
    assert count() == 2
