"""Who is found: cgroups, all processes, named ones, and those that pass a filter, on /proc and cgroups in a folder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from reconciler.engine.watchers import catalogue
from reconciler.engine.watchers.cgroups import Cgroups
from reconciler.engine.watchers.watcher import Found
from reconciler.engineconfig import CGROUP_PLACEHOLDER, DemoteIdleConfig, FilterConfig, WatcherConfig
from reconciler.model import EngineTask
from sysfs.tree import Tree
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_process import FakeKernel, FakeProcess


@dataclass
class Node:
    """Processes and cgroups of one's own making."""

    root: Path

    @property
    def tree(self) -> Tree:
        return Tree(self.root)

    def process(self, pid: int, exe: str = "/usr/bin/app", *, start: int = 100, **sizes: int) -> Path:
        """`sizes` in kB: size, rss, dirty. Without an exe it is a kernel thread."""
        folder = self.root / f"proc/{pid}"
        folder.mkdir(parents=True, exist_ok=True)
        fields = ["S", "1", *("0" for _ in range(17)), str(start), *("0" for _ in range(30))]
        (folder / "stat").write_text(f"{pid} (app) {' '.join(fields)}\n")
        (folder / "status").write_text(f"VmSize: {sizes.get('size', 0)} kB\nVmRSS: {sizes.get('rss', 0)} kB\n")
        (folder / "smaps_rollup").write_text(f"0-1 ---p\nPrivate_Dirty: {sizes.get('dirty', 0)} kB\n")
        (folder / "exe").unlink(missing_ok=True)
        if exe:
            (folder / "exe").symlink_to(exe)
        return folder

    def cgroup(self, path: str, *pids: int) -> Path:
        folder = self.root / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        return folder

    def look(self, watcher: WatcherConfig, **task: object) -> Callable[[], Found]:
        config = replace(CONFIG, watcher=watcher)
        made = EngineTask(workload="w", config=config, tracker="stub", **task)  # type: ignore[arg-type]
        return catalogue.make(made, self.tree).look


@pytest.fixture
def node(tmp_path: Path) -> Node:
    (tmp_path / "proc").mkdir()
    return Node(tmp_path)


# -- cgroups -------------------------------------------------------------------------------------------------------


def test_cgroups_are_walked_down(node: Node) -> None:
    node.cgroup("/cg/a", 1, 2)
    node.cgroup("/cg/a/b")
    node.cgroup("/cg/a/b/c", 3)
    node.cgroup("/cg/other", 9)
    found = node.look(WatcherConfig(), cgroups=("/cg/a",))()

    assert found.pids == {1, 2, 3}
    assert found.follow == ("/cg/a", "/cg/a/b", "/cg/a/b/c")


class Vanishing(Tree):
    """A directory that goes as soon as its processes have been read, or before."""

    def __init__(self, root: Path, gone: str, *, listed: bool) -> None:
        super().__init__(root)
        self.gone, self.listed = gone, listed

    def read(self, path: str) -> str:
        if path == f"{self.gone}/cgroup.procs" and not self.listed:
            return super().read("/no/such/file")
        return super().read(path)

    def folders(self, path: str) -> tuple[str, ...]:
        return super().folders("/no/such/directory" if path == self.gone else path)


@pytest.mark.parametrize(("listed", "pids"), [(True, {1, 2, 4}), (False, {1, 4})])
def test_what_vanishes_during_the_walk_costs_nobody_else(node: Node, listed: bool, pids: set[int]) -> None:
    node.cgroup("/cg/a", 1)
    node.cgroup("/cg/a/b", 2)
    node.cgroup("/cg/a/b/c", 3)
    node.cgroup("/cg/a/d", 4)
    tree = Vanishing(node.root, "/cg/a/b", listed=listed)

    assert Cgroups(tree, "w", ("/cg/a",), named=False).look().pids == pids


def test_a_missing_root_is_said_once_and_its_coming_noticed(node: Node, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    node.cgroup("/cg", 9)
    node.cgroup("/cg/b", 2)
    look = node.look(WatcherConfig(), cgroups=("/cg/a/x", "/cg/b"))
    first, second = look(), look()
    node.cgroup("/cg/a/x", 1)
    third = look()

    assert first == second
    assert first.pids == {2}
    assert first.notes == ("cgroup /cg/a/x does not exist now",)
    assert set(first.follow) == {"/cg/b", "/cg"}, "the nearest directory that exists"
    assert third.pids == {1, 2}
    assert third.notes == ()
    assert [line.message for line in caplog.records] == [
        "event=cgroup-missing workload=w cgroup=/cg/a/x",
        "event=cgroup-found workload=w cgroup=/cg/a/x",
    ]


def test_a_root_that_cannot_be_read_for_a_moment_keeps_its_processes(node: Node) -> None:
    folder = node.cgroup("/cg/a", 1)
    node.cgroup("/cg/b", 2)
    look = node.look(WatcherConfig(), cgroups=("/cg/a", "/cg/b"))
    look()
    (folder / "cgroup.procs").unlink()
    (folder / "cgroup.procs").mkdir()
    node.cgroup("/cg/b", 2, 3)
    found = look()

    assert found.pids == {1, 2, 3}
    assert "/cg/a/cgroup.procs" in found.trouble


def test_a_plain_configuration_needs_no_workload(node: Node) -> None:
    node.cgroup("/cg/a", 1)
    look = node.look(WatcherConfig(cgroups=("/cg/a", CGROUP_PLACEHOLDER)))

    assert look().pids == {1}


# -- all, named, none ----------------------------------------------------------------------------------------------


def test_proc_finds_every_process_with_a_program_and_names_none(node: Node) -> None:
    node.process(1, "/usr/lib/systemd/systemd")
    node.process(2, "")
    node.process(50)
    look = node.look(WatcherConfig(name="proc"), named=True)

    assert look() == Found(pids=frozenset({1, 50}))

    node.process(60)

    assert look().pids == {1, 50, 60}


def test_a_pidlist_names_processes_not_numbers(node: Node) -> None:
    node.process(50)
    node.process(51)
    look = node.look(WatcherConfig(name="pidlist", pids=(50, 51, 52)), pids=(50, 51, 52))
    first = look()
    node.process(51, start=999)
    (node.root / "proc/50/stat").unlink()
    second = look()
    node.process(50)
    node.process(52)

    assert first.pids == first.named == {50, 51}
    assert first.notes == ("process 52 does not exist now",)
    assert second.pids == set()
    assert second.notes == (
        "process 50 has ended",
        "process 51 has ended, and another process has its number now",
        "process 52 does not exist now",
    )
    assert look().pids == {50, 52}, "50 is the same, and 52 was awaited"


@pytest.mark.parametrize("named", [True, False])
def test_pids_of_a_record_are_named_as_the_record_is(node: Node, named: bool) -> None:
    node.process(50)
    node.cgroup("/cg/a", 60)
    found = node.look(WatcherConfig(), pids=(50,), cgroups=("/cg/a",), named=named)()

    assert found.pids == {50, 60}
    assert found.named == ({50, 60} if named else set())


def test_the_stub_finds_nobody(node: Node) -> None:
    node.process(50)

    assert node.look(WatcherConfig(name="stub"), pids=(50,))() == Found()


# -- filters -------------------------------------------------------------------------------------------------------


def sieve(*filters: FilterConfig, source: WatcherConfig | None = None) -> WatcherConfig:
    return WatcherConfig(name="filter", source=source or WatcherConfig(name="proc"), filters=filters)


JAVA = FilterConfig(exe_regexp="/java$")
BIG = FilterConfig(min_vm_rss_kb=1000)


@pytest.mark.parametrize(
    ("filters", "pids"),
    [
        ((JAVA,), {50, 51}),
        ((FilterConfig(exe_regexp="^/opt"),), {51}),
        ((FilterConfig(min_vm_size_kb=5000),), {51, 52}),
        ((BIG,), {51}),
        ((FilterConfig(min_private_dirty_kb=600),), {51}),
        ((FilterConfig(exe_regexp="java", min_vm_rss_kb=1000),), {51}),
        ((BIG, FilterConfig(exe_regexp="mysqld")), {51, 52}),
        ((FilterConfig(all_of=(JAVA, BIG)),), {51}),
        ((FilterConfig(any_of=(BIG, FilterConfig(exe_regexp="mysqld"))),), {51, 52}),
        ((FilterConfig(none_of=(BIG,)),), {50, 52}),
        ((FilterConfig(exe_regexp="java", none_of=(FilterConfig(all_of=(JAVA, BIG)),)),), {50}),
        ((FilterConfig(),), {50, 51, 52}),
        ((), set()),
    ],
)
def test_filters_pick(node: Node, filters: tuple[FilterConfig, ...], pids: set[int]) -> None:
    node.process(50, "/usr/bin/java", size=1000, rss=100)
    node.process(51, "/opt/jdk/bin/java (deleted)", size=9000, rss=1000, dirty=700)
    node.process(52, "/usr/sbin/mysqld", size=5000, rss=400, dirty=100)

    assert node.look(sieve(*filters))().pids == pids


@pytest.mark.parametrize("what", ["size", "rss", "dirty"])
def test_a_process_joins_when_it_has_grown_and_stays_when_it_was_paged_out(node: Node, what: str) -> None:
    wanted = {"size": "min_vm_size_kb", "rss": "min_vm_rss_kb", "dirty": "min_private_dirty_kb"}[what]
    look = node.look(sieve(FilterConfig(**{wanted: 1000})))  # type: ignore[arg-type]
    found = []
    for kilobytes in (999, 1000, 1):
        sizes = {"rss": kilobytes, what: kilobytes}
        node.process(50, "/usr/bin/app", start=100, **sizes)
        found.append(look().pids)
    node.process(50, start=200)

    assert found == [set(), {50}, {50}]
    assert look().pids == set(), "another process has the number, and it never was so large"


def test_who_is_left_is_said_when_it_is_nobody(node: Node) -> None:
    node.process(50)
    node.process(51)
    look = node.look(sieve(JAVA))

    assert look().notes == ("of 2 processes none passes the filter",)

    node.process(52, "/bin/java")

    assert look().notes == ()


class Counting(Tree):
    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []

    def read_bytes(self, path: str) -> bytes:
        self.asked.append(path)
        return super().read_bytes(path)


def test_only_what_a_filter_asks_for_is_read(node: Node) -> None:
    node.process(50, "/bin/java", rss=4000, dirty=3000)
    node.process(51, "/bin/java", rss=100)
    node.process(52, "/bin/other", rss=4000, dirty=3000)
    tree = Counting(node.root)
    config = replace(CONFIG, watcher=sieve(FilterConfig(exe_regexp="java", min_private_dirty_kb=3000)))
    watcher = catalogue.make(EngineTask(workload="w", config=config, tracker="stub"), tree)
    passed = watcher.look().pids
    dear = [path for path in tree.asked if "smaps" in path]
    tree.asked.clear()
    watcher.look()

    assert passed == {50}
    assert dear == ["/proc/50/smaps_rollup"], "51 is far too small for that look, and 52 no java"
    assert tree.asked == ["/proc/50/stat", "/proc/51/stat", "/proc/51/status"], "50 has passed: only who it is is asked"


def test_a_look_that_fails_for_a_moment_changes_nothing(node: Node) -> None:
    folder = node.process(50, rss=2000)
    node.process(51)
    look = node.look(sieve(FilterConfig(exe_regexp="app", none_of=(FilterConfig(min_vm_rss_kb=9000),))))
    assert look().pids == {50, 51}
    (folder / "status").unlink()
    (folder / "status").mkdir()

    assert look().pids == {50, 51}


def test_a_filter_picks_from_the_workloads_own_cgroup(node: Node) -> None:
    node.process(50, "/bin/java")
    node.process(51)
    node.process(60, "/bin/java")
    node.cgroup("/cg/a", 50, 51)
    config = sieve(JAVA, source=WatcherConfig(cgroups=(CGROUP_PLACEHOLDER,)))
    found = node.look(config, cgroups=("/cg/a",), named=True)()

    assert found.pids == found.named == {50}
    assert found.follow == ("/cg/a",)
    twice = node.look(sieve(FilterConfig(exe_regexp="bin"), source=config), cgroups=("/cg/a",))

    assert twice().pids == {50}


@pytest.mark.parametrize("source", [False, True])
def test_files_of_pages_of_interest_name_their_processes(node: Node, tmp_path: Path, source: bool) -> None:
    directory = tmp_path / "poi"
    policy = DemoteIdleConfig(idle_nodes=(2,), pages_of_interest_directory=str(directory))
    own = WatcherConfig(cgroups=(CGROUP_PLACEHOLDER,))
    watcher = sieve(JAVA, source=own) if source else own
    config = replace(CONFIG, policy=policy, watcher=watcher)
    look = catalogue.make(EngineTask(workload="w", config=config, tracker="stub"), node.tree).look
    node.process(50, "/bin/java")
    before = look()
    directory.mkdir()
    for name in ("50.vab", "60.vab", "lock", "x.vab", "050.vab"):
        (directory / name).touch()

    assert before == Found()
    assert look().pids == ({50} if source else {50, 60})
    assert look().named == set(), "whoever writes a file lifts no list"


def test_pages_of_interest_of_a_named_cgroup_are_those_of_its_processes(node: Node, tmp_path: Path) -> None:
    (tmp_path / "60.vab").touch()
    node.cgroup("/cg/a", 50)
    policy = DemoteIdleConfig(idle_nodes=(2,), pages_of_interest_directory=str(tmp_path))
    config = replace(CONFIG, policy=policy, watcher=WatcherConfig(cgroups=(CGROUP_PLACEHOLDER,)))
    task = EngineTask(workload="w", config=config, tracker="stub", cgroups=("/cg/a",))

    assert catalogue.make(task, node.tree).look().pids == {50}


# -- in the loop ---------------------------------------------------------------------------------------------------


def program(process: FakeProcess, comm: str) -> None:
    process.comm = comm
    process.write()
    (process.folder / "exe").symlink_to(f"/usr/bin/{comm}")


@pytest.mark.parametrize("named", [True, False])
def test_watchers_of_everybody_never_touch_whom_nobody_named(kernel: FakeKernel, named: bool) -> None:
    for pid, comm in ((1, "app"), (40, "kubelet"), (50, "app")):
        program(kernel.add(FakeProcess(kernel.root, pid).map(0, 8).present(0, 8)), comm)
    bench = Bench(kernel)
    config = replace(CONFIG, watcher=WatcherConfig(name="proc", interval_ms=1000))
    bench.engine.start(bench.task(config=config, pids=(), named=named))
    bench.run(3)
    said = bench.engine.report("w")
    bench.engine.close()

    assert said is not None
    assert said.processes == 1
    assert [note.partition(":")[0] for note in said.notes if "left alone" in note] == [
        "process 1 is left alone",
        "process 40 is left alone",
    ]


def test_a_list_of_processes_names_them(kernel: FakeKernel) -> None:
    program(kernel.add(FakeProcess(kernel.root, 40).map(0, 8).present(0, 8)), "kubelet")
    bench = Bench(kernel)
    config = replace(CONFIG, watcher=WatcherConfig(name="pidlist", pids=(40,)))
    bench.engine.start(bench.task(config=config, pids=(40,)))
    bench.run(3)
    said = bench.engine.report("w")
    bench.engine.close()

    assert said is not None
    assert said.processes == 1
    assert not any("left alone" in note for note in said.notes)


def test_many_notes_become_few(kernel: FakeKernel) -> None:
    for pid in range(100, 130):
        program(kernel.add(FakeProcess(kernel.root, pid).map(0, 8).present(0, 8)), "systemd-x")
    bench = Bench(kernel)
    bench.engine.start(bench.task(config=replace(CONFIG, watcher=WatcherConfig(name="proc")), pids=()))
    bench.run(3)
    said = bench.engine.report("w")
    bench.engine.close()

    assert said is not None
    assert len([note for note in said.notes if "left alone" in note]) == 10
    assert said.notes[-1] == "... and 20 more like the last"


def test_a_wrong_expression_ends_the_loop_and_is_said(bench: Bench) -> None:
    """The configuration's reader refuses it before; whatever comes this far must not take the engine down."""
    program(bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 8)), "app")
    bench.engine.start(bench.task(config=replace(CONFIG, watcher=sieve(FilterConfig(exe_regexp="(")))))
    bench.run(3)
    said = bench.engine.report("w")

    assert said is not None
    assert said.error == "ValueError: has a ( without its )"
