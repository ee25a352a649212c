"""The main job: an annotated container's idle memory leaves RAM, its busy memory does not, others lose nothing."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.guest import classes, ebbtide, memory, pods, poll

IDLE_AT_LEAST = 0.90
HOT_AT_MOST = 0.02
INTERPRETER_PAGES = 600  # Python's own pages that come back, which are in no range
DAMON = Path("/sys/kernel/mm/damon/admin")
DAMON_STAT = Path("/sys/module/damon_stat/parameters/enabled")  # on: it has DAMON for itself alone
IDLE_BITMAP = Path("/sys/kernel/mm/page_idle/bitmap")
SETTLE_SECONDS = 3 * classes.SECONDS


class Hot:
    """The most of a container's busy memory that was ever seen in swap."""

    def __init__(self, container: pods.Container, ranges: Iterable[pods.Truth]) -> None:
        self.container, self.ranges = container, tuple(ranges)
        self.faults_before = memory.major_faults(container.pid)
        self.worst = 0.0

    def look(self) -> float:
        self.worst = max(self.worst, memory.pages(self.container.pid, self.ranges).share())
        return self.worst

    def faults(self) -> int:
        return memory.major_faults(self.container.pid) - self.faults_before

    def pages(self) -> int:
        return memory.pages(self.container.pid, self.ranges).total


def chosen(tracker: str) -> str:
    """What a class that names this tracker is given on this kernel."""
    if IDLE_BITMAP.exists():
        return "idlepage" if tracker == "auto" else tracker
    if tracker == "referenced":
        return tracker
    stopped = not DAMON_STAT.exists() or DAMON_STAT.read_text(encoding="ascii").strip() == "N"
    return "damon" if DAMON.exists() and stopped else "referenced"


def idle_leaves(container: pods.Container, hot: Hot) -> None:
    idle = container.ranges("idle")

    def gone() -> bool:
        hot.look()
        share = memory.pages(container.pid, idle).share()
        print(f"    idle in swap {share:5.1%}, hot at worst {hot.worst:5.1%}; {ebbtide.show(container.id)}", flush=True)
        return share >= IDLE_AT_LEAST

    poll.until("the idle memory is in swap", gone, seconds=240, pause=3)
    assert memory.status_bytes(container.pid, "VmSwap") >= IDLE_AT_LEAST * sum(each.end - each.start for each in idle)


def hot_stays(container: pods.Container, hot: Hot) -> None:
    poll.never("busy memory is taken", lambda: hot.look() > HOT_AT_MOST, seconds=SETTLE_SECONDS)
    allowed = HOT_AT_MOST * hot.pages() + INTERPRETER_PAGES
    print(f"  {container.name}: {hot.faults()} pages had to come back (allowed {allowed:.0f})", flush=True)
    assert hot.faults() <= allowed


@pytest.mark.smoke
def test_the_example_pod(product: object, run_pod: Callable[..., pods.Pod]) -> None:
    classes.drop("idlepage")
    pod = run_pod(pods.example())
    pod.start()
    tidy, measured, alone = (pod[name] for name in ("tidy", "measured", "alone"))
    hot = Hot(tidy, tidy.ranges("write", "read"))
    idle_leaves(tidy, hot)
    hot_stays(tidy, hot)
    told(tidy, "idlepage")
    for container in (measured, alone):
        assert memory.status_bytes(container.pid, "VmSwap") == 0
    assert [each.knob("memory.swap.max") for each in (tidy, measured, alone)] == ["max", "0", "max"]
    measures(measured)


def told(container: pods.Container, named: str) -> None:
    """What the daemon reports agrees with what the kernel shows."""
    loop = poll.until("the daemon reports a loop", lambda: ebbtide.engine(container.id))
    swapped = memory.pages(container.pid, container.truth).swapped * memory.PAGE
    assert loop["tracker"] == chosen(named), loop
    assert not loop["error"], loop
    assert loop["paged_out_bytes"] >= IDLE_AT_LEAST * swapped
    assert ebbtide.workload(container.id)["class_name"] == "swap-idle-data"


def measures(container: pods.Container) -> None:
    """The measured container's table is there to read, and says that most of it is idle."""
    poll.until("the routine has written its output", lambda: output_of(container))
    name = f"default/ebbtide-example/{container.name}"
    table = ebbtide.cli("accessed", name)
    print(table, flush=True)
    assert table.strip()
    shown = json.loads(ebbtide.cli("status", "-o", "json", ok=(0, 1)))
    assert name in {each["name"] for each in shown["workloads"]}


def output_of(container: pods.Container) -> str:
    found = ebbtide.STATE / "rendered/default/ebbtide-example" / container.name / "output"
    return found.read_text(encoding="utf-8") if found.exists() else ""


def only(manifest: dict[str, Any], *names: str) -> dict[str, Any]:
    spec = {"containers": [each for each in manifest["spec"]["containers"] if each["name"] in names]}
    return {**manifest, "spec": spec}


@pytest.mark.parametrize("tracker", ["auto", "referenced"])
def test_other_trackers(tracker: str, product: object, run_pod: Callable[..., pods.Pod]) -> None:
    classes.drop(tracker)
    pod = run_pod(only(pods.example(), "tidy"))
    pod.start()
    hot = Hot(pod["tidy"], pod["tidy"].ranges("write", "read"))
    idle_leaves(pod["tidy"], hot)
    hot_stays(pod["tidy"], hot)
    told(pod["tidy"], tracker)


@pytest.mark.skipif(not IDLE_BITMAP.exists(), reason="only the test kernel has soft-dirty")
def test_softdirty_sees_writes_only(product: object, run_pod: Callable[..., pods.Pod]) -> None:
    """It cannot see reads: what is only read is taken, and the class's workload says so."""
    classes.drop("softdirty")
    pod = run_pod(only(pods.example(), "tidy"))
    pod.start()
    hot = Hot(pod["tidy"], pod["tidy"].ranges("write"))
    idle_leaves(pod["tidy"], hot)
    poll.never("written memory is taken", lambda: hot.look() > HOT_AT_MOST, seconds=SETTLE_SECONDS)
    print(f"  {hot.faults()} pages had to come back; {ebbtide.show(pod['tidy'].id)}", flush=True)
    assert hot.faults() > INTERPRETER_PAGES, "what is only read was taken: this is how it would look"
    poll.until("the brake holds", lambda: "refault" in ebbtide.engine(pod["tidy"].id)["brake"])
    told(pod["tidy"], "softdirty")
    said = json.dumps(ebbtide.workload(pod["tidy"].id))
    assert "read" in said, said
    assert "softdirty" in said, said
