"""What would be saved where nothing acts: from trackers that only measure, MGLRU, and inactive lists."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.engine.accessed import ALL, AccessedRow, AccessedTable
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.model import ClassTable, Features, MemoryClass
from reconciler.outlook import EVERY_S, EXAMPLES, Outlook, candidates
from reconciler.report import EngineReport, Report, WorkloadReport, Would
from sysfs.tree import Tree

MIB = 1 << 20
PAGES = 256  # of a MiB
FEATURES = Features(kernel="fake", page_size=4096, cgroup_mount="/sys/fs/cgroup")
SWAPS = "Filename\tType\tSize\tUsed\tPriority\n/swap partition 1048576 0 -2\n"


def memory_class(name: str, seconds: int, kinds: tuple[str, ...] = ("anon",)) -> MemoryClass:
    policy = AgeConfig(interval_ms=1000, swapout_ms=seconds * 1000, page_types=kinds)
    return MemoryClass(name=name, engine=EngineConfig(policy=policy))


TABLE = ClassTable(classes={"cold": memory_class("cold", 600), "fast": memory_class("fast", 60, ("anon", "file"))})


def generations(path: str, *ages: tuple[int, int, int]) -> str:
    """Oldest first: age in seconds, MiB of anonymous memory and of files."""
    lines = [
        f"   {number} {age * 1000} {anon * PAGES} {file * PAGES}" for number, (age, anon, file) in enumerate(ages, 10)
    ]
    return "\n".join([f"memcg 7 {path}", " node 0", *lines, ""])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/swaps").write_text(SWAPS)
    (tmp_path / "sys/kernel/debug").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/a").mkdir(parents=True)
    return tmp_path


def nobody(workload: str, limits: Sequence[float]) -> AccessedTable:
    raise AssertionError(f"nothing tracks {workload}")


def row(path: str = "/a", **changes: object) -> WorkloadReport:
    plain = WorkloadReport(id=path, name=f"ns{path}", class_name="", state="unmanaged", cgroup=path)
    return replace(plain, **changes)  # type: ignore[arg-type]


def told(root: Path, *rows: WorkloadReport, table: ClassTable = TABLE) -> Report:
    return Outlook(Tree(str(root)), nobody).told(Report(workloads=rows), table, FEATURES, 0.0)


def test_ages_of_a_cgroup_and_all_below_it(root: Path) -> None:
    old, lately = (900, 100, 10), (700, 50, 5)
    text = generations("/a", old, lately, (90, 20, 2), (20, 9, 1)) + generations(
        "/a/b", old, lately, (90, 1, 0), (5, 0, 0)
    )
    (root / "sys/kernel/debug/lru_gen").write_text(text + generations("/ab", old, lately, (90, 1, 0), (5, 0, 0)))

    report = told(root, row())

    # A generation's pages were last used before the next one was made.
    assert report.workloads[0].would == (
        Would(class_name="cold", after_secs=600.0, bytes=200 * MIB, source="mglru"),
        Would(class_name="fast", after_secs=60.0, bytes=330 * MIB, source="mglru"),
    )
    assert (report.outlook.workloads, report.outlook.unknown, report.outlook.note) == (1, 0, "")
    assert [each.bytes for each in report.outlook.classes] == [200 * MIB, 330 * MIB]


def test_ages_that_the_kernel_has_not_looked_at_are_not_believed(root: Path) -> None:
    text = generations("/a", (9000, 100, 0), (8000, 100, 0), (7000, 0, 0), (6000, 1, 0))
    (root / "sys/kernel/debug/lru_gen").write_text(text)

    report = told(root, row(), row("/elsewhere"))

    assert [each.would for each in report.workloads] == [(), ()]
    assert report.outlook.unknown == 2
    assert report.outlook.note == (
        "of 2 workloads the kernel has not looked at the ages for 3 min or more; "
        "a class with `mode: observe` measures them"
    )


def test_inactive_lists_where_there_is_no_mglru(root: Path) -> None:
    (root / "sys/fs/cgroup/a/memory.stat").write_text(f"inactive_anon {3 * MIB}\nactive_anon 9\ninactive_file {MIB}\n")

    report = told(root, row())

    assert [(each.bytes, each.source) for each in report.workloads[0].would] == [
        (3 * MIB, "memory.stat"),
        (4 * MIB, "memory.stat"),
    ]
    assert "no MGLRU" in report.outlook.note


def test_without_swap_only_page_cache_could_leave(root: Path) -> None:
    (root / "proc/swaps").write_text(SWAPS.splitlines()[0] + "\n")
    (root / "sys/kernel/debug/lru_gen").write_text(
        generations("/a", (900, 50, 10), (700, 0, 0), (30, 0, 0), (20, 0, 0))
    )

    report = told(root, row())

    assert [each.bytes for each in report.workloads[0].would] == [0, 10 * MIB]
    assert report.outlook.note == "there is no swap: only page cache could leave"


def test_a_class_that_observes_is_measured_by_its_tracker(root: Path) -> None:
    def accessed(workload: str, limits: Sequence[float]) -> AccessedTable:
        assert (workload, list(limits)) == ("/a", [600.0, 0.0])
        one = AccessedRow(pid=ALL, at_least=600, below=0, pages=1000, bytes=4096000, percent=50, swapped_pages=250)
        return AccessedTable(rows=(one, replace(one, pid=3, pages=1)), tracker="idlepage")

    engine = EngineReport(tracker="idlepage", tracked_bytes=MIB, scans=1)
    mine = row(class_name="cold", state="observed", mode="observe", engine=engine)
    report = Outlook(Tree(str(root)), accessed).told(Report(workloads=(mine,)), TABLE, FEATURES, 0.0)

    assert report.workloads[0].would == (
        Would(class_name="cold", after_secs=600.0, bytes=750 * 4096, source="tracker idlepage"),
    )


def test_a_tracker_that_has_only_begun_is_asked_again(root: Path) -> None:
    def accessed(workload: str, limits: Sequence[float]) -> AccessedTable:
        one = AccessedRow(pid=3, at_least=600, below=0, pages=1, bytes=4096, percent=50, swapped_pages=0)
        return AccessedTable(rows=(one,))

    young = row(class_name="cold", state="observed", mode="observe", engine=EngineReport(tracker="damon"))
    outlook = Outlook(Tree(str(root)), accessed)
    first = outlook.told(Report(workloads=(young,)), TABLE, FEATURES, 0.0)
    known = replace(young, engine=EngineReport(tracker="damon", scans=1, tracked_bytes=4096))

    assert (first.workloads[0].would, first.outlook.unknown) == ((), 1)
    assert first.outlook.note == "of 1 workload a tracker has only begun to look"
    assert outlook.told(Report(workloads=(known,)), TABLE, FEATURES, 1.0).outlook.classes[0].bytes == 4096


def test_a_loop_that_has_just_ended_is_not_known(root: Path) -> None:
    def ended(workload: str, limits: Sequence[float]) -> AccessedTable:
        raise LookupError(workload)

    engine = EngineReport(tracker="damon", scans=1, tracked_bytes=4096)
    mine = row(class_name="cold", state="observed", mode="observe", engine=engine)

    assert Outlook(Tree(str(root)), ended).told(Report(workloads=(mine,)), TABLE, FEATURES, 0.0).outlook.unknown == 1


def test_whoever_is_acted_on_is_left_out(root: Path) -> None:
    report = told(root, row(class_name="cold", state="converged"))

    assert (report.workloads[0].would, report.outlook.workloads, report.outlook.classes) == ((), 0, ())


def test_without_a_class_that_pages_out_examples_say_how_much(root: Path) -> None:
    assert [(each.name, each.after_s) for each in candidates(ClassTable())] == list(EXAMPLES)
    measures = MemoryClass(name="m", engine=EngineConfig(policy=AgeConfig(interval_ms=1000)))
    assert len(candidates(ClassTable(classes={"m": measures}))) == len(EXAMPLES)


def test_sums_name_all_sources_and_are_made_once_a_minute(root: Path) -> None:
    lru = root / "sys/kernel/debug/lru_gen"
    lru.write_text(generations("/a", (900, 50, 0), (700, 0, 0), (30, 0, 0), (20, 0, 0)))
    outlook = Outlook(Tree(str(root)), nobody)
    report = Report(workloads=(row(),))
    first = outlook.told(report, TABLE, FEATURES, 0.0)
    lru.write_text(generations("/a", (900, 60, 0), (700, 0, 0), (30, 0, 0), (20, 0, 0)))

    assert outlook.told(report, TABLE, FEATURES, EVERY_S - 1) == first
    assert outlook.told(report, TABLE, FEATURES, EVERY_S).outlook.classes[0].bytes == 60 * MIB
    newcomer = Report(workloads=(row(), row("/new")))
    assert outlook.told(newcomer, TABLE, FEATURES, EVERY_S + 1).outlook.unknown == 1
