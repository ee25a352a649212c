"""Tracker `damon` and policy `damos`: DAMON's regions as ours see them, and what the kernel is told to do."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler.engine import kdamond_targets, regions
from reconciler.engine.damos import Damos
from reconciler.engine.engine import Engine
from reconciler.engine.kdamonds import OWN, Kdamonds
from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.trackers.damon import Damon
from reconciler.engine.trackers.tracker import Means
from reconciler.engineconfig import (
    AgeConfig,
    DamonConfig,
    DamosConfig,
    DamosGoal,
    EngineConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.model import EngineSettings, EngineTask, Feature, Features
from sysfs import mglru, process
from sysfs.errors import KernelError
from sysfs.maps import Kind, Maps
from tests.engine.silent import Silent
from tests.kernel.fake import MOUNT, FakeKernel
from tests.kernel.fake_damon import ADMIN, FakeDamon, Row

MIB = 1 << 20
INTERVALS = {"sampling_us": 50_000, "aggregation_us": 1_000_000}
PAGE = 4096
ANY = WatcherConfig(cgroups=("/a",), interval_ms=1000)
CONTEXT = f"{ADMIN}/{OWN - 1}/contexts/0"


def maps(*spans: tuple[int, int]) -> Maps:
    table = np.array(spans, np.uint64).reshape(-1, 2)
    kind = np.full(len(table), Kind.ANON, np.uint8)
    return Maps(start=table[:, 0], end=table[:, 1], offset=np.zeros(len(table), np.uint64), kind=kind)


class Bench:
    def __init__(self, fs: FakeFilesystem, version: str = "6.12") -> None:
        self.kernel = FakeKernel(fs)
        self.kernel.cgroup("/a/below")
        self.damon = FakeDamon(self.kernel, version)
        self.now = 100.0
        self.pool = Kdamonds(self.kernel.tree, clock=lambda: self.now, sleep=lambda _seconds: None)

    def process(self, pid: int, pages: int, *rows: Row) -> Process:
        """With one mapping from 0 on, in regions of 1 MiB."""
        self.kernel.process(pid, "/a/below")
        self.damon.sees[pid] = list(rows)
        mapped = maps((0, pages * PAGE))
        table = np.zeros(pages // 256, regions.REGION)
        table["start"] = np.arange(len(table), dtype=np.uint64) * MIB
        table["pages"] = table["present"] = 256
        return Process(identity=process.identity(self.kernel.tree, pid), mapped=mapped, regions=table)

    def means(self, **damon: Any) -> Means:
        return Means(
            tree=self.kernel.tree,
            surveyor=Surveyor(self.kernel.tree, frozenset({1}), 256, PAGE, scan=False),
            config=TrackerConfig(name="damon", damon=DamonConfig(**{**INTERVALS, **damon})),
            features=Features(kernel="fake", page_size=PAGE, cgroup_mount=MOUNT),
            clock=lambda: self.now,
            directories=lambda: (f"{MOUNT}/a",),
            kdamonds=self.pool,
            workload="w",
        )

    def tracker(self, *known: Process, **damon: Any) -> Damon:
        tracker = Damon(self.means(**damon))
        for each in known:
            tracker.begin(each)
        tracker.roster({each.pid: each for each in known})
        return tracker

    def advance(self, seconds: int) -> None:
        self.now += seconds
        self.damon.advance(seconds)

    def set(self, path: str) -> str:
        return self.kernel.tree.read(f"{CONTEXT}/{path}").strip()


@pytest.fixture
def bench(fs: FakeFilesystem) -> Bench:
    return Bench(fs)


TRACE = [
    (
        b"kdamond.7-907 [000] .. 1.2: damon_aggregated: target_id=0 nr_regions=2 0-524288: 4 9\n"
        b"kdamond.7-907 [000] .. 1.2: damon_aggregated: target_id=0 nr_regions=2 524288-1048576: 0 9\n"
        b"kdamond.7-907 [000] .. 1.3: damon_aggregated: target_id=0 nr_regions=2 0-524288: 1 9\n"
    )
]


# -- tracker -----------------------------------------------------------------------------------------------------------


def test_our_regions_see_the_most_accessed_of_damons(bench: Bench) -> None:
    one = bench.process(70, 1024, Row(0, MIB // 2), Row(MIB // 2, 2 * MIB, 3), Row(2 * MIB, 4 * MIB))
    tracker = bench.tracker(one)
    bench.advance(20)
    seen = tracker.look(one)

    assert seen.accesses.tolist() == [3, 3, 0, 0]
    assert not seen.writes.any()
    assert seen.unused is not None
    assert seen.unused.tolist() == [0, 0, 200, 200], "deciseconds, by DAMON's age"
    tracker.finish()
    assert tracker.note == ""
    tracker.close()
    assert bench.kernel.tree.read(f"{ADMIN}/nr_kdamonds") == "0\n"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([], "DAMON knows nothing yet"),
        ([Row(0, 3 * MIB)], "it does not cover the end"),
        ([Row(0, MIB), Row(2 * MIB, 4 * MIB)], "it does not cover the middle"),
    ],
)
def test_what_nobody_knows_counts_as_accessed(bench: Bench, rows: list[Row], why: str) -> None:
    one = bench.process(70, 1024, *rows)
    tracker = bench.tracker(one)
    bench.advance(20)

    assert tracker.look(one).accesses.tolist()[3] == (1 if not rows or rows[-1].end < 4 * MIB else 0)
    assert tracker.look(one).accesses.any(), why


def test_regions_that_are_too_large_are_not_believed(bench: Bench) -> None:
    one = bench.process(70, 1024, Row(0, 3 * MIB), Row(3 * MIB, 4 * MIB))
    tracker = bench.tracker(one, range_size_max=2 * MIB)
    bench.advance(20)
    assert tracker.look(one).accesses.tolist() == [1, 1, 1, 0]
    tracker.finish()
    assert "3 MiB lie in DAMON regions beyond filteraddressrangesizemax" in tracker.note
    assert int(bench.set("monitoring_attrs/nr_regions/min")) == 10

    unlimited = bench.tracker(one, range_size_max=-1, min_regions=11)
    bench.advance(20)
    assert unlimited.look(one).accesses.tolist() == [0, 0, 0, 0]


def test_an_access_between_two_looks_is_seen_by_its_age(bench: Bench) -> None:
    one = bench.process(70, 256, Row(0, MIB))
    tracker = bench.tracker(one)
    bench.advance(60)
    assert tracker.look(one).accesses.tolist() == [0]
    tracker.finish()

    bench.damon.sees[70] = [Row(0, MIB, age=2)]
    bench.advance(10)
    assert tracker.look(one).accesses.tolist() == [1]
    tracker.finish()
    bench.damon.sees[70] = [Row(0, MIB, age=12)]
    bench.advance(10)
    seen = tracker.look(one)
    assert seen.accesses.tolist() == [0]
    assert seen.unused is not None
    assert seen.unused.tolist() == [0], "of a region that we have seen accessed, only our own looks count"


def test_one_snapshot_for_a_round(bench: Bench) -> None:
    known = [bench.process(pid, 256, Row(0, MIB, pid)) for pid in (70, 71)]
    tracker = bench.tracker(*known)
    bench.advance(20)
    bench.kernel.writes.clear()
    seen = [tracker.look(each).accesses.tolist() for each in known]

    assert seen == [[70], [71]]
    assert len(bench.kernel.writes) == 1
    tracker.finish()
    bench.advance(5)
    tracker.look(known[0])
    assert len(bench.kernel.writes) == 2


def test_short_intervals_are_asked_three_times(bench: Bench) -> None:
    """Hot memory may be missed by the samples of one."""

    class Flicker(dict[int, list[Row]]):
        hits = [0, 0, 3, 0, 0]  # noqa: RUF012  one for each snapshot

        def get(self, _pid: int, _default: object = None) -> list[Row]:
            return [Row(0, MIB, self.hits.pop(0), age=99)]

    one = bench.process(70, 256)
    tracker = bench.tracker(one, sampling_us=5000, aggregation_us=100_000)
    bench.advance(20)
    bench.damon.sees = Flicker()
    bench.kernel.writes.clear()

    assert tracker.look(one).accesses.tolist() == [3]
    assert len(bench.kernel.writes) == 3


@pytest.mark.parametrize(("version", "expected"), [("6.16", [0, 0, 0]), ("6.18", [1, 256, 26])])
def test_accessed_bytes_where_the_kernel_counts_them(fs: FakeFilesystem, version: str, expected: list[int]) -> None:
    bench = Bench(fs, version)
    rows = Row(0, MIB, passed=PAGE // 2), Row(MIB, 2 * MIB, passed=MIB), Row(2 * MIB, 3 * MIB, passed=MIB // 10)
    one = bench.process(70, 768, *rows)
    tracker = bench.tracker(one)
    bench.advance(20)

    assert tracker.look(one).accesses.tolist() == expected


def test_somebody_who_keeps_damon_busy_hides_nothing(bench: Bench) -> None:
    one = bench.process(70, 256, Row(0, MIB))
    tracker = bench.tracker(one)
    bench.advance(20)
    bench.damon.in_flight = 1000
    assert tracker.look(one).accesses.tolist() == [1]
    tracker.finish()
    assert "DAMON is busy" in tracker.note


def test_intervals(bench: Bench) -> None:
    bench.tracker(bench.process(70, 256, Row(0, MIB)), sampling_us=1000, aggregation_us=20_000, min_regions=1)

    found = [bench.set(f"monitoring_attrs/intervals/{name}_us") for name in ("sample", "aggr", "update")]
    assert found == ["1000", "20000", "1000000"]
    assert bench.set("monitoring_attrs/nr_regions/min") == "3"


def test_intervals_that_the_kernel_finds(fs: FakeFilesystem) -> None:
    bench = Bench(fs, "6.16")
    bench.tracker(bench.process(70, 256, Row(0, MIB)), auto_tune=True)

    goal = "monitoring_attrs/intervals/intervals_goal"
    names = ("access_bp", "aggrs", "min_sample_us", "max_sample_us")
    assert [bench.set(f"{goal}/{name}") for name in names] == ["400", "3", "5000", "250000"]


def test_before_snapshots_tracefs_has_them(fs: FakeFilesystem) -> None:
    bench = Bench(fs, "6.1")
    bench.damon.tracefs()

    texts = list(TRACE)

    class Pipe:
        """What trace_pipe says, once."""

        def read(self, _size: int) -> bytes | None:
            return texts.pop() if texts else None

        def close(self) -> None:
            pass

    folder = f"/sys/kernel/tracing/instances/ebbtide-{OWN - 1}"
    bench.kernel.tree.streams[f"{folder}/trace_pipe"] = Pipe()  # type: ignore[assignment]
    one = bench.process(70, 256)
    tracker = bench.tracker(one)
    written = {write.path.removeprefix(folder): write.text for write in bench.kernel.writes if folder in write.path}
    bench.advance(5)

    assert written["/set_event_pid"] == str(900 + OWN - 1)
    assert written["/events/damon/damon_aggregated/enable"] == "1"
    assert tracker.look(one).accesses.tolist() == [4], "the last batch that is complete"
    tracker.finish()
    assert "tracefs" in tracker.note
    assert tracker.look(one).accesses.tolist() == [4], "nothing newer: it still holds"
    tracker.close()
    assert not bench.kernel.tree.exists(folder)


# -- first regions -----------------------------------------------------------------------------------------------------


def test_mappings_become_few_ranges_without_the_widest_gaps() -> None:
    mapped = maps((0, 10), (10, 20), (21, 30), (1000, 1010), (1011, 1020), (9000, 9001))

    assert kdamond_targets.spans(mapped) == ((0, 20), (21, 30), (1000, 1010), (1011, 1020), (9000, 9001))
    assert kdamond_targets.spans(mapped, 3) == ((0, 30), (1000, 1020), (9000, 9001))
    assert kdamond_targets.spans(mapped, 1) == ((0, 9001),)
    assert kdamond_targets.spans(maps()) == ()
    assert kdamond_targets.extent(kdamond_targets.spans(mapped)) == 30 + 20 + 1


def test_first_ranges_are_cut_to_what_is_believed_if_these_are_not_too_many() -> None:
    small = kdamond_targets.Attributes(largest_bytes=20, max_regions=40)

    assert kdamond_targets.pieces(((0, 25), (30, 35)), small) == ((0, 10), (10, 20), (20, 25), (30, 35))
    assert kdamond_targets.pieces(((0, 101),), small) == ((0, 101),)
    assert kdamond_targets.pieces(((0, 25),), replace(small, largest_bytes=-1)) == ((0, 25),)


# -- damos -------------------------------------------------------------------------------------------------------------

COLD = DamosConfig(action="pageout", min_age_ms=5000, quota_bytes=64 * MIB, quota_ms=10)


def scheme(bench: Bench, number: int) -> dict[str, str]:
    values = bench.damon.kdamonds[OWN - 1].values
    base = f"contexts/0/schemes/{number}/"
    return {key.removeprefix(base): text for key, text in values.items() if key.startswith(base)}


def test_the_kernel_acts_beside_the_tracker_and_stops_when_told(bench: Bench) -> None:
    one = bench.process(70, 256, Row(0, MIB // 2, 5), Row(MIB // 2, MIB))
    tracker = bench.tracker(one)
    damos = Damos(COLD, bench.means())
    damos.roster({70: one})
    bench.advance(4)
    assert bench.damon.acted == []
    bench.advance(4)
    assert bench.damon.acted == [("pageout", 70, MIB // 2, MIB)]
    assert [number for number, each in enumerate(bench.damon.kdamonds) if each.on] == [OWN - 1]

    damos.pause()
    bench.advance(4)
    assert len(bench.damon.acted) == 1
    damos.proceed()
    bench.advance(1)
    assert len(bench.damon.acted) == 2, "ages were not lost"
    assert (damos.figures().applied_bytes, damos.figures().tried_regions) == (MIB, 2)
    assert tracker.look(one).accesses.tolist() == [5]
    damos.close()
    bench.advance(10)
    tracker.roster({70: one})
    bench.damon.acted.clear()
    bench.advance(10)
    assert bench.damon.acted == []


def test_an_age_that_begins_anew_because_the_kernel_acted_is_no_access(bench: Bench) -> None:
    one = bench.process(70, 256, Row(0, MIB, age=2))
    tracker, damos = bench.tracker(one), Damos(COLD, bench.means())
    damos.roster({70: one})
    bench.advance(30)
    assert tracker.look(one).accesses.tolist() == [0]
    tracker.finish()
    damos.pause()
    bench.advance(30)
    assert tracker.look(one).accesses.tolist() == [1]


def test_a_scheme_in_the_kernels_units(bench: Bench) -> None:
    config = replace(
        COLD,
        min_bytes=4096,
        max_access_percent=26,
        min_access_percent=1,
        min_age_ms=1500,
        goals=(DamosGoal(metric="some_mem_psi_us", target=1000),),
    )
    damos = Damos(config, bench.means())
    damos.roster({70: bench.process(70, 256, Row(0, MIB))})
    found = scheme(bench, 0)

    assert found["access_pattern/sz/min"] == "4096"
    assert found["access_pattern/sz/max"] == str((1 << 64) - 1)
    assert (found["access_pattern/nr_accesses/min"], found["access_pattern/nr_accesses/max"]) == ("1", "5"), "of 20"
    assert (found["access_pattern/age/min"], found["access_pattern/age/max"]) == ("2", str((1 << 32) - 1))
    assert [found[f"quotas/{name}"] for name in ("ms", "bytes", "reset_interval_ms")] == ["10", str(64 * MIB), "1000"]
    assert (found["quotas/goals/0/target_metric"], found["quotas/goals/0/target_value"]) == ("some_mem_psi_us", "1000")


def test_physical_memory_of_the_workloads_cgroups_alone(bench: Bench) -> None:
    bench.kernel.add_file("/proc/iomem", lambda: "00001000-0009ffff : System RAM\n00100000-3fffffff : System RAM\n")
    damos = Damos(replace(COLD, physical=True, young=True), bench.means())
    damos.roster({70: bench.process(70, 256)})
    found = [scheme(bench, number) for number in (0, 1)]

    assert bench.set("operations") == "paddr"
    assert bench.set("targets/0/regions/1/end") == str(0x40000000)
    assert [each["filters/0/memcg_path"] for each in found] == ["/a", "/a/below"]
    assert {(each["filters/0/type"], each["filters/0/matching"], each["filters/2/type"]) for each in found} == {
        ("memcg", "N", "young")
    }
    assert {each["quotas/bytes"] for each in found} == {str(32 * MIB)}, "together what the class says"
    damos.roster({})
    assert not any(each.on for each in bench.damon.kdamonds)


def test_several_nodes(fs: FakeFilesystem) -> None:
    bench = Bench(fs, "6.18")
    damos = Damos(replace(COLD, action="migrate_cold", nodes=(1, 2)), bench.means())
    damos.roster({70: bench.process(70, 256)})
    found = scheme(bench, 0)

    assert (found["target_nid"], found["dests/nr_dests"], found["dests/1/id"], found["dests/1/weight"]) == (
        "1",
        "2",
        "2",
        "1",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"action": "lru_prio"}, "no such action for processes"),
        ({"action": "cold", "physical": True}, "no such action for physical memory"),
        ({"action": "migrate_cold", "nodes": (1,)}, r"6\.17 .* physical: true"),
        ({"young": True}, "physical: true"),
    ],
)
def test_what_this_kernel_would_take_and_not_do_is_refused(bench: Bench, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(KernelError, match=said):
        Damos(replace(COLD, **changes), bench.means())
    assert bench.kernel.tree.read(f"{ADMIN}/nr_kdamonds") == "0\n"


def test_a_kernel_that_knows_physical_memory_only(fs: FakeFilesystem) -> None:
    bench = Bench(fs)
    bench.damon.operations = "paddr"
    with pytest.raises(KernelError, match="it offers paddr"):
        Damos(COLD, bench.means())
    with pytest.raises(KernelError, match="CONFIG_DAMON_VADDR"):
        bench.tracker(bench.process(70, 256))


def test_without_a_daemon_there_is_no_record(bench: Bench, fs: FakeFilesystem) -> None:
    means = replace(bench.means(), kdamonds=None)
    tracker = Damon(means)
    tracker.roster({70: bench.process(70, 256, Row(0, MIB))})
    assert bench.kernel.tree.read(f"{ADMIN}/nr_kdamonds") == f"{OWN}\n"
    tracker.close()
    assert bench.kernel.tree.read(f"{ADMIN}/nr_kdamonds") == "0\n"
    assert not list(Path("/").glob("**/kdamonds.json"))


def engine_of(bench: Bench, config: EngineConfig, *works: str) -> Engine:
    """With one loop, which has had its first turn."""
    found = {name: Feature(name=name, works=True, detail="") for name in works}
    engine = Engine(
        bench.kernel.tree,
        Features(kernel="fake", page_size=PAGE, cgroup_mount=MOUNT, features=found),
        EngineSettings(),
        lambda _: None,
        lambda: bench.now,
        kdamonds=bench.pool,
        bells=Silent(bench.kernel.tree),
        workers=0,
    )
    engine.start(EngineTask(workload="w", config=config, tracker="damon", cgroups=(f"{MOUNT}/a",)))
    engine.scheduler.turn()
    return engine


@pytest.mark.parametrize("named", ["damon", "auto"])
@pytest.mark.parametrize("works", [("mglru", "cgroup2"), ("mglru",), ("cgroup2",)])
def test_the_kernels_amounts_are_shown_beside_where_it_has_them(
    bench: Bench, named: str, works: tuple[str, ...]
) -> None:
    generations = "memcg 3 /a\n node 0\n  1 5000 7 0\n  2 1000 5 0\nmemcg 4 /b\n node 0\n  1 50 9 0\n  2 10 9 0\n"
    bench.kernel.add_file(mglru.GENERATIONS, lambda: generations, lambda _: None)
    bench.process(70, 256, Row(0, MIB))
    config = EngineConfig(policy=AgeConfig(interval_ms=1000), tracker=TrackerConfig(name=named), watcher=ANY)
    engine = engine_of(bench, config, *works)
    bench.now += 60
    engine.scheduler.turn()
    report = engine.report("w")
    table = engine.accessed("w", (0.0,))
    engine.close()

    expected = [("/a", 0, 5), ("/a", 1000, 7)] if len(works) == 2 else []
    assert report is not None
    assert [(each.cgroup, each.age_ms, each.anon_pages) for each in report.amounts] == expected
    assert len(table.amounts) == len(expected)


def test_a_report_never_waits_for_the_kernel_or_fails_with_it(bench: Bench) -> None:
    bench.process(70, 256)
    config = EngineConfig(policy=replace(COLD, interval_ms=1000), tracker=TrackerConfig(name="damon"), watcher=ANY)
    engine = engine_of(bench, config)
    bench.pool.close()  # what was given back tells nothing any more
    before = engine.report("w")
    bench.now += 10
    engine.scheduler.turn()
    after = engine.report("w")
    engine.close()

    assert before is not None
    assert before.error == ""
    assert after is not None
    assert "was given back" in after.error, "the loop ends, and says why"
