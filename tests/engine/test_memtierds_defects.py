"""What memtierd does wrong and no other test here holds; docs/memtierd-defects.md names all that do."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from reconciler.engine.tasks import Task
from reconciler.engine.trackers.softdirty import SoftDirty
from reconciler.engineconfig import (
    AgeConfig,
    EngineConfig,
    HeatConfig,
    MoverConfig,
    PolicyConfig,
    RatioConfig,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.memtierd.console import Console
from reconciler.memtierd.own import Own
from reconciler.report import EngineReport
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_process import PAGE, FakeKernel, FakeProcess
from tests.engine.mover_bench import MIB, MoverBench
from tests.engine.test_trackers import known_process, means

TO_NODE = (
    AgeConfig(interval_ms=1000, idle_ms=2000, idle_nodes=(1,)),
    RatioConfig(interval_ms=1000, ratio=0.5, targets=(1,)),
    HeatConfig(interval_ms=1000, nodes=((0, (1,)), (9, (1,)))),
)


def report(bench: Bench) -> EngineReport:
    found = bench.engine.report("w")
    assert found is not None
    return found


def two_nodes(kernel: FakeKernel) -> None:
    kernel.nodes.add(0, 100_000, (10,), cpu=True)
    kernel.nodes.add(1, 50_000, (20, 10))


# -- memory ranges -----------------------------------------------------------------------------------------------------


def test_ranges_need_no_numa_maps(bench: Bench) -> None:
    process = bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 32).present(0, 32))
    bench.engine.start(bench.task())
    bench.run(6)

    assert not (process.folder / "numa_maps").exists()
    assert report(bench).paged_out_bytes == 32 * PAGE


@pytest.mark.parametrize("rest", ["rw-s 00000000 08:01 77 /data/heap", "r--p 00000000 08:01 78 /lib/anon=1.so"])
def test_the_name_of_a_file_makes_it_no_heap(bench: Bench, rest: str) -> None:
    bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 32, rest).present(0, 32, bits=1 << 56 | 1 << 61))
    bench.engine.start(bench.task())
    bench.run(6)

    assert (report(bench).tracked_bytes, bench.kernel.advised) == (0, [])


def test_a_mapping_of_one_page_counts(bench: Bench) -> None:
    bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(5, 6).present(5, 6))
    bench.engine.start(bench.task())
    bench.run(6)

    assert report(bench).paged_out_bytes == PAGE


# -- trackers ----------------------------------------------------------------------------------------------------------


def test_softdirty_sees_what_was_written_before_it_went_to_swap(kernel: FakeKernel) -> None:
    known = known_process(kernel)
    process = kernel.processes[50]
    process.swapped(16, 32)
    process.pages[16:20] |= np.uint64(1 << 55)
    process.write()

    assert SoftDirty(means(kernel, TrackerConfig(name="softdirty"))).look(known).writes.tolist() == [0, 1, 0]


@pytest.mark.parametrize(("update_ms", "found"), [(0, 64), (600_000, 32)])
def test_finder_looks_for_ranges_each_time_where_that_is_asked(bench: Bench, update_ms: int, found: int) -> None:
    process = bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 32).present(0, 64))
    tracker = replace(CONFIG.tracker, name="finder", regions_update_ms=update_ms)
    stub = StubConfig(interval_ms=1000)
    bench.engine.start(bench.task("finder", config=replace(CONFIG, policy=stub, tracker=tracker, routines=())))
    bench.run(1.5)
    process.mappings[0] = (0, 64, "rw-p 00000000 00:00 0")
    process.write()
    bench.run(2)

    assert report(bench).tracked_bytes == found * PAGE


# -- policies ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", ["asked", "before"])
@pytest.mark.parametrize("policy", TO_NODE, ids=lambda policy: type(policy).__name__)
def test_a_process_that_exits_while_its_pages_are_located_or_moved_is_normal(
    bench: Bench, policy: PolicyConfig, moment: str
) -> None:
    two_nodes(bench.kernel)
    dying, living = (bench.kernel.add(FakeProcess(bench.kernel.root, pid, allowed="0-1")) for pid in (50, 51))
    for each in (dying, living):
        each.map(0, 32).present(0, 32).write()
    reached = []

    def die() -> None:
        reached.append(bench.now)
        if dying.folder.exists():
            dying.exit()

    setattr(bench.kernel if moment == "before" else bench.kernel.nodes, moment, die)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=policy)))
    bench.run(10)

    assert reached
    assert (report(bench).processes, report(bench).error, bench.wakes) == (1, "", [])
    assert (living.node[:32] == 1).any()


def test_another_configuration_replaces_the_loop_and_its_intervals(bench: Bench) -> None:
    bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 32).present(0, 32))
    slow = replace(CONFIG, tracker=replace(CONFIG.tracker, scan_interval_ms=10_000), routines=())
    bench.engine.start(bench.task(config=replace(CONFIG, routines=())))
    bench.run(3.5)
    assert report(bench).scans == 3
    before = bench.engine.session("w")
    assert before is not None
    bench.engine.start(bench.task(config=slow))
    bench.run(35)

    assert report(bench).scans == 3, "of the new loop"
    assert (before.run(), before.report().scans) == (float("inf"), 3), "the old one has ended, whoever wakes it"


def test_limits_that_are_equal_make_no_rows_twice(bench: Bench) -> None:
    bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 32).present(0, 32))
    bench.engine.start(bench.task(config=replace(CONFIG, policy=AgeConfig(interval_ms=1000, swapout_ms=60_000))))
    bench.run(3)
    session = bench.engine.session("w")
    assert session is not None
    lines = session.dump_policy(("accessed",)).splitlines()

    assert lines[0] == "using limits from configuration: active 0 ms, idle 0 ms, swapout 60000 ms"
    assert [line.split()[1:3] for line in lines[3:]] == [["0.000", "60.000"], ["60.000", "0.000"]]


# -- mover -------------------------------------------------------------------------------------------------------------


def test_a_bandwidth_of_less_than_a_page_an_interval_moves_nevertheless(kernel: FakeKernel) -> None:
    two_nodes(kernel)
    bench = MoverBench(kernel, MoverConfig(interval_ms=1, bandwidth_mib=1))
    bench.process(50, 20_480)
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(60)

    assert bench.moved.spent / MIB == pytest.approx(60, rel=0.05)


def test_tasks_are_done_in_the_order_in_which_they_came(kernel: FakeKernel) -> None:
    two_nodes(kernel)
    bench = MoverBench(kernel, MoverConfig(interval_ms=10, bandwidth_mib=4))
    first, second = bench.process(50, 1024), bench.process(51, 1024)
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.mover.add(Task(pid=51, to=(1,)))
    bench.run(0.9)

    assert (first.node[:1024] == 1).sum() > 512
    assert (second.node[:1024] == 1).sum() == 0


# -- prompt ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def own(bench: Bench, said: list[str]) -> Iterator[Own]:
    two_nodes(bench.kernel)
    bench.kernel.add(FakeProcess(bench.kernel.root, 42, allowed="0-1").map(0, 32).present(0, 32))
    made = Own(bench.kernel.tree, bench.features, said.append, engine=bench.engine)
    yield made
    made.close()


STUB = EngineConfig(policy=StubConfig(), tracker=TrackerConfig(name="stub"), watcher=WatcherConfig(name="stub"))


@pytest.mark.parametrize(
    ("lines", "last"),
    [
        (["mover -tasks"], ""),
        (["mover -wait"], "mover wait received: AllDone"),
        (["pages -pid 42", "mover -pages-to 1", "mover -tasks"], "dest: [node1]"),
        (["swap -pid 42 -out -mover"], ""),
        (["tracker -create stub -start 42", "tracker -heat"], "no counter entries"),
        (["tracker -create stub -start 42", "tracker -stop", "tracker -stop"], ""),
    ],
)
def test_a_policy_or_tracker_that_does_nothing_breaks_no_command(
    own: Own, bench: Bench, lines: list[str], last: str
) -> None:
    own.start("policy", STUB)
    bench.run(1)
    console = Console(own)
    answers = [console.run(line) for line in lines]

    assert all(answer.ok for answer in answers), answers
    assert last in answers[-1].text


def test_a_tracker_that_this_kernel_lacks_is_an_error_and_no_crash(own: Own) -> None:
    answer = Console(own).run("tracker -create damon -start 42")

    assert not answer.ok
    assert "damon" in answer.text


def test_a_pidwatcher_that_is_started_twice_tells_everything_once(own: Own, bench: Bench, said: list[str]) -> None:
    for _ in range(2):
        own.watch(WatcherConfig(name="pidlist", pids=(42,)))
    while bench.engine.scheduler.turn():
        pass

    assert said == ["pidwatcher: AddPids([42])"]
