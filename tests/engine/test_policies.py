"""Every policy in a workload's loop: with its tracker, its mover and the brakes, on fake kernels with memory nodes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reconciler.engineconfig import (
    AgeConfig,
    AvoidOomConfig,
    DamosConfig,
    DemoteIdleConfig,
    EngineConfig,
    ForecasterConfig,
    HeatConfig,
    HeatmapConfig,
    MoverConfig,
    PolicyConfig,
    RatioConfig,
    Watermark,
)
from reconciler.model import BrakeLimits, EngineSettings
from reconciler.report import EngineReport
from sysfs import pagemap
from sysfs.damon import Stats
from sysfs.damon_scheme import Abilities
from sysfs.errors import KernelError
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_pool import FakePool
from tests.engine.fake_process import BASE, PAGE, FakeKernel, FakeProcess

EVERY = 1000  # milliseconds, of all intervals
ROOM = 1000  # pages of a node
REGION = 16  # pages


def config(policy: PolicyConfig, **changes: object) -> EngineConfig:
    return replace(CONFIG, policy=policy, routines=(), **changes)  # type: ignore[arg-type]


def two_nodes(kernel: FakeKernel) -> None:
    kernel.nodes.add(0, ROOM, (10,), cpu=True)
    kernel.nodes.add(1, ROOM, (20, 10))


def app(kernel: FakeKernel, pid: int = 50, *, home: int = 0, allowed: str = "0-1", oom_score: int = 666) -> FakeProcess:
    """Six regions that are used, and then four that are not."""
    process = FakeProcess(kernel.root, pid, referenced={0}, allowed=allowed).map(0, 96).map(128, 192)
    process.node[:] = home
    kernel.add(process.present(0, 96).present(128, 192))
    (process.folder / "oom_score").write_text(f"{oom_score}\n")
    return process


def swapped(process: FakeProcess) -> list[int]:
    return np.flatnonzero((process.pages & pagemap.SWAPPED) != 0).tolist()


def on(process: FakeProcess, node: int) -> list[int]:
    present = (process.pages & pagemap.PRESENT) != 0
    return np.flatnonzero(present & (process.node == node)).tolist()


def report(bench: Bench) -> EngineReport:
    found = bench.engine.report("w")
    assert found is not None
    return found


POLICIES: Sequence[PolicyConfig] = (
    AgeConfig(interval_ms=EVERY, swapout_ms=2000),
    RatioConfig(interval_ms=EVERY, ratio=0.3),
    HeatConfig(interval_ms=EVERY, nodes=((0, (1,)),)),
    AvoidOomConfig(interval_ms=EVERY, start=Watermark(percent=99), stop=Watermark(percent=100)),
    DemoteIdleConfig(interval_ms=EVERY, idle_nodes=(1,)),
    DamosConfig(interval_ms=EVERY),
)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
def test_what_only_measures_moves_nothing(bench: Bench, policy: PolicyConfig) -> None:
    two_nodes(bench.kernel)
    bench.kernel.idle_bitmap()
    process = app(bench.kernel)
    measuring = config(policy).measuring()
    bench.engine.start(bench.task(tracker="idlepage", config=measuring))
    bench.run(8)

    assert (swapped(process), on(process, 1)) == ([], [])
    assert (report(bench).error, report(bench).scans, report(bench).tracked_bytes) == ("", 8, 160 * PAGE)


# -- ratio -------------------------------------------------------------------------------------------------------------


def test_a_share_of_the_longest_unused_goes_to_swap_and_comes_back(bench: Bench) -> None:
    process = app(bench.kernel)
    bench.engine.start(bench.task(config=config(RatioConfig(interval_ms=EVERY, ratio=0.3))))
    bench.run(4)
    first = swapped(process)
    process.present(first[0], first[0] + REGION).write()  # the process has used it
    bench.run(4)
    second = swapped(process)
    bench.engine.start(bench.task(config=config(RatioConfig(interval_ms=EVERY, ratio=0.1))))
    bench.run(6)

    assert (len(first), len(second), len(swapped(process))) == (48, 48, 16)
    assert min(first + second) >= 128, "what is used stays"
    assert report(bench).brought_back_bytes == 32 * PAGE
    assert report(bench).error == ""


def test_a_share_goes_to_the_nodes_that_are_named(bench: Bench) -> None:
    two_nodes(bench.kernel)
    bench.kernel.swap(0)
    process = app(bench.kernel)
    bench.engine.start(bench.task(config=config(RatioConfig(interval_ms=EVERY, ratio=0.3, targets=(1,)))))
    bench.run(4)

    assert len(on(process, 1)) == 48
    assert min(on(process, 1)) >= 128
    assert (swapped(process), report(bench).brake) == ([], "")
    assert report(bench).node_bytes == {"0": 112 * PAGE, "1": 48 * PAGE}


# -- heat --------------------------------------------------------------------------------------------------------------

HEAT = HeatConfig(
    interval_ms=EVERY,
    heatmap=HeatmapConfig(heat_max=0.01, retention=0.5, classes=5),
    nodes=((0, (1,)), (1, (1,)), (2, (1,)), (3, (0,)), (4, (0,))),
)


def test_memory_goes_where_its_heat_class_belongs(bench: Bench) -> None:
    two_nodes(bench.kernel)
    process = app(bench.kernel)
    process.node[:48] = 1
    bench.engine.start(bench.task(config=config(HEAT)))
    bench.run(4)
    first = (on(process, 0), on(process, 1))
    process.referenced = {1}
    process.write()
    bench.run(6)

    assert first == ([*range(96)], [*range(128, 192)])
    assert (on(process, 1), on(process, 0)) == first


ECHO = ("sh", "-c", "while read line; do echo '{}'; done")  # nobody knows any heat


def test_a_forecaster_ends_with_its_loop(bench: Bench) -> None:
    two_nodes(bench.kernel)
    process = app(bench.kernel)
    heat = replace(HEAT, forecaster=ForecasterConfig(name="stdio", command=ECHO))
    bench.engine.start(bench.task(config=config(heat)))
    bench.run(3)
    session = bench.engine.session("w")
    assert session is not None
    while_it_ran = session.dump_policy(("forecast",))
    bench.engine.stop("w")

    assert "(below pid " in while_it_ran
    assert "(not running)" in session.dump_policy(("forecast",))
    assert on(process, 1) == [], "of heats that nobody knows nothing follows"


# -- avoid-oom ---------------------------------------------------------------------------------------------------------


def test_who_may_go_elsewhere_makes_room_for_who_is_bound(bench: Bench) -> None:
    two_nodes(bench.kernel)
    bound = app(bench.kernel, 50, home=1, allowed="1", oom_score=1300)
    small = app(bench.kernel, 51, home=1, oom_score=10)
    large = app(bench.kernel, 52, home=1, oom_score=900)
    bench.kernel.nodes.free[1] = 50
    bench.kernel.nodes.write()
    bench.engine.start(bench.task(tracker="stub", config=config(AvoidOomConfig(interval_ms=EVERY))))
    bench.run(5)

    assert on(bound, 0) == []
    assert (len(on(large, 0)), len(on(small, 0))) == (112, 0), "16 per cent of 1000 pages are free again"
    assert bench.kernel.nodes.free[1] == 162
    assert report(bench).notes == ()

    small.allowed = large.allowed = "1"
    for each in (small, large):
        each.write()
    bench.kernel.nodes.free[1] = 50
    bench.kernel.nodes.write()
    bench.run(3)

    assert "the processes there may not use other nodes" in report(bench).notes[0]


# -- demote-idle -------------------------------------------------------------------------------------------------------

DEMOTE = DemoteIdleConfig(interval_ms=EVERY, idle_nodes=(1,))
WORD = 64  # pages whose marks are in one word: the fake's neighbours lose theirs when one is marked


@pytest.fixture
def idle(bench: Bench) -> FakeProcess:
    """2048 pages, of which nobody uses any."""
    bench.kernel.nodes.add(0, 10_000, (10,), cpu=True)
    bench.kernel.nodes.add(1, 10_000, (20, 10))
    bench.kernel.idle_bitmap()
    return bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 2048).present(0, 2048))


def start(bench: Bench, policy: DemoteIdleConfig = DEMOTE, bandwidth_mib: int = 100) -> None:
    mover = MoverConfig(interval_ms=100, bandwidth_mib=bandwidth_mib)
    bench.engine.start(bench.task(tracker="idlepage", config=config(policy, mover=mover)))


def test_single_pages_that_nobody_used_for_an_interval_are_demoted(bench: Bench, idle: FakeProcess) -> None:
    start(bench)
    bench.run(0.5)
    bench.kernel.access(WORD, 3 * WORD)
    bench.run(0.4)
    before = on(idle, 1)
    bench.run(0.2)

    assert before == []
    assert on(idle, 1) == [*range(WORD), *range(3 * WORD, 2048)]


def test_pages_that_came_back_are_demoted_again(bench: Bench, idle: FakeProcess) -> None:
    start(bench)
    bench.run(1.5)
    first = on(idle, 1)
    idle.node[:WORD] = 0  # somebody brought them back, and used them
    bench.kernel.access(0, WORD)
    idle.write()
    bench.run(1)
    in_use = on(idle, 1)
    bench.run(2)

    assert (first, in_use, on(idle, 1)) == ([*range(2048)], [*range(WORD, 2048)], [*range(2048)])


def test_marks_that_others_have_set_count_for_nothing(bench: Bench, idle: FakeProcess) -> None:
    """Who has just come was not watched, however idle its pages look."""
    late = FakeProcess(bench.kernel.root, 51).map(0, 64).present(0, 64, frame=4096)
    bench.kernel.mark(set(range(4096, 4096 + 64)))
    mover = MoverConfig(interval_ms=100, bandwidth_mib=100)
    task = bench.task(tracker="idlepage", config=config(DEMOTE, mover=mover), pids=(50, 51))
    bench.engine.start(task)
    bench.run(1.5)
    bench.kernel.add(late)
    bench.run(1)
    on_arrival = on(late, 1)
    bench.run(1)

    assert (on_arrival, on(late, 1)) == ([], [*range(64)])


def test_what_is_used_while_it_waits_stays(bench: Bench, idle: FakeProcess) -> None:
    bench.kernel.before = lambda: bench.kernel.access(2048 - WORD, 2048)
    start(bench, bandwidth_mib=16)
    bench.run(1.9)

    assert on(idle, 1) == [*range(2048 - WORD)]


def test_pages_of_interest_alone(bench: Bench, idle: FakeProcess, tmp_path: Path) -> None:
    directory = tmp_path / "interest"
    directory.mkdir()
    pairs = np.array([BASE + 10 * PAGE, BASE + 12 * PAGE, BASE + 100 * PAGE, BASE + 101 * PAGE], "<u8")
    (directory / "50.vab").write_bytes(pairs.tobytes())
    (directory / "51.vab").write_bytes(b"odd")
    start(bench, replace(DEMOTE, pages_of_interest_directory=str(directory)))
    bench.run(2.5)
    first, note = on(idle, 1), report(bench).notes[0]
    (directory / "50.vab").write_bytes(pairs[:2].tobytes() + (pairs[2:] + 5 * PAGE).tobytes())
    bench.run(2)

    assert first == [10, 11, 100]
    assert "51.vab has 3 bytes" in note
    assert on(idle, 1) == [10, 11, 100, 105]


# -- damos -------------------------------------------------------------------------------------------------------------

SCHEME = DamosConfig(interval_ms=EVERY, min_age_ms=5000)


@pytest.fixture
def pool() -> FakePool:
    return FakePool()


@pytest.fixture
def damos(kernel: FakeKernel, pool: FakePool) -> Iterator[Bench]:
    made = Bench(kernel, kdamonds=pool)  # type: ignore[arg-type]
    app(kernel)
    yield made
    made.engine.close()


def test_the_kernel_acts_and_says_what_it_did(damos: Bench, pool: FakePool) -> None:
    damos.engine.start(damos.task(config=config(SCHEME)))
    damos.run(1.5)
    pool.stats = Stats(tried_bytes=5 << 20, applied_bytes=3 << 20, quota_exceeded=2)
    damos.run(1)

    assert (pool.actions, pool.pids) == ([("pageout",)], {50})
    assert report(damos).notes[-2].startswith("action pageout looks at no pagetypes in processes")
    assert report(damos).notes[-1] == (
        "the kernel tried 5 MiB and applied pageout to 3 MiB; its quota was exceeded 2 times"
    )
    damos.engine.stop("w")
    assert pool.left == 1


def test_brakes_hold_the_kernel_and_let_it_go_on(damos: Bench, pool: FakePool) -> None:
    damos.engine.start(damos.task(config=config(SCHEME)))
    damos.run(1.5)
    damos.kernel.swap(1 << 20, used=1 << 20)
    damos.run(2)
    held, brake = pool.actions[-1], report(damos).brake
    damos.kernel.swap(1 << 20)
    damos.run(2)

    assert (held, "swap is 100 % full" in brake) == ((), True)
    assert pool.actions == [("pageout",), (), ("pageout",)]
    assert report(damos).brake == ""


def test_a_brake_that_holds_from_the_start_lets_the_kernel_do_nothing(damos: Bench, pool: FakePool) -> None:
    """Though one kind of page might go: a scheme takes them all."""
    damos.kernel.swap(0)
    damos.engine.start(damos.task(config=config(replace(SCHEME, page_types=("anon", "file")))))
    damos.run(3)

    assert pool.actions == [()]
    assert "no swap" in report(damos).brake


def test_paused_schemes_do_nothing(damos: Bench, pool: FakePool) -> None:
    damos.engine.update(damos.features, EngineSettings(), paused=True)
    damos.engine.start(damos.task(config=config(SCHEME)))
    damos.run(3)
    before = list(pool.actions)
    damos.engine.update(damos.features, EngineSettings())
    damos.run(2)

    assert (before, pool.actions) == ([()], [(), ("pageout",)])


def test_schemes_that_only_move_need_no_swap(damos: Bench, pool: FakePool) -> None:
    damos.kernel.swap(0)
    cold = replace(SCHEME, action="migrate_cold", nodes=(1,), physical=False)
    pool.can = Abilities(dests=True)
    damos.engine.start(damos.task(config=config(cold), brakes=BrakeLimits()))
    damos.run(3)

    assert pool.actions == [("migrate_cold",)]


def test_figures_that_cannot_be_read_are_said_and_the_loop_lives(damos: Bench, pool: FakePool) -> None:
    pool.trouble = KernelError(None, "was given back", "kdamond 7")
    damos.engine.start(damos.task(config=config(SCHEME)))
    damos.run(3)

    assert report(damos).notes[-1].startswith("what the kernel has done cannot be read: ")
    assert report(damos).scans == 3


def test_what_this_kernel_cannot_do_ends_the_loop_with_the_reason(damos: Bench, pool: FakePool) -> None:
    damos.engine.start(damos.task(config=config(replace(SCHEME, action="lru_prio"))))
    damos.run(3)

    assert "DAMON has no such action for processes" in report(damos).error
    assert pool.left == 1
