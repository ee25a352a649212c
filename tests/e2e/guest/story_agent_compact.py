"""Compaction on a real kernel: fragments made on purpose start exactly one, and pressure made by others stops one.

The part runs in this process, as the agent would run it, without daemon and class file. /proc/pagetypeinfo judges, read
by a reader of our own.
"""

import contextlib
import mmap
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler import children
from reconciler.agent.compact import Compact
from reconciler.agent.compact_run import Doors
from reconciler.agentconfig import AgentTask, CompactConfig
from reconciler.engine.scheduler import Scheduler
from reconciler.report import CompactReport
from sysfs.tree import Tree
from tests.e2e.guest import memory, poll
from tests.e2e.guest.groups import TOP, Group

ORDER = 9
LISTS = Path("/proc/sys/vm/percpu_pagelist_high_fraction")
WHOLE = "/proc/sys/vm/compact_memory"
PATIENT = 100.0  # percent of pressure, each of memory and io, that holds and stops nothing

# Every other page of a range is given back, so that no two free ones are neighbours: order 0, and movable around.
FRAGMENT = """
import mmap, sys, time
size, page = int(sys.argv[1]) << 20, mmap.PAGESIZE
held = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
held.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, size, page):
    held[at] = 1
for at in range(0, size, 2 * page):
    held.madvise(mmap.MADV_DONTNEED, at, page)
print("fragmented", flush=True)
time.sleep(3600)
"""
# Wants more than its cgroup's memory.high, again and again: each time it is made to reclaim, and waits.
PRESS = """
import mmap
while True:
    with mmap.mmap(-1, 64 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as wanted:
        for at in range(0, 64 << 20, mmap.PAGESIZE):
            wanted[at] = 1
"""


def fragments(node: int | None = None) -> int:
    """Free movable pages in blocks below the order, as the kernel shows them."""
    found = 0
    for line in Path("/proc/pagetypeinfo").read_text(encoding="ascii").splitlines():
        row = re.match(r"Node +(\d+), zone +\S+, type +Movable (.*)", line)
        if row and node in {None, int(row[1])}:
            counts = [int(word.lstrip(">")) for word in row[2].replace("> ", ">").split()]
            found += sum(count << order for order, count in enumerate(counts[:ORDER]))
    return found


def tidy() -> None:
    """What there is of fragments would be used up first, and hide those that a story makes."""
    Path(WHOLE).write_text("1", encoding="ascii")


def writers() -> list[int]:
    """Children that compact, by their command lines."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"-I" in words and any(word.endswith((b"/compact", b"/compact_memory")) for word in words):
                found.append(int(folder.name))
    return found


class Running:
    """The part on a thread of its own."""

    def __init__(self) -> None:
        self._part = Compact(Doors(tree=Tree("/"), clock=time.monotonic), mmap.PAGESIZE)
        self._scheduler = Scheduler(self._died, time.monotonic, workers=1)
        self.bug: BaseException | None = None

    def change(self, config: CompactConfig) -> None:
        self._part.change(AgentTask(compact=config))
        self._scheduler.add("compact", lambda: self._part.run(time.monotonic()))

    def report(self) -> CompactReport:
        assert self.bug is None
        return self._part.report()

    def close(self) -> None:
        self._part.stop()
        self._scheduler.close()

    def _died(self, _key: str, error: BaseException) -> None:
        self.bug = error


@pytest.fixture(autouse=True)
def _short_lists() -> Iterator[None]:
    """Pages that a processor has freed and keeps for itself are in no block: on 6.12 most of what a story frees."""
    LISTS.write_text("1000000", encoding="ascii")
    yield
    LISTS.write_text("0", encoding="ascii")


@pytest.fixture
def running() -> Iterator[Running]:
    made = Running()
    yield made
    made.close()
    print(f"    {made.report()}", flush=True)
    poll.until("no compaction is left", lambda: not writers(), seconds=30)


@pytest.fixture
def fragment() -> Iterator[Callable[..., None]]:
    started: list[subprocess.Popen[str]] = []

    def make(mib: int, *prefix: str) -> None:
        words = [*prefix, sys.executable, "-c", FRAGMENT, str(mib)]
        started.append(subprocess.Popen(words, stdout=subprocess.PIPE, text=True))
        output = started[-1].stdout
        assert output is not None
        assert output.readline() == "fragmented\n"
        print(f"    {fragments()} fragments, {fragments(0)} of them on node 0", flush=True)

    yield make
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def pressing() -> Iterator[Callable[[], None]]:
    (TOP / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    group = Group(TOP / "pressing")
    group.path.mkdir()
    group.set("memory.high", "16M")

    def press() -> None:
        group.run(sys.executable, "-c", PRESS)

    yield press
    group.set("cgroup.kill", "1")
    poll.until("nobody presses", lambda: "populated 0" in group.get("cgroup.events"))
    group.path.rmdir()


def patient(**values: float | bool) -> CompactConfig:
    """The emulated machine is slow, and a compaction waits for writeback itself: only what a story is about stops."""
    config = {"period_secs": 2, "period_psi_percent_limit": PATIENT, "compact_psi_percent_limit": PATIENT}
    return CompactConfig(**(config | values))  # type: ignore[arg-type]  # of these keys


def periods_later(running: Running, count: int) -> CompactReport:
    """After a compaction there is nothing to do, and the periods go on."""
    then = running.report().periods
    poll.until(f"{count} periods later", lambda: running.report().periods >= then + count, seconds=600)
    return running.report()


def test_fragmentation_made_on_purpose_is_compacted_once(running: Running, fragment: Callable[..., None]) -> None:
    tidy()
    threshold = fragments() + 10_000
    running.change(patient(compact_threshold=threshold))
    assert periods_later(running, 2).runs == 0, "what there was is no reason"

    running.change(patient(disabled=True))
    fragment(256)
    before = fragments()
    assert before > threshold
    running.change(patient(compact_threshold=threshold))
    poll.until("memory is compacted", lambda: running.report().runs, seconds=300)
    after = fragments()
    report = periods_later(running, 4)

    assert (report.runs, report.stopped, report.failed, report.error) == (1, {}, 0, ""), report
    assert after < before - 10_000, (before, after)
    assert report.fragments_before > threshold


@pytest.mark.skipif(not Path("/sys/devices/system/node/node1").exists(), reason="needs two memory nodes")
def test_only_the_fragmented_node_is_compacted(running: Running, fragment: Callable[..., None]) -> None:
    tidy()
    threshold = max(fragments(0), fragments(1)) + 10_000
    running.change(patient(compact_threshold=threshold, per_node=True))
    assert periods_later(running, 2).runs == 0

    running.change(patient(disabled=True))
    fragment(384, "numactl", "--membind=1")
    before = fragments(1)
    assert before > threshold >= fragments(0)
    running.change(patient(compact_threshold=threshold, per_node=True))
    poll.until("a node is compacted", lambda: running.report().runs, seconds=300)
    report = periods_later(running, 2)

    assert (report.runs, report.error) == (1, ""), report
    assert [place.node for place in report.places if place.waited == 0 or place.compact] == [], report
    assert {place.node: place.fragments_before > 0 for place in report.places} == {0: False, 1: True}
    assert fragments(1) < before - 5_000, before


def test_pressure_made_by_another_process_stops_a_compaction(
    running: Running, fragment: Callable[..., None], pressing: Callable[[], None]
) -> None:
    fragment(256)
    pressing()
    running.change(patient(compact_psi_percent_limit=0, compact_force_times=0))

    stopped = poll.until("pressure has stopped one", lambda: running.report().stopped.get("pressure"), seconds=300)
    report = running.report()
    assert stopped, report
    assert report.last_seconds < 5, report


def test_pressure_holds_a_period(running: Running, pressing: Callable[[], None]) -> None:
    pressing()
    running.change(patient(period_psi_percent_limit=0, compact_force_times=0))

    poll.until("a period is held", lambda: running.report().held, seconds=120)
    assert "pressure: tasks waited" in running.report().decision


def test_a_compaction_ends_with_us_even_when_we_are_killed(fragment: Callable[..., None]) -> None:
    fragment(256)
    for _ in range(20):
        if child := killed_while_it_compacts():
            poll.until("it has ended with us", lambda: over(child), seconds=30, pause=0.02)
            return
    pytest.skip("this machine compacts too fast to be caught at it")


def killed_while_it_compacts() -> int:
    """Start a compaction from a process of its own, and kill that; 0 if the compaction was quicker."""
    script = (
        "from reconciler import children; import time;"
        f"child = children.writing({WHOLE!r}, '1'); print(child.process.pid, flush=True);"
        "child.process.wait(); print('over', flush=True); time.sleep(3600)"
    )
    root = Path(children.__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            child = int(parent.stdout.readline())
            while not (caught := compacts(child)) and not over(child):
                time.sleep(0.005)
            return child if caught else 0
        finally:
            parent.kill()


def over(pid: int) -> bool:
    """Whether it is dead, buried or not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] == "Z"
    return True


def compacts(pid: int) -> bool:
    """It has opened the file, and closes it when it is done."""
    with contextlib.suppress(OSError):
        return any(os.readlink(each) == WHOLE for each in Path(f"/proc/{pid}/fd").iterdir())
    return False


def test_what_this_kernel_compacts_is_what_it_shows(running: Running) -> None:
    """Without a reason of its own: forced in each period."""
    running.change(patient(compact_force_times=0))
    poll.until("one is over", lambda: running.report().runs, seconds=300)
    report = running.report()

    assert report.forced == report.runs
    assert report.unread == "", "this machine has PSI"
    assert report.places[0].free_bytes > 16 * memory.PAGE
