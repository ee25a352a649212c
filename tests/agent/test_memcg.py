"""Whole periods of the memcg part, on a kernel whose generations age and are evicted."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler.agentconfig import Kept, MemcgConfig, MemcgOverride, MemcgProfile, PsiConfig
from sysfs import mglru
from tests.agent.fake_lru import ANON, FILE, PAGE, FakeLru
from tests.agent.memcg_bench import MIB, SWAP, Bench


@pytest.fixture
def kernel() -> FakeLru:
    return FakeLru()


@pytest.fixture
def bench(tmp_path: Path, kernel: FakeLru) -> Bench:
    return Bench(tmp_path, kernel)


def test_nothing_is_done_before_anybody_asks(bench: Bench) -> None:
    assert bench.part.run(0) == math.inf
    assert (bench.kernel.written, bench.part.report().passes) == ([], 0)


def test_cold_page_cache_leaves_after_three_agings_and_the_hot_set_stays(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=10_000, hot_file=2_000, anon=5_000, hot_anon=1_000)
    bench.profile(MemcgProfile())
    bench.periods(2)
    assert bench.lru("/shop").total(FILE) == 10_000

    bench.periods(2)
    assert (bench.lru("/shop").total(FILE), bench.lru("/shop").total(ANON)) == (2_000, 5_000)
    assert bench.kernel.commands("+ 102 0")[0].endswith(" 0 1"), "aged without anonymous memory"
    found = bench.figures("/shop")
    assert (found.eviction.page, found.bytes, found.run_aging_count) == (8_000, 8_000 * PAGE, 4)
    assert found.eviction.no_min_lru_file >= 1
    assert bench.part.report().taken_bytes == 8_000 * PAGE


def test_with_swap_idle_anonymous_memory_leaves_too(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=10_000, hot_file=2_000, anon=5_000, hot_anon=1_000)
    bench.profile(SWAP)
    bench.periods(5)

    assert (bench.lru("/shop").total(FILE), bench.lru("/shop").total(ANON)) == (2_000, 1_000)
    assert bench.figures("/shop").eviction.page == 12_000
    assert {int(each.split()[4]) for each in bench.kernel.commands("-")} <= {0, *range(1, 51), 200}


def test_a_batch_is_four_mebibytes_and_the_kernels_text_is_read_once_a_round(bench: Bench) -> None:
    for number in range(5):
        bench.kernel.cgroup(f"/c{number}", file=5 * MIB)
    bench.profile(MemcgProfile())
    bench.periods(3)
    before = bench.kernel.reads[mglru.GENERATIONS]
    bench.periods()

    assert [int(each.split()[-1]) for each in bench.kernel.commands("- 102 ")] == [4 * MIB, MIB]
    assert bench.kernel.reads[mglru.GENERATIONS] - before <= 4, "one for all, then one a round"


def test_when_nothing_is_cold_nothing_changes(bench: Bench) -> None:
    bench.kernel.cgroup("/busy", file=1_000, hot_file=1_000, anon=500, hot_anon=500)
    bench.profile(SWAP)
    bench.periods(10)

    assert bench.kernel.groups["/busy"].pages() == 1_500
    assert bench.kernel.commands("-") == []
    assert bench.figures("/busy").eviction.page == 0


def test_who_has_just_been_aged_by_somebody_else_is_left_alone(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=1_000)
    bench.profile(MemcgProfile())
    for _ in range(5):
        bench.lru("/shop").age(max(bench.due, bench.kernel.now) - 59, swap=True)
        bench.periods()

    assert bench.lru("/shop").total(FILE) == 1_000
    assert bench.kernel.commands("+ 102") == []
    assert "younger than 60 s" in bench.figures("/shop").reason


def test_pressure_in_the_period_leaves_that_period_out(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=1_000)
    bench.profile(MemcgProfile())
    bench.periods(2)
    bench.kernel.stall("/shop", 4_000_000, 3_000_000)  # 7 s of 600: 1.17 %
    bench.periods()
    found = bench.figures("/shop")
    assert (found.run_aging_count, found.sleep_psi_exceeds_limit) == (2, 1)
    assert "limit 1 %" in found.reason

    bench.kernel.stall("/shop", 5_000_000)
    bench.periods()
    assert bench.figures("/shop").run_aging_count == 3


def test_pressure_of_those_below_is_not_ones_own(bench: Bench) -> None:
    bench.kernel.cgroup("/slice", file=1_000)
    bench.kernel.cgroup("/slice/noisy", file=1_000)
    bench.profile(MemcgProfile())
    bench.periods(2)
    bench.kernel.stall("/slice", 100_000_000)
    bench.kernel.stall("/slice/noisy", 100_000_000)
    bench.periods()

    assert bench.figures("/slice").sleep_psi_exceeds_limit == 0
    assert bench.figures("/slice/noisy").sleep_psi_exceeds_limit == 1


def test_pressure_during_an_eviction_stops_it_at_the_next_check(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=100 * MIB)
    bench.kernel.after = lambda command: bench.kernel.stall("/shop", 5_000) if command.startswith("-") else None
    bench.profile(MemcgProfile())
    bench.periods(4)

    found = bench.figures("/shop")
    assert len(bench.kernel.commands("-")) == found.eviction.psi_exceeds_limit > 0, "one command a pass"
    assert found.eviction.page == 4 * MIB * found.eviction.psi_exceeds_limit
    assert found.reason.startswith("PsiExceedsLimit: pressure: tasks waited 50.0 %")


@pytest.mark.parametrize("required", [True, False])
def test_without_psi_the_configuration_decides(bench: Bench, required: bool) -> None:
    bench.kernel.lacks |= {"memory.pressure"}
    bench.kernel.cgroup("/shop", file=1_000)
    bench.change(psi=PsiConfig(required=required), memcg=MemcgConfig())
    bench.periods(5)

    assert (bench.lru("/shop").total(FILE) == 1_000) is required
    assert ("memory.pressure" in bench.part.report().unread) is not required


def test_swap_that_is_full_keeps_anonymous_memory_in(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", anon=1_000)
    bench.kernel.cgroup("/capped", anon=1_000).swap_max = "0"
    bench.kernel.swap_pages = 256
    bench.profile(SWAP)
    bench.periods(5)
    assert bench.kernel.commands("-") == [], "1 MiB is not enough to begin with"

    bench.kernel.swap_pages = 100_000
    bench.periods(2)
    assert bench.lru("/shop").total(ANON) == 0
    assert bench.lru("/capped").total(ANON) == 1_000, "its own limit says no"


def test_a_command_that_takes_nothing_is_the_last_one(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=1_000)
    bench.lru("/shop").stuck = True
    bench.profile(MemcgProfile())
    bench.periods(4)

    found = bench.figures("/shop").eviction
    assert (found.min_lru_inc, found.page) == (len(bench.kernel.commands("-")), 0)
    assert found.min_lru_inc > 0


def test_memory_that_comes_back_stops_an_eviction_and_the_next_one(bench: Bench) -> None:
    shop = bench.kernel.cgroup("/shop", file=100 * MIB)
    bench.kernel.pace = 2.0  # so slow that each round looks

    def back(command: str) -> None:
        shop.refaults += 2 * MIB if command.startswith("- 102") else 0

    bench.kernel.after = back
    bench.profile(MemcgProfile())
    bench.periods(3)
    if not bench.kernel.commands("-"):
        bench.periods()
    found = bench.figures("/shop")
    assert (found.eviction.refault, found.eviction.page) == (1, 4 * MIB)
    assert found.reason.startswith("Refault: refaults: 2097152 bytes came back beside 4194304 taken")

    shop.refaults += 10 * MIB
    bench.periods()
    assert "nothing is taken this time" in bench.figures("/shop").reason
    assert bench.figures("/shop").eviction.page == 4 * MIB

    bench.kernel.after = lambda _command: None
    bench.periods()
    assert bench.figures("/shop").eviction.page > 4 * MIB, "once"


def test_refaults_below_are_not_ones_own(bench: Bench) -> None:
    bench.kernel.cgroup("/slice", file=20 * MIB)
    inner = bench.kernel.cgroup("/slice/inner")
    bench.kernel.pace = 2.0

    def back(_command: str) -> None:
        inner.refaults += 50 * MIB

    bench.kernel.after = back
    bench.profile(MemcgProfile())
    bench.periods(4)

    assert bench.lru("/slice").total(FILE) == 0


def test_a_pass_takes_no_more_than_its_bytes(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", file=100 * MIB)
    bench.profile(MemcgProfile(), pass_bytes=10 << 20)
    bench.periods(3)
    begun = len(bench.kernel.commands("-")) > 0
    bench.periods(2 - begun)

    assert bench.figures("/shop").eviction.pass_bytes >= 1
    assert bench.figures("/shop").eviction.page == 10 * MIB * bench.figures("/shop").eviction.pass_bytes


def test_a_pass_that_took_its_time_is_continued_by_the_next(bench: Bench) -> None:
    for name in "abcd":
        bench.kernel.cgroup(f"/{name}", file=20 * MIB, hot_file=0)
    bench.kernel.pace = 5.0
    bench.profile(MemcgProfile(), pass_secs=60.0)
    bench.periods(30)

    assert bench.part.report().cut > 0
    assert bench.part.report().seconds <= 60 + 5 * bench.kernel.pace
    assert [bench.lru(f"/{name}").total(FILE) for name in "abcd"] == [0] * 4


def test_slow_aging_leaves_time_for_eviction(bench: Bench) -> None:
    for number in range(30):
        bench.kernel.cgroup(f"/c{number}", file=100)
    bench.kernel.pace = 5.0
    bench.profile(MemcgProfile(), pass_secs=60.0)
    bench.periods(60)

    assert sum(bench.lru(f"/c{number}").total(FILE) for number in range(30)) == 0
    counts = [bench.figures(f"/c{number}").run_aging_count for number in range(30)]
    assert max(counts) - min(counts) <= 2, "everybody's turn comes"


def test_kept_cgroups_and_our_own_are_left_alone_with_all_below_them(bench: Bench) -> None:
    for path in ("/pinned", "/pinned/inner", "/system.slice", bench.kernel.own, "/free"):
        bench.kernel.cgroup(path, file=1_000)
    bench.change(kept=(Kept(cgroup="/pinned", reason="static policy"),))
    bench.periods(6)

    assert {path for path, group in bench.kernel.groups.items() if group.pages()} == {
        "/pinned",
        "/pinned/inner",
        bench.kernel.own,
    }
    ids = {bench.kernel.groups[path].number for path in ("/pinned", "/pinned/inner", bench.kernel.own)}
    assert not [each for each in bench.kernel.commands() if int(each.split()[1]) in ids]
    said = {each.path: each.left_alone for each in bench.part.report().cgroups}
    assert (said["/pinned/inner"], said[bench.kernel.own], said["/free"]) == ("static policy", "it is our own", "")


def test_nodes_have_profiles_of_their_own(tmp_path: Path) -> None:
    kernel = FakeLru(nodes=(0, 1))
    bench = Bench(tmp_path, kernel)
    kernel.cgroup("/shop", file=1_000)
    off = MemcgOverride(path="/shop", numa_id=(1,), profile=MemcgProfile(disabled=True))
    bench.profile(MemcgProfile(), cgroups=(off,))
    bench.periods(5)

    assert (bench.lru("/shop", 0).total(FILE), bench.lru("/shop", 1).total(FILE)) == (0, 1_000)
    assert (bench.figures("/shop", 1).reason, bench.figures("/shop", 1).next_secs) == ("left alone", None)


def test_each_period_has_its_own_time(bench: Bench) -> None:
    bench.kernel.cgroup("/slow", file=1_000)
    bench.kernel.cgroup("/fast", file=1_000)
    fast = MemcgOverride(path="/fast", profile=MemcgProfile(period_secs=100))
    bench.profile(MemcgProfile(period_secs=1000), cgroups=(fast,))
    bench.periods(9)

    assert bench.figures("/fast").run_aging_count == 9
    assert bench.figures("/slow").run_aging_count == 1
    assert 0 < (bench.figures("/slow").next_secs or 0) <= 200


def test_a_change_reaches_cgroups_that_are_known_already(bench: Bench) -> None:
    bench.kernel.cgroup("/shop", anon=1_000)
    bench.profile(MemcgProfile())
    bench.periods(5)
    assert bench.lru("/shop").total(ANON) == 1_000

    bench.profile(SWAP)
    due = bench.due
    assert bench.part.run(bench.kernel.now) == due, "the same period: its time goes on"
    bench.periods(5)
    assert bench.lru("/shop").total(ANON) == 0
    assert bench.figures("/shop").run_aging_count == 10


@pytest.mark.parametrize("how", ["off", "disabled", "kept", "stop", "observe"])
def test_a_change_reaches_the_eviction_that_is_under_way(bench: Bench, how: str) -> None:
    bench.kernel.cgroup("/shop", file=100 * MIB)
    changes: dict[str, Callable[[], None]] = {
        "off": lambda: bench.change(memcg=None),
        "disabled": lambda: bench.profile(MemcgProfile(disabled=True)),
        "kept": lambda: bench.change(kept=(Kept(cgroup="/shop", reason="x"),)),
        "stop": bench.part.stop,
        "observe": lambda: bench.change(observe=True),
    }
    bench.profile(MemcgProfile())
    bench.kernel.after = lambda command: changes[how]() if command.startswith("-") else None
    bench.periods(6)

    assert len(bench.kernel.commands("-")) == 1
