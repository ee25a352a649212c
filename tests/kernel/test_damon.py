"""DAMON's files, on kernels of each generation, and its trace event."""

import errno
import os
from pathlib import Path

import pytest
from pyfakefs.fake_filesystem import FakeFilesystem

from sysfs import damon_scheme, damon_trace, iomem
from sysfs.damon import Damon
from sysfs.damon_scheme import Abilities, Context, Filter, Goal, Quota, Scheme, Target, Tuning
from sysfs.errors import Busy, KernelError, Refused, Rejected, Unsupported
from sysfs.tree import Tree
from tests.kernel.fake import FakeKernel
from tests.kernel.fake_damon import ADMIN, FakeDamon, Row

MIB = 1 << 20


class Bench:
    def __init__(self, fs: FakeFilesystem, version: str = "6.12") -> None:
        self.kernel = FakeKernel(fs)
        self.kernel.cgroup("/a")
        self.kernel.process(70, "/a")
        self.fake = FakeDamon(self.kernel, version)
        self.pauses: list[float] = []
        self.damon = Damon(self.kernel.tree, self.pauses.append)
        self.damon.make(1)
        self.can = self.damon.abilities(0)

    def start(self, **changes: object) -> None:
        self.damon.stage(0, context(**changes), self.can)
        self.damon.on(0)


def context(**changes: object) -> Context:
    known: dict[str, object] = {
        "operations": "vaddr",
        "sample_us": 50,
        "aggregation_us": 1000,
        "update_us": 1000,
        "min_regions": 10,
        "max_regions": 1000,
        "targets": (Target(pid=70, regions=((0, MIB), (2 * MIB, 3 * MIB))),),
        "schemes": (Scheme(),),
    }
    return Context(**{**known, **changes})  # type: ignore[arg-type]


@pytest.fixture
def bench(fs: FakeFilesystem) -> Bench:
    return Bench(fs)


SINCE = {
    "6.1": set[str](),
    "6.12": {"snapshots", "filters", "target_filter", "goals", "target_nid"},
    "6.16": {"allow", "split_filters", "tuning"},
    "6.18": {"dests", "virtual_young"},
    "6.19": {"obsolete"},
    "7.2": set[str](),
}


@pytest.mark.parametrize("version", SINCE)
def test_abilities_by_the_files_that_are_there(fs: FakeFilesystem, version: str) -> None:
    bench = Bench(fs, version)
    known = list(SINCE)[: list(SINCE).index(version) + 1]

    found = {name for name in Abilities.__slots__ if getattr(bench.can, name) is True}
    assert found == {name for each in known for name in SINCE[each]}
    assert bench.can.operations == ("vaddr", "fvaddr", "paddr")
    assert bench.damon.contexts(0) == 0, "and nothing is left in it"


@pytest.mark.parametrize("version", ["6.12", "6.16", "7.2"])
def test_regions_come_sorted_whatever_they_are_called(fs: FakeFilesystem, version: str) -> None:
    bench = Bench(fs, version)
    bench.fake.sees[70] = [Row(9 * MIB, 10 * MIB, 7), *(Row(i * MIB, (i + 1) * MIB, i) for i in range(8))]
    bench.start()
    bench.fake.advance(5)
    bench.damon.update(0)
    found = bench.damon.regions(0, 0)

    assert (found.start // MIB).tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 9]
    assert found.accesses.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 7]
    assert set(found.age.tolist()) == {5}
    names = bench.kernel.tree.folders(f"{ADMIN}/0/contexts/0/schemes/0/tried_regions")
    assert ("0" in names) == (version != "6.16")


def test_no_regions_are_a_snapshot_too(bench: Bench) -> None:
    bench.start()
    assert len(bench.damon.regions(0, 0)) == 0


@pytest.mark.parametrize(("version", "survives"), [("6.12", False), ("6.16", True)])
def test_a_bad_commit(fs: FakeFilesystem, version: str, survives: bool) -> None:
    bench = Bench(fs, version)
    bench.start()
    bench.damon.stage(0, context(targets=(Target(pid=4711),)), bench.can)
    if survives:
        with pytest.raises(Rejected):
            bench.damon.commit(0)
    else:
        assert not bench.damon.commit(0)
    assert bench.damon.is_on(0) == survives


def test_a_kdamond_that_has_ended_may_be_switched_off(bench: Bench) -> None:
    bench.damon.off(0)
    bench.start()
    bench.kernel.exit(70)
    bench.damon.off(0)

    assert not bench.damon.is_on(0)


def test_the_one_lock_is_waited_for_with_longer_and_longer_pauses(bench: Bench) -> None:
    bench.fake.in_flight = 4
    bench.start()
    assert bench.pauses == sorted(bench.pauses)
    assert len(bench.pauses) == 4

    bench.fake.in_flight = 1000
    with pytest.raises(Busy, match="busy"):
        bench.damon.is_on(0)


def test_other_trouble_is_not_waited_for(bench: Bench) -> None:
    scheme = Scheme(filters=(Filter(kind="memcg", matching=False, path="/nowhere"),))
    with pytest.raises(Busy) as caught:
        bench.start(schemes=(scheme,))
    assert caught.value.errno == errno.ENOMEM
    assert bench.pauses == []


def test_figures_of_a_scheme(bench: Bench) -> None:
    bench.fake.sees[70] = [Row(0, MIB)]
    bench.start(schemes=(Scheme(), Scheme(action="pageout", age=(2, 9))))
    bench.fake.advance(2)
    bench.fake.advance(1)
    found = bench.damon.stats(0, 1)

    assert (found.tried_regions, found.applied_bytes, found.quota_exceeded) == (2, 2 * MIB, 0)


def test_settings_are_read_and_come_back(bench: Bench) -> None:
    quota = Quota(bytes=7, goals=(Goal(metric="some_mem_psi_us", target=5),))
    filters = (Filter(kind="young", matching=True), Filter(kind="target", matching=False, target=0))
    bench.damon.stage(0, context(schemes=(Scheme(action="cold", quota=quota, filters=filters),)), bench.can)
    before = dict(bench.fake.kdamonds[0].values)
    settings = bench.damon.settings(0)
    bench.damon.clear(0)
    assert bench.fake.kdamonds[0].values != before
    bench.damon.restore(0, settings)

    assert bench.fake.kdamonds[0].values == before
    assert not [path for path, _ in settings if "stats" in path or "state" in path]


@pytest.mark.parametrize(
    ("can", "wanted", "said"),
    [
        (Abilities(), context(tuning=Tuning()), "6.15"),
        (Abilities(), context(schemes=(Scheme(action="migrate_cold", nodes=(1,)),)), "6.11"),
        (Abilities(), context(schemes=(Scheme(quota=Quota(goals=(Goal(metric="x", target=1),))),)), "6.8"),
        (Abilities(), context(schemes=(Scheme(filters=(Filter(kind="young", matching=True),)),)), "6.3"),
        (Abilities(filters=True), context(schemes=(Scheme(filters=(Filter(kind="target", matching=True),)),)), "6.6"),
        (
            Abilities(filters=True),
            context(schemes=(Scheme(filters=(Filter(kind="young", matching=True, allow=True),)),)),
            "6.14",
        ),
    ],
)
def test_what_a_kernel_lacks_is_said_with_the_version_that_has_it(can: Abilities, wanted: Context, said: str) -> None:
    with pytest.raises(Unsupported, match=said.replace(".", r"\.")):
        list(damon_scheme.files(wanted, can))


def test_filters_of_addresses_and_of_pages_are_two_lists_since_6_15() -> None:
    filters = (Filter(kind="young", matching=True, allow=True), Filter(kind="target", matching=False, target=3))
    wanted = context(schemes=(Scheme(filters=filters),))
    can = Abilities(filters=True, target_filter=True, allow=True, split_filters=True)
    found = dict(damon_scheme.files(wanted, can))

    assert found["schemes/0/core_filters/0/damon_target_idx"] == "3"
    assert (found["schemes/0/ops_filters/0/type"], found["schemes/0/ops_filters/0/allow"]) == ("young", "Y")
    assert not [path for path in found if "schemes/0/filters" in path]


# -- tracefs -----------------------------------------------------------------------------------------------------------

LINE = b"       kdamond.0-910     [001] .....    81.093424: damon_aggregated: target_id=%d nr_regions=%d %d-%d: %d %d\n"


def batch(target: int, *rows: tuple[int, int, int, int]) -> bytes:
    return b"".join(LINE % (target, len(rows), *row) for row in rows)


OLD, NEW = ((0, 8, 1, 1), (8, 16, 0, 5)), ((0, 8, 3, 2), (8, 16, 0, 6))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", {}),
        (batch(0, *OLD) + batch(0, *NEW), {0: [3, 0]}),
        (batch(0, *OLD) + batch(0, *NEW)[:150], {0: [1, 0]}),
        (batch(0, *OLD)[100:] + batch(0, *NEW), {0: [3, 0]}),
        (batch(0, *OLD) + batch(1, *NEW) + batch(0, *NEW), {0: [3, 0], 1: [3, 0]}),
        (batch(1, *OLD), {1: [1, 0]}),
        (batch(1 << 47, *OLD) + batch(1 << 46, *NEW), {0: [1, 0], 1: [3, 0]}),
        (batch(0, (0, 8, 9, 9)).replace(b": 9 9", b": 9"), {0: [9]}),
        (b"garbage\n" + batch(0, *OLD)[:60], {}),
    ],
)
def test_the_last_complete_batch_of_each_target(text: bytes, expected: dict[int, list[int]]) -> None:
    assert {target: found.accesses.tolist() for target, found in damon_trace.parse(text).items()} == expected


class Instances(Tree):
    """A folder whose new directories are filled as tracefs does, with a pipe that does not wait."""

    def make_folder(self, path: str) -> None:
        super().make_folder(path)
        for name in ("buffer_size_kb", "set_event_pid", "events/damon/damon_aggregated/enable"):
            file = Path(self.path(f"{path}/{name}"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        os.mkfifo(self.path(f"{path}/trace_pipe"))

    def remove_folder(self, path: str) -> None:
        folder = Path(self.path(path))
        for each in sorted(folder.rglob("*"), reverse=True):
            each.rmdir() if each.is_dir() else each.unlink()
        super().remove_folder(path)


def test_an_instance_of_ones_own_is_made_read_and_removed(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/tracing/instances/ebbtide-3").mkdir(parents=True)
    tree = Instances(tmp_path)
    trace = damon_trace.Trace(tree, "ebbtide-3", 910, 1000)
    folder = tmp_path / "sys/kernel/tracing/instances/ebbtide-3"
    pipe = os.open(folder / "trace_pipe", os.O_RDWR)

    assert trace.read() == {}, "it does not wait"
    os.write(pipe, batch(0, *NEW))
    assert trace.read()[0].accesses.tolist() == [3, 0]
    assert (folder / "set_event_pid").read_text() == "910"
    os.close(pipe)
    trace.close()
    assert not folder.exists()
    trace.close()


def test_no_tracefs_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="mount -t tracefs"):
        damon_trace.Trace(Tree(tmp_path), "x", 1, 10)


def test_an_instance_that_cannot_be_set_up_is_not_left_behind(tmp_path: Path) -> None:
    (tmp_path / "sys/kernel/tracing/instances").mkdir(parents=True)
    with pytest.raises(KernelError):
        damon_trace.Trace(Tree(tmp_path), "x", 1, 10)  # no files are in it
    assert not (tmp_path / "sys/kernel/tracing/instances/x").exists()


# -- physical memory ---------------------------------------------------------------------------------------------------

IOMEM = """{0}-{1} : Reserved
00001000-0009fbff : System RAM
00100000-7ffdffff : System RAM
  01000000-01ffffff : Kernel code
  02000000-02ffffff : System RAM
"""


def put(tmp_path: Path, text: str) -> Tree:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/iomem").write_text(text)
    return Tree(tmp_path)


def test_where_memory_is(tmp_path: Path) -> None:
    assert iomem.system_ram(put(tmp_path, IOMEM)) == ((0x1000, 0x9FC00), (0x100000, 0x7FFE0000))


def test_hidden_addresses_are_said(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="CAP_SYS_ADMIN"):
        iomem.system_ram(put(tmp_path, "00000000-00000000 : System RAM\n"))
