"""inotify on directories as on cgroups: real ones, so it is waited for, with a limit that only a bug reaches."""

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from reconciler.engine.bells import MOST_FOLLOWED, Bells
from reconciler.engine.engine import Engine
from reconciler.engineconfig import WatcherConfig
from reconciler.model import EngineSettings, Features
from sysfs import cgroup, inotify
from sysfs.errors import Busy, Gone
from sysfs.inotify import Inotify
from sysfs.tree import Tree
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_process import FakeKernel, FakeProcess
from tests.eventually import LONG, eventually


@dataclass(eq=False)
class Ear:
    rung: threading.Event = field(default_factory=threading.Event)

    def hears(self) -> bool:
        heard = self.rung.wait(LONG)
        self.rung.clear()
        return heard


@pytest.fixture
def bells(tmp_path: Path) -> Iterator[Bells]:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/cgroup.events").write_text("populated 0\n")
    made = Bells(Tree(tmp_path))
    yield made
    made.close()


def test_it_rings_for_what_comes_and_goes_and_is_populated(tmp_path: Path, bells: Bells) -> None:
    ear, owner = Ear(), object()

    assert bells.follow(owner, ["/a", "/a/b"], ear.rung.set)
    for change in (
        lambda: (tmp_path / "a/cgroup.events").write_text("populated 1\n"),
        (tmp_path / "a/new").mkdir,
        (tmp_path / "a/new").rmdir,
        (tmp_path / "a/b").rmdir,
    ):
        change()
        assert ear.hears()

    assert bells.trouble == ""


def test_only_what_is_new_was_not_heard_before(tmp_path: Path, bells: Bells) -> None:
    owner = object()

    assert bells.follow(owner, ["/a"], lambda: None)
    assert not bells.follow(owner, ["/a"], lambda: None)
    assert bells.follow(owner, ["/a", "/a/b"], lambda: None)
    assert not bells.follow(owner, ["/a", "/a/gone"], lambda: None), "what does not exist has nothing to say"


def test_a_directory_that_was_made_again_is_followed_again(tmp_path: Path, bells: Bells) -> None:
    ear, owner = Ear(), object()
    bells.follow(owner, ["/a/b"], ear.rung.set)
    (tmp_path / "a/b").rmdir()
    assert ear.hears()
    (tmp_path / "a/b").mkdir()
    while not bells.follow(owner, ["/a/b"], ear.rung.set):  # until the end of the old watch has been heard
        assert ear.hears()
    ear.rung.clear()
    (tmp_path / "a/b/c").mkdir()

    assert ear.hears()


def test_everybody_hears_his_own(tmp_path: Path, bells: Bells) -> None:
    first, second, both = Ear(), Ear(), Ear()
    bells.follow(first, ["/a"], first.rung.set)
    bells.follow(second, ["/a/b"], second.rung.set)
    bells.follow(both, ["/a", "/a/b"], both.rung.set)
    (tmp_path / "a/b/c").mkdir()

    assert second.hears()
    assert both.hears()
    assert not first.rung.is_set()

    bells.leave(both)
    bells.leave(second)
    (tmp_path / "a/b/d").mkdir()
    (tmp_path / "a/e").mkdir()

    assert first.hears(), "events come in order"
    assert not second.rung.is_set()
    assert not both.rung.is_set()


def test_whoever_makes_thousands_of_cgroups_takes_few_watches(tmp_path: Path, bells: Bells) -> None:
    for number in range(100):
        (tmp_path / f"a/b/{number}").mkdir()
    bells.follow(self := object(), [f"/a/b/{number}" for number in range(100)], lambda: None)

    assert len(bells._numbers) == MOST_FOLLOWED
    bells.leave(self)
    assert bells._numbers == {}


class NoWatches(Inotify):
    def add(self, path: str, mask: int) -> int:
        raise Busy(28, "No space left on device", path)


def test_without_watches_polling_remains_and_is_said(
    tmp_path: Path, bells: Bells, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.engine.bells.Inotify", NoWatches)

    assert not bells.follow(object(), ["/a"], lambda: None)
    assert bells.trouble.startswith("changes of cgroups are found by polling alone: [Errno 28]")


def test_lost_events_ring_for_all(tmp_path: Path, bells: Bells) -> None:
    rung: list[str] = []
    bells.follow(first := object(), ["/a"], lambda: rung.append("first"))
    bells.follow(second := object(), ["/a/b"], lambda: rung.append("second"))

    for ring in bells._heard(((inotify.OVERFLOW, 0x4000),)):
        ring()

    assert sorted(rung) == ["first", "second"]
    bells.leave(first)
    bells.leave(second)


def test_inotify_itself_says_what_is_not_there(tmp_path: Path) -> None:
    made = Inotify(Tree(tmp_path))
    with pytest.raises(Gone, match="/nothing"):
        made.add("/nothing", inotify.DIRECTORY)
    made.interrupt()

    assert made.wait() == ()
    made.close()


# -- in the loop ---------------------------------------------------------------------------------------------------


def test_a_ring_only_makes_the_watch_due_and_not_too_often(kernel: FakeKernel) -> None:
    bench = Bench(kernel)
    folder = kernel.root / "cg"
    folder.mkdir()
    (folder / "cgroup.procs").write_text("50\n")
    kernel.add(FakeProcess(kernel.root, 50).map(0, 8).present(0, 8))
    kernel.add(FakeProcess(kernel.root, 51).map(0, 8).present(0, 8))
    bench.engine.start(bench.task(pids=(), cgroups=("/cg",)))
    bench.run(0.05)
    session = bench.engine._sessions["w"]
    (folder / "cgroup.procs").write_text("50\n51\n")
    counts = []
    for seconds in (0.05, 0.15):
        for _ in range(100):
            session.watch_soon()
        bench.run(seconds)
        counts.append(session.report().processes)
    bench.engine.close()

    assert counts == [1, 2], "a workload that rings all the time is looked at five times a second"


RARELY = replace(CONFIG, watcher=WatcherConfig(interval_ms=3_600_000))


def test_a_cgroup_that_becomes_populated_is_noticed_at_once(kernel: FakeKernel) -> None:
    """Though it is polled only once an hour."""
    folder = kernel.root / "cg"
    folder.mkdir()
    (folder / "cgroup.procs").write_text("")
    (folder / "cgroup.events").write_text("populated 0\n")
    kernel.add(FakeProcess(kernel.root, 50).map(0, 8).present(0, 8))
    engine = Engine(kernel.tree, Features(kernel="", page_size=4096), EngineSettings(), lambda _: None)
    engine.start(Bench(kernel).task(pids=(), cgroups=("/cg", "/later"), config=RARELY))
    session = engine._sessions["w"]
    try:
        assert eventually(lambda: bool(session._members.follow()))
        (folder / "cgroup.procs").write_text("50\n")
        (folder / "cgroup.events").write_text("populated 1\n")
        assert eventually(lambda: session.report().processes == 1)
        assert any("/later does not exist" in note for note in session.report().notes)
        made = kernel.root / "made"
        made.mkdir()
        (made / "cgroup.procs").write_text("")
        made.rename(kernel.root / "later")
        assert eventually(lambda: not any("/later does not exist" in note for note in session.report().notes))
    finally:
        engine.close()
    assert engine._around.bells._wanted == {}


@pytest.fixture
def real_cgroup() -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if " - cgroup2 " in line:
            path = Path(line.split(" ")[4]) / f"ebbtide-test-{os.getpid()}"
            break
    else:
        pytest.skip("no cgroup v2 here")
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    yield str(path)
    path.rmdir()


def test_the_kernel_rings_for_real_cgroups(real_cgroup: str) -> None:
    tree, ear, owner = Tree(), Ear(), object()
    bells = Bells(tree)
    assert bells.follow(owner, [real_cgroup], ear.rung.set)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        tree.write(f"{real_cgroup}/cgroup.procs", str(process.pid))
        assert ear.hears(), "it became populated"
        assert cgroup.processes(tree, real_cgroup) == (process.pid,)
    assert ear.hears(), "it became empty"
    below = Path(real_cgroup) / "below"
    below.mkdir()
    assert ear.hears(), "a new cgroup below it"
    below.rmdir()
    assert ear.hears()
    bells.close()
