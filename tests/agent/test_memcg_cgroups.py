"""Cgroups and nodes that come, go and come again, and what the memcg part tells of them."""

import errno
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.agentconfig import Kept, MemcgConfig, MemcgProfile
from sysfs import mglru
from tests.agent.fake_lru import ANON, FILE, PAGE, FakeLru, Lru
from tests.agent.memcg_bench import MIB, PERIOD, Bench


@pytest.fixture
def kernel() -> FakeLru:
    return FakeLru()


@pytest.fixture
def bench(tmp_path: Path, kernel: FakeLru) -> Bench:
    return Bench(tmp_path, kernel)


def test_new_and_vanished_cgroups_and_nodes(tmp_path: Path) -> None:
    kernel = FakeLru(nodes=(0,))
    bench = Bench(tmp_path, kernel)
    kernel.cgroup("/old", file=1_000)
    bench.profile(MemcgProfile())
    bench.periods(2)
    kernel.cgroup("/new", file=1_000)
    kernel.remove("/old")
    kernel.groups["/"].lrus[1] = Lru(pages=[[0, 0], [0, 500]])
    bench.periods()

    assert [each.path for each in bench.part.report().cgroups] == ["/", "/new"]
    assert (bench.figures("/", 1).run_aging_count, bench.figures("/new").run_aging_count) == (1, 1)
    assert bench.part.report().agings == 7, (
        "also of those that are gone: three times /, twice /old, once /new and / on 1"
    )
    del kernel.groups["/"].lrus[1]
    bench.periods()
    assert len(bench.part.report().cgroups[0].nodes) == 1


def test_a_cgroup_that_was_made_again_begins_again(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=1_000)
    bench.profile(MemcgProfile())
    bench.periods(4)
    bench.kernel.remove("/shop", zombie=True)
    bench.kernel.cgroup("/shop", file=1_000)
    bench.periods()

    assert (bench.figures("/shop").run_aging_count, bench.figures("/shop").bytes) == (1, 0)
    assert bench.part.report().offline == 1


@pytest.mark.parametrize("order", [1, -1])
def test_of_two_with_one_path_the_one_whose_number_is_the_inode_lives(bench: Bench, order: int) -> None:
    """As Linux 7.0 numbers them."""
    live = bench.kernel.cgroup("/shop", file=1_000)
    live.number = live.inode
    dead = replace(live, number=77, offline=True)
    bench.kernel.zombies = [dead]
    bench.kernel.reverse = order < 0
    first, second = (each for each in mglru.read(bench.kernel) if each.path == "/shop")
    assert ((first.memcg, second.memcg) == (77, live.number)) is (order > 0)
    bench.profile(MemcgProfile())
    bench.periods()

    assert bench.part.report().cgroups[1].id == live.inode


def test_offline_cgroups_and_number_0_are_left_out(bench: Bench) -> None:
    bench.kernel.cgroup("/ended", file=1_000)
    bench.kernel.remove("/ended", zombie=True)
    bench.kernel.cgroup("/zero", file=1_000).number = 0
    bench.profile(MemcgProfile())
    bench.periods(4)

    assert [each.path for each in bench.part.report().cgroups] == ["/"]
    assert bench.part.report().offline == 2
    assert {each.split()[1] for each in bench.kernel.commands()} == {"101"}


def test_a_cgroup_that_goes_in_the_middle_of_its_eviction_disturbs_nobody(bench: Bench) -> None:
    first = bench.kernel.cgroup("/a", file=100 * MIB)
    bench.kernel.cgroup("/b", file=10 * MIB)

    def remove(command: str) -> None:
        if command.startswith(f"- {first.number} ") and "/a" in bench.kernel.groups:
            bench.kernel.remove("/a")

    bench.kernel.after = remove
    bench.profile(MemcgProfile())
    bench.periods(5)

    assert bench.lru("/b").total(FILE) == 0
    assert [each.path for each in bench.part.report().cgroups] == ["/", "/b"]


def test_a_refused_command_is_counted_and_said(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=1_000)
    bench.profile(MemcgProfile())
    bench.periods(2)
    bench.kernel.refuses[mglru.GENERATIONS] = errno.EINTR
    one = bench.kernel.groups["/shop"]
    bench.kernel.refuses_open = False
    bench.periods()

    found = bench.figures("/shop")
    assert found.eviction.error == 1
    assert "Interrupted" in found.reason
    assert one.pages() == 1_000


@pytest.mark.parametrize("how", ["observe", "dry_run"])
def test_who_only_looks_writes_nothing_and_says_what_would_leave(tmp_path: Path, how: str) -> None:
    kernel = FakeLru(switches=5)
    bench = Bench(tmp_path, kernel)
    kernel.cgroup("/shop", file=1_000, anon=500)
    for _ in range(3):
        bench.lru("/shop").age(kernel.now - 100, swap=True)
    bench.change(memcg=MemcgConfig(dry_run=how == "dry_run"), observe=how == "observe")
    bench.periods(4)

    assert kernel.written == []
    assert list(tmp_path.iterdir()) == []
    assert bench.figures("/shop").would_bytes == bench.part.report().would_take_bytes
    assert bench.figures("/shop").would_bytes == 2 * 1_000 * PAGE, "in the third and the fourth pass"
    assert bench.figures("/shop").reason == "Observed: 4096000 bytes would be taken"
    assert asdict(bench.figures("/shop").eviction) == dict.fromkeys(asdict(bench.figures("/shop").eviction), 0)


def test_what_cannot_be_read_is_said_and_tried_again_soon(bench: Bench) -> None:
    bench.kernel.lacks |= {mglru.GENERATIONS, "memory.reclaim"}
    bench.profile(MemcgProfile())
    bench.periods()
    report = bench.part.report()

    assert "mount -t debugfs" in report.error
    assert "memory.reclaim" in report.error
    assert bench.due == bench.kernel.now + 300
    bench.kernel.lacks.clear()
    bench.periods()
    assert (bench.part.report().error, bench.part.report().mechanism) == ("", "mglru")


def test_what_is_reported_is_what_mem_agents_status_has(bench: Bench) -> None:
    shop = bench.kernel.cgroup("/shop", file=1_000)
    bench.profile(MemcgProfile())
    bench.periods(2)
    bench.kernel.now += 5
    about = next(each for each in bench.part.report().cgroups if each.path == "/shop")

    assert (about.id, about.ino) == (shop.number, shop.inode)
    found = about.nodes[0]
    assert (found.max_seq, found.min_seq) == (shop.lruvec().youngest - 1, shop.lruvec().oldest), "before this aging"
    assert found.last_inc_secs == pytest.approx(PERIOD + 5, abs=1)
    assert found.next_secs == pytest.approx(PERIOD - 5, abs=1)
    assert found.reason == "aged 2 times, evicted from 3 on"


@given(
    sizes=st.lists(st.tuples(st.integers(0, 5_000), st.integers(0, 5_000)), min_size=1, max_size=5),
    hot=st.floats(0, 1),
    swap=st.booleans(),
    kept=st.integers(0, 4),
    periods=st.integers(1, 8),
)
@settings(max_examples=40, deadline=None)
def test_whatever_there_is_what_is_kept_or_hot_stays_and_no_counter_falls(
    sizes: list[tuple[int, int]], hot: float, swap: bool, kept: int, periods: int
) -> None:
    kernel = FakeLru()
    for n, (anon, file) in enumerate(sizes):
        kernel.cgroup(f"/c{n}", anon=anon, file=file, hot_anon=int(anon * hot), hot_file=int(file * hot))
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), kernel)
        bench.change(kept=(Kept(cgroup=f"/c{kept}", reason="pinned"),))
        bench.profile(MemcgProfile(swap=swap, swappiness_max=200))
        before: dict[str, dict[str, int]] = {}
        for _ in range(periods):
            bench.periods()
            now = {each.path: asdict(each.nodes[0].eviction) for each in bench.part.report().cgroups}
            for path, counters in now.items():
                assert all(counters[name] >= value >= 0 for name, value in before.get(path, {}).items())
            before = now
    for n, (anon, file) in enumerate(sizes):
        lru = kernel.groups[f"/c{n}"].lruvec()
        least = (anon, file) if n == kept else (int(anon * hot) if swap else anon, int(file * hot))
        assert (lru.total(ANON) >= least[0], lru.total(FILE) >= least[1]) == (True, True)
