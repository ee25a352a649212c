"""Kernels without MGLRU: the same policy by memory.reclaim."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.agentconfig import Kept, MemcgProfile
from sysfs import mglru
from tests.agent.fake_lru import ANON, FILE, PAGE, FakeLru, Lru
from tests.agent.memcg_bench import MIB, SWAP, Bench


@pytest.fixture
def kernel() -> FakeLru:
    return FakeLru()


@pytest.fixture
def bench(tmp_path: Path, kernel: FakeLru) -> Bench:
    return Bench(tmp_path, kernel)


def classic(kernel: FakeLru, path: str, inactive: tuple[int, int], active: tuple[int, int] = (0, 0)) -> None:
    """A cgroup whose memory is on the kernel's two lists: [anon, file], pages."""
    lru = Lru(pages=[list(inactive), [0, 0], list(active), [0, 0]], made=[0.0] * 4)
    kernel.cgroup(path).lrus = {0: lru}


@pytest.fixture
def old(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path, FakeLru())
    bench.kernel.lacks |= {mglru.ENABLED, mglru.GENERATIONS}
    return bench


def test_without_mglru_a_small_share_of_inactive_page_cache_leaves_by_memory_reclaim(old: Bench) -> None:
    classic(old.kernel, "/shop", inactive=(16_384, 16_384), active=(4_000, 4_000))
    old.profile(MemcgProfile())
    old.periods()
    assert old.figures("/shop", -1).last_inc_secs is None
    old.periods()
    assert old.figures("/shop", -1).last_inc_secs == pytest.approx(600)
    assert old.kernel.written == []

    old.periods()
    assert (old.lru("/shop").total(FILE), old.lru("/shop").total(ANON)) == (19_360, 20_384)
    assert old.kernel.reclaims("/shop") == ["0 swappiness=0", f"{1024 * PAGE} swappiness=0"]
    report = old.part.report()
    assert (report.mechanism, report.why) == (
        "memory.reclaim",
        "this kernel has no MGLRU (/sys/kernel/mm/lru_gen/enabled, Linux 6.1 with CONFIG_LRU_GEN)",
    )
    found = old.figures("/shop", -1)
    assert (found.eviction.page, found.bytes, found.eviction.no_min_lru_file) == (1024, 1024 * PAGE, 1)
    old.periods()
    assert old.lru("/shop").total(FILE) == 19_360 - 960, "15 batches of 64, a sixteenth of what is left"


def test_without_mglru_with_swap_both_kinds_leave(old: Bench) -> None:
    classic(old.kernel, "/shop", inactive=(16_000, 16_000))
    old.profile(replace(SWAP, swappiness_max=200))
    old.periods(6)

    assert old.lru("/shop").total(FILE) < 16_000
    assert old.kernel.reclaims("/shop")[1].endswith("swappiness=100")


def test_without_mglru_what_has_cgroups_below_it_is_not_asked(old: Bench) -> None:
    for path in ("/pod", "/pod/one", "/pod/pinned"):
        classic(old.kernel, path, inactive=(0, 16_000))
    old.change(kept=(Kept(cgroup="/pod/pinned", reason="static policy"),))
    old.periods(4)

    assert old.kernel.reclaims("/pod") == old.kernel.reclaims("/pod/pinned") == []
    assert old.lru("/pod/one").total(FILE) < 16_000


@pytest.mark.parametrize("swap", [True, False])
def test_without_the_swappiness_argument_page_cache_alone_is_taken_only_where_nothing_can_swap(
    old: Bench, swap: bool
) -> None:
    classic(old.kernel, "/shop", inactive=(16_000, 16_000))
    old.kernel.takes_swappiness = False
    old.kernel.swap_pages = 100_000 if swap else 0
    old.profile(MemcgProfile())
    old.periods(3)

    assert (old.lru("/shop").total(FILE) == 16_000) is swap
    assert old.lru("/shop").total(ANON) == 16_000
    assert ("takes no swappiness=" in old.figures("/shop", -1).reason) is swap


def test_without_mglru_pressure_counts_the_same(old: Bench) -> None:
    classic(old.kernel, "/shop", inactive=(0, 64 * MIB * 16))
    old.kernel.after = lambda _text: old.kernel.stall("/shop", 5_000)
    old.profile(MemcgProfile())
    old.periods(3)

    assert old.figures("/shop", -1).eviction.psi_exceeds_limit == 1
    assert old.figures("/shop", -1).eviction.page == 4 * MIB


def test_without_mglru_who_looks_writes_nothing(old: Bench) -> None:
    classic(old.kernel, "/shop", inactive=(0, 16_000))
    old.change(observe=True)
    old.periods(4)

    assert old.kernel.written == []
    assert old.figures("/shop", -1).would_bytes == 2 * 1000 * PAGE


def test_debugfs_that_cannot_be_written_leaves_memory_reclaim(bench: Bench) -> None:
    bench.kernel.refuses[mglru.GENERATIONS] = errno.EPERM
    bench.profile(MemcgProfile())
    bench.periods()

    assert bench.part.report().mechanism == "memory.reclaim"
    assert "lru_gen" in bench.part.report().why


def test_mglru_is_not_turned_on_where_debugfs_is_missing(bench: Bench) -> None:
    bench.kernel.lacks.add(mglru.GENERATIONS)
    bench.kernel.switches = 0
    bench.profile(MemcgProfile())
    bench.periods()

    assert bench.kernel.written == []
    assert "mount debugfs" in bench.part.report().why
