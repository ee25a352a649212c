"""Policy `damos` in a loop: what comes back brakes, though nobody says which pages the kernel sent away."""

from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.damos import Damos, check
from reconciler.engine.processes import Surveyor
from reconciler.engine.trackers.tracker import Means
from reconciler.engineconfig import DamosConfig, TrackerConfig
from reconciler.model import Features
from sysfs.damon_scheme import Abilities
from sysfs.errors import Unsupported
from sysfs.tree import Tree
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_pool import FakePool
from tests.engine.fake_process import PAGE, FakeKernel, FakeProcess

PAGEOUT = DamosConfig(interval_ms=1000, min_age_ms=2000)


@pytest.mark.parametrize(("first", "braked"), [(0, True), (1000, False)])
def test_what_the_kernel_paged_out_and_comes_back_brakes_it(kernel: FakeKernel, first: int, braked: bool) -> None:
    """All of 1024 pages, or the last few."""
    pool = FakePool()
    bench = Bench(kernel, kdamonds=pool)  # type: ignore[arg-type]
    process = kernel.add(FakeProcess(kernel.root, 50).map(0, 2048).present(0, 2048))
    bench.engine.start(bench.task(config=replace(CONFIG, policy=PAGEOUT)))
    bench.run(3)
    assert len(pool.schemes) == 1
    process.swapped(0, 1024).write()
    bench.run(3)
    process.present(first, 1024).write()
    bench.run(3)
    said = bench.engine.report("w")
    bench.engine.close()

    assert said is not None
    assert said.came_back_bytes == (1024 - first) * PAGE
    assert ("came back within a minute" in said.brake) == braked
    assert (len(pool.schemes) == 0) == braked


# -- which pages -------------------------------------------------------------------------------------------------------

OLD, NEW = Abilities(filters=True), Abilities(filters=True, dests=True, virtual_young=True)
ANON, FILE, BOTH = ("anon",), ("file",), ("anon", "file")


def means(root: Path, pool: FakePool) -> Means:
    tree = Tree(root)
    return Means(
        tree=tree,
        surveyor=Surveyor(tree, frozenset({1}), 256, PAGE, scan=False),
        config=TrackerConfig(name="damon"),
        features=Features(kernel="fake", page_size=PAGE),
        clock=lambda: 0.0,
        directories=lambda: ("/a",),
        kdamonds=pool,  # type: ignore[arg-type]
        workload="w",
    )


@pytest.mark.parametrize(
    ("config", "can", "expected"),
    [
        (DamosConfig(physical=True), OLD, [("memcg", False), ("anon", False)]),
        (DamosConfig(physical=True, page_types=FILE), OLD, [("memcg", False), ("anon", True)]),
        (DamosConfig(physical=True, page_types=BOTH), OLD, [("memcg", False)]),
        (DamosConfig(physical=True, young=True), NEW, [("memcg", False), ("anon", False), ("young", True)]),
        (DamosConfig(action="migrate_cold", nodes=(1,)), NEW, [("anon", False)]),
        (DamosConfig(action="migrate_cold", nodes=(1,), page_types=FILE), NEW, [("anon", True)]),
        (DamosConfig(), NEW, []),
        (DamosConfig(page_types=BOTH), NEW, []),
    ],
)
def test_pages_of_other_types_are_left_out_where_the_kernel_asks(
    tmp_path: Path, config: DamosConfig, can: Abilities, expected: list[tuple[str, bool]]
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/iomem").write_text("00001000-0009ffff : System RAM\n")
    pool = FakePool(can)
    Damos(config, means(tmp_path, pool)).roster({})

    assert [[(each.kind, each.matching) for each in scheme.filters] for scheme in pool.schemes] == [expected]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (DamosConfig(), "file pages that nobody else has mapped are taken, too (physical: true"),
        (DamosConfig(action="cold"), "nobody else has mapped are taken, too"),
        (DamosConfig(page_types=BOTH), ""),
        (DamosConfig(physical=True), ""),
        (DamosConfig(action="migrate_cold", nodes=(1,)), ""),
    ],
)
def test_where_it_does_not_ask_the_report_says_so(tmp_path: Path, config: DamosConfig, said: str) -> None:
    note = Damos(config, means(tmp_path, FakePool(NEW))).note

    assert said in note
    assert bool(note) == bool(said)
    assert ("physical: true" in note) == ("physical: true" in said)


@pytest.mark.parametrize("can", [Abilities(dests=True), NEW])
def test_file_pages_alone_are_refused_where_it_does_not_ask(can: Abilities) -> None:
    with pytest.raises(Unsupported, match=r"pagetypes: \[file\]: is not looked at by action pageout .* physical: true"):
        check(DamosConfig(page_types=FILE), can)
    check(DamosConfig(page_types=FILE, physical=True), can)
