"""Two memory nodes, the second without processors: idle memory goes there and active memory comes back.

The engine runs in this process, without daemon, class file and containers. /proc/PID/numa_maps and VmSwap judge.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from reconciler.engine.engine import Engine
from reconciler.engine.policies.policy import BACK, TO_SWAP
from reconciler.engine.site import Doors
from reconciler.engine.tasks import Task
from reconciler.engineconfig import AgeConfig, EngineConfig, MoverConfig, TrackerConfig, WatcherConfig
from reconciler.model import EngineSettings, EngineTask, Features
from sysfs.tree import Tree
from tests.e2e.guest import memory, node, pods, poll
from tests.engine.standalone import Standalone

BALANCING = Path("/proc/sys/kernel/numa_balancing")
IDLE_BITMAP = Path("/sys/kernel/mm/page_idle/bitmap")
NODES = Path("/sys/devices/system/node/online")
TREE = Tree("/")
MOST, FEW = 0.95, 0.05  # of a range

pytestmark = pytest.mark.skipif(NODES.read_text(encoding="ascii").strip() != "0-1", reason="needs two memory nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exerciser:
    process: "subprocess.Popen[str]"
    ranges: dict[str, tuple[int, int]]

    @property
    def pid(self) -> int:
        return self.process.pid

    def on(self, number: int, role: str) -> float:
        """The share of a range that is on this node, by numa_maps."""
        start, end = self.ranges[role]
        pages = 0
        for line in Path(f"/proc/{self.pid}/numa_maps").read_text(encoding="ascii").splitlines():
            if start <= int(line.split()[0], 16) < end and (found := re.search(rf" N{number}=(\d+)", line)):
                pages += int(found[1])
        return pages * memory.PAGE / (end - start)

    def shown(self) -> str:
        return ", ".join(f"{role}: {self.on(0, role):4.0%} {self.on(1, role):4.0%}" for role in self.ranges)


@pytest.fixture(autouse=True)
def _no_balancing() -> Iterator[None]:
    """The kernel's own would bring memory back to the processors while we look."""
    before = BALANCING.read_text(encoding="ascii") if BALANCING.exists() else ""
    if before:
        BALANCING.write_text("0", encoding="ascii")
    yield
    if before:
        BALANCING.write_text(before, encoding="ascii")


@pytest.fixture
def start() -> Iterator[Callable[..., Exerciser]]:
    running: list[subprocess.Popen[str]] = []

    def begin(*options: str) -> Exerciser:
        words = [sys.executable, pods.EXERCISER, "--with-parent", *options]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        truth = json.loads(process.stdout.readline())
        ranges = {each["role"]: (each["start"], each["end"]) for each in truth["ranges"]}
        return Exerciser(process=process, ranges=ranges)

    yield begin
    for process in running:
        process.kill()
        process.wait()


@pytest.fixture
def engine() -> Iterator[Engine]:
    features = Features(kernel=os.uname().release, page_size=memory.PAGE)
    made = Engine(TREE, features, EngineSettings(cpu_percent=100), lambda reason: print(f"  woken: {reason}"))
    yield made
    made.close()


def tracking(exerciser: Exerciser) -> EngineTask:
    config = EngineConfig(
        policy=AgeConfig(interval_ms=2000, idle_ms=8000, idle_nodes=(1,), active_ms=6000, active_nodes=(0,)),
        tracker=TrackerConfig(pages_in_region=512, scan_interval_ms=2000, regions_update_ms=4000),
        mover=MoverConfig(interval_ms=20, bandwidth_mib=200),
        watcher=WatcherConfig(name="pidlist", interval_ms=2000),
    )
    tracker = "idlepage" if IDLE_BITMAP.exists() else "referenced"
    return EngineTask(workload="story", config=config, tracker=tracker, pids=(exerciser.pid,))


@pytest.mark.parametrize("huge", ["never", "always"])
def test_idle_memory_goes_to_the_far_node_and_active_memory_comes_back(
    huge: str, start: Callable[..., Exerciser], engine: Engine
) -> None:
    exerciser = start("--idle", "96M", "--write", "24M", "--rate", "5", "--hugepages", huge)
    assert exerciser.on(1, "idle") < FEW, exerciser.shown()
    engine.start(tracking(exerciser))

    def shown() -> str:
        return f"    {exerciser.shown()}; {engine.report('story')}"

    def idle_is_far() -> bool:
        print(shown(), flush=True)
        assert exerciser.on(1, "write") < 0.5, shown()
        return exerciser.on(1, "idle") > MOST

    poll.until("the idle memory is on node 1", idle_is_far, seconds=240, pause=3)
    poll.until("the busy memory is on node 0", lambda: exerciser.on(0, "write") > MOST, seconds=60)
    os.kill(exerciser.pid, signal.SIGSTOP)
    poll.until("of a stopped process all is on node 1", lambda: exerciser.on(1, "write") > MOST, seconds=240)
    os.kill(exerciser.pid, signal.SIGCONT)

    def hot_is_back() -> bool:
        print(shown(), flush=True)
        return exerciser.on(0, "write") > MOST

    poll.until("the busy memory is back on node 0", hot_is_back, seconds=240, pause=3)
    assert exerciser.on(1, "idle") > MOST, "the idle memory stays where it is"
    report = engine.report("story")
    assert report is not None
    assert report.moved_bytes >= MOST * ((96 + 2 * 24) << 20), report
    assert not report.error, report


@pytest.fixture
def alone() -> Iterator[Standalone]:
    made = Standalone(Doors(tree=TREE, page_size=memory.PAGE), MoverConfig(interval_ms=10, bandwidth_mib=500))
    made.start()
    yield made
    made.close()


def settled(alone: Standalone, task: Task) -> None:
    alone.mover.add(task)
    try:
        poll.until(f"the mover is done with {task.to or 'back'}", lambda: alone.mover.state() == "AllDone", seconds=240)
    finally:
        print(f"    {alone.mover.tasks()} {alone.mover.book.all()[task.pid]} {alone.error}", flush=True)


@pytest.mark.parametrize("huge", ["never", "always"])
def test_a_whole_process_goes_to_the_far_node_and_back(
    huge: str, start: Callable[..., Exerciser], alone: Standalone
) -> None:
    exerciser = start("--idle", "64M", "--write", "8M", "--rate", "1", "--hugepages", huge)
    for there in (1, 0):
        settled(alone, Task(pid=exerciser.pid, to=(there,)))
        assert exerciser.on(there, "idle") > MOST, exerciser.shown()
        assert exerciser.on(there, "write") > MOST, exerciser.shown()
    assert not alone.mover.tasks() or "shared" in alone.mover.tasks()[0].why, alone.mover.tasks()


def test_a_node_without_room_is_not_filled_to_the_brim(start: Callable[..., Exerciser], alone: Standalone) -> None:
    """Node 1 has 768 MiB."""
    exerciser = start("--idle", "900M", "--hugepages", "never")
    settled(alone, Task(pid=exerciser.pid, to=(1,)))
    failed = alone.mover.tasks()[0]
    assert "room" in failed.why, failed
    assert 0.3 < exerciser.on(1, "idle") < 0.85, exerciser.shown()
    threading.Event().wait(1)
    assert exerciser.process.poll() is None


def test_a_whole_process_goes_to_swap_and_comes_back(start: Callable[..., Exerciser], alone: Standalone) -> None:
    node.swap_on()
    exerciser = start("--idle", "64M")
    settled(alone, Task(pid=exerciser.pid, to=TO_SWAP))
    out = memory.status_bytes(exerciser.pid, "VmSwap")
    settled(alone, Task(pid=exerciser.pid, to=BACK))
    back = memory.status_bytes(exerciser.pid, "VmSwap")
    assert out > MOST * (64 << 20), out
    assert back < FEW * (64 << 20), back
    assert (
        memory.pages(
            exerciser.pid, [pods.Truth(role="idle", start=s, end=e) for s, e in exerciser.ranges.values()]
        ).present
        > MOST * (64 << 20) / memory.PAGE
    )
