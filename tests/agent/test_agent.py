"""The agent's workers: when parts run, what they are told, and what becomes of their bugs."""

import logging
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from reconciler.agent.agent import PARTS, Agent, Makers, World, give_back, make
from reconciler.agent.part import Part
from reconciler.agentconfig import AgentTask, CompactConfig, Override
from reconciler.cli import agent_rows
from sysfs.tree import Tree

ON = AgentTask(compact=CompactConfig(), origins=(("compact", "a.yaml:1"),))


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Figures:
    runs: int


@dataclass
class Fake(Part):
    """Runs every ten seconds while it is on; `bugs` are raised instead, one a run."""

    tasks: list[AgentTask] = field(default_factory=list)
    runs: list[float] = field(default_factory=list)
    bugs: list[Exception] = field(default_factory=list)
    stopped: bool = False

    def change(self, task: AgentTask) -> None:
        self.tasks.append(task)

    def run(self, now: float) -> float:
        self.runs.append(now)
        if self.bugs:
            raise self.bugs.pop(0)
        return now + 10 if self.tasks[-1].compact else math.inf

    def report(self) -> Figures:
        if self.runs and self.runs[-1] < 0:
            raise ValueError("no figures")
        return Figures(runs=len(self.runs))

    def stop(self) -> None:
        self.stopped = True


class Bench:
    def __init__(self, **parts: Fake) -> None:
        self.clock, self.parts = Clock(), parts or {"swap": Fake()}
        self.agent = Agent(self.parts, self.clock, threads=0)

    @property
    def one(self) -> Fake:
        return self.parts["swap"]

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        while self.agent.turn():
            pass


def test_nothing_runs_before_it_is_told_to() -> None:
    bench = Bench()
    bench.turn(3600)

    assert (bench.one.runs, bench.one.tasks, bench.agent.running()) == ([], [], AgentTask())


def test_a_part_runs_at_once_and_then_when_it_says() -> None:
    bench = Bench()
    bench.agent.change(ON)
    bench.turn()
    bench.turn(9)
    bench.turn(1)

    assert bench.one.runs == [100, 110]
    assert bench.agent.running() == ON


def test_a_change_reaches_every_part_at_once_and_hurries_it() -> None:
    bench = Bench(swap=Fake(), compact=Fake())
    bench.agent.change(ON)
    bench.turn()
    bench.agent.change(AgentTask())
    bench.turn(1)

    assert [part.runs for part in bench.parts.values()] == [[100, 101]] * 2
    assert bench.agent.next_deadline() == math.inf


def test_what_an_earlier_daemon_left_is_put_back_even_if_nothing_is_asked_for() -> None:
    bench = Bench()
    bench.agent.begin(observe=False)
    bench.agent.begin(observe=False)
    bench.turn()

    assert (bench.one.tasks, bench.one.runs) == ([AgentTask()], [100])


def test_begin_never_replaces_a_task() -> None:
    bench = Bench()
    bench.agent.change(ON)
    bench.agent.begin(observe=False)

    assert bench.agent.running() == ON


def test_a_bug_is_told_and_tried_again_later_and_later(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(swap=Fake(bugs=[ValueError("a"), ValueError("b")]), compact=Fake())
    bench.agent.change(ON)
    with caplog.at_level(logging.CRITICAL):
        bench.turn()
        assert bench.agent.report().errors == ("swap: ValueError: a",)
        bench.turn(1)
        assert bench.agent.report().errors == ("swap: ValueError: b",)
        bench.turn(1.5)
        assert bench.one.runs == [100, 101]
        bench.turn(0.5)

    assert bench.one.runs == [100, 101, 103]
    assert bench.agent.report().errors == ()
    assert bench.parts["compact"].runs == [100]


def test_the_longest_wait_after_bugs_is_five_minutes(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(swap=Fake(bugs=[ValueError(str(number)) for number in range(30)]))
    bench.agent.change(ON)
    with caplog.at_level(logging.CRITICAL):
        for _ in range(20):
            bench.turn(300)

    assert len(bench.one.runs) == 20


def test_a_part_that_is_always_due_does_not_take_a_whole_cpu() -> None:
    class Eager(Fake):
        def run(self, now: float) -> float:
            super().run(now)
            return now

    bench = Bench(swap=Eager())
    bench.agent.change(ON)
    bench.turn()

    assert bench.one.runs == [100]
    assert bench.agent.next_deadline() > 100


def test_the_report_tells_the_task_and_each_parts_figures(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(swap=Fake(), compact=Fake(runs=[-1.0]))
    bench.agent.change(ON)
    bench.agent.set(Override(section="memcg", values={"swap": True}, origin="root"))
    with caplog.at_level(logging.CRITICAL):
        found = bench.agent.report()

    assert (found.task, found.doing, found.observe) == (ON.fingerprint(), "compact", False)
    assert found.origins == {"compact": "a.yaml:1"}
    assert (asdict(found)["swap"], found.compact) == ({"runs": 0}, None)
    assert found.overrides == (Override(section="memcg", values={"swap": True}, origin="root"),)
    bench.agent.unset("memcg")
    assert bench.agent.report().overrides == ()


def test_with_threads_of_their_own_parts_run_and_end() -> None:
    fake = Fake()
    agent = Agent({"swap": fake})
    agent.change(ON)
    agent.close()

    assert fake.stopped
    assert len(fake.runs) <= 1


class Leaving(Fake):
    """Leaves something behind, which may be stuck."""

    def __init__(self, stuck: str) -> None:
        super().__init__()
        self.stuck = stuck

    def release(self) -> str:
        return self.stuck


def test_without_a_daemon_all_that_was_left_is_put_back(tmp_path: Path) -> None:
    world = World(tree=Tree(tmp_path), mount="", page_size=4096, state_dir=tmp_path, boot_id="b", clock=Clock())
    makers: Makers = {"a": lambda _: Fake(), "b": lambda _: Leaving(""), "c": lambda _: Leaving("/swap: too full")}

    assert give_back(world, makers) == ("/swap: too full",)


def test_the_real_parts_are_made_and_are_off(tmp_path: Path) -> None:
    world = World(tree=Tree(tmp_path), mount="", page_size=4096, state_dir=tmp_path, boot_id="b")
    agent = make(world)
    agent.begin(observe=False)
    report = agent.report()
    agent.close()

    assert (report.doing, report.errors) == ("off", ())
    assert {name for name in PARTS if getattr(report, name) is not None} == set(PARTS)
    assert set(agent_rows.PARTS) == set(PARTS), "status shows them all"
    assert give_back(world) == ()
