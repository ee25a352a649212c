"""`auto` is decided anew when what this machine offers changes, and only then: our own use of DAMON is no change."""

from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler import desired, plan
from reconciler.actions import Known, StartEngine, StopEngine
from reconciler.engine import kdamond_targets
from reconciler.engine.kdamonds import OWN, Kdamonds, Member, Wish
from reconciler.engineconfig import MEASURED, AgeConfig, DamonConfig, EngineConfig, TrackerConfig
from reconciler.model import ClassTable, EngineTask, MemoryClass, Observed, Workload
from sysfs import probe, process
from sysfs.damon import ADMIN
from sysfs.damon_scheme import Spans
from tests.kernel.fake import FakeKernel
from tests.kernel.fake_damon import FakeDamon

MIB = 1 << 20
SPANS: Spans = ((0, 64 * MIB),)


class Node:
    """The daemon's decisions, and loops that take what real ones take of DAMON."""

    def __init__(self, fs: FakeFilesystem) -> None:
        self.kernel = FakeKernel(fs)
        self.kernel.cgroup("/system.slice/a.service")
        self.kernel.process(70, "/system.slice/a.service")
        for name in ("pagemap", "smaps", "clear_refs"):
            self.kernel.add_file(f"/proc/self/{name}", lambda: "")
        self.damon = FakeDamon(self.kernel)
        self.pool = Kdamonds(self.kernel.tree, clock=lambda: 1.0, sleep=lambda _: None)
        self.tasks: dict[str, EngineTask] = {}
        self.members: dict[str, Member] = {}

    def cycle(self, damon: DamonConfig = MEASURED) -> list[str]:
        """What a resync did: the trackers that started and "stop" for those that ended."""
        features = probe.features(self.kernel.tree, self.pool.ours)
        tracker = TrackerConfig(name="auto", damon=damon)
        engine = EngineConfig(policy=AgeConfig(swapout_ms=30_000), tracker=tracker)
        table = ClassTable(classes={"c": MemoryClass(name="c", engine=engine)})
        mine = Workload(id="a", pids=(70,), class_name="c", named=True)
        wanted = desired.resolve(table, [mine], features)
        seen = Observed(engines=dict(self.tasks))
        return [self.act(action) for action in plan.plan(wanted, seen, known(), 0.0).actions]

    def act(self, action: object) -> str:
        match action:
            case StopEngine(workload=workload):
                self.tasks.pop(workload)
                if workload in self.members:
                    self.members.pop(workload).leave()
                return "stop"
            case StartEngine(task=task):
                self.tasks[task.workload] = task
                if task.tracker == "damon":
                    self.join(task)
                return task.tracker
        raise AssertionError(action)

    def join(self, task: EngineTask) -> None:
        damon = task.config.tracker.damon
        wish = Wish(
            name=task.workload,
            attributes=kdamond_targets.attributes(damon),
            kdamonds=damon.kdamonds,
            pause_stat=damon.pause_damon_stat,
        )
        member = self.members[task.workload] = self.pool.join(wish)
        member.follow({identity(self.kernel): SPANS})


def identity(kernel: FakeKernel) -> tuple[int, int, tuple[int, ...]]:
    return process.identity(kernel.tree, 70)


def known() -> Known:
    return Known(baseline={})


def test_our_own_kdamonds_are_no_reason_to_change(fs: FakeFilesystem) -> None:
    node = Node(fs)

    assert node.cycle() == ["damon"]
    assert node.kernel.tree.read(f"{ADMIN}/nr_kdamonds") == f"{OWN}\n"
    assert [node.cycle() for _ in range(5)] == [[]] * 5


def test_somebody_else_comes_and_goes(fs: FakeFilesystem) -> None:
    node = Node(fs)
    node.damon.foreign()

    assert [node.cycle() for _ in range(3)] == [["referenced"], [], []]
    node.damon.kdamonds[0].command("off")
    node.damon._set_count("0")
    assert [node.cycle() for _ in range(3)] == [["stop", "damon"], [], []]


def test_damon_stat_that_may_be_paused(fs: FakeFilesystem) -> None:
    node = Node(fs)
    node.damon.stat = True
    paused = DamonConfig(pause_damon_stat=True)

    assert [node.cycle(), node.cycle()] == [["referenced"], []]
    assert [node.cycle(paused) for _ in range(3)] == [["stop", "damon"], [], []]
    assert not node.damon.stat
    assert [node.cycle() for _ in range(3)] == [["stop", "referenced"], [], []], "that it is paused is no consent"
    assert node.damon.stat
