"""The one place that performs actions: originals first, nothing after a failure, every refusal an Outcome."""

import os
from pathlib import Path

import pytest

from reconciler.actions import (
    Action,
    ForgetOriginal,
    Outcome,
    Plan,
    RestoreKnob,
    Result,
    SaveOriginal,
    SetAgent,
    StartEngine,
    StopEngine,
    WriteKnob,
)
from reconciler.agentconfig import AgentTask, CompactConfig
from reconciler.baseline import Baseline
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.execute import Executor
from reconciler.model import EngineTask, Knob
from sysfs.tree import Tree

HIGH = Knob.MEMORY_HIGH
TASK = EngineTask(workload="w", config=EngineConfig(policy=AgeConfig(interval_ms=1000)), tracker="referenced")


class Engines:
    def __init__(self) -> None:
        self.said: list[str] = []

    def start(self, task: EngineTask) -> None:
        self.said.append(f"start {task.workload}")

    def stop(self, workload: str) -> None:
        self.said.append(f"stop {workload}")

    def change(self, task: AgentTask) -> None:
        self.said.append(f"agent {task.compact}")


class Node:
    """A folder that looks like a cgroup mount with one cgroup, /w."""

    def __init__(self, folder: Path) -> None:
        self.knob = folder / "cg/w/memory.high"
        self.knob.parent.mkdir(parents=True)
        self.knob.write_text("max\n")
        self.state = folder / "state"
        self.state.mkdir()
        self.inode = os.stat(self.knob.parent).st_ino
        self.engines = Engines()
        self.baseline = Baseline(self.state, "boot-1")
        self.executor = Executor(Tree(folder), "/cg", self.baseline, self.engines, 4096, self.engines)

    def save(self, written: str = "4096") -> SaveOriginal:
        return SaveOriginal(workload="w", cgroup="/w", inode=self.inode, knob=HIGH, original="max", written=written)

    def write(self, value: str = "4096", inode: int = 0) -> WriteKnob:
        return WriteKnob(workload="w", cgroup="/w", inode=inode or self.inode, knob=HIGH, value=value, seen="max")

    def restore(self) -> RestoreKnob:
        return RestoreKnob(workload="w", cgroup="/w", inode=self.inode, knob=HIGH, original="max", expected=("4096",))

    def perform(self, *actions: Action) -> list[Result]:
        return [outcome.result for outcome in self.outcomes(*actions)]

    def outcomes(self, *actions: Action) -> tuple[Outcome, ...]:
        return self.executor.perform(Plan(actions=actions))


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_write_reaches_the_file_and_its_original_the_disk(node: Node) -> None:
    assert node.perform(node.save(), node.write()) == [Result.DONE, Result.DONE]

    again = Baseline(node.state, "boot-1")
    assert node.knob.read_text() == "4096"
    assert [entry.original for entry in again.entries.values()] == ["max"]


def test_the_baseline_of_another_boot_is_ignored(node: Node) -> None:
    node.perform(node.save(), node.write())

    assert Baseline(node.state, "boot-2").entries == {}


def test_an_unreadable_baseline_is_named_and_set_aside_before_the_first_write(node: Node) -> None:
    torn = '{"version": 1, "entr'
    (node.state / "baseline.json").write_text(torn)

    found = Baseline(node.state, "boot-1")
    assert found.entries == {}
    assert "cannot be restored" in found.problems[0].message
    assert (node.state / "baseline.json").read_text() == torn, "looking changes nothing"

    found.save([node.save()])
    assert (node.state / "baseline.unreadable").read_text() == torn
    assert len(Baseline(node.state, "boot-1").entries) == 1


def test_nothing_is_written_when_the_original_cannot_be_saved(node: Node) -> None:
    node.state.rename(node.state.with_name("elsewhere"))

    outcomes = node.outcomes(node.save(), node.write())

    assert [outcome.result for outcome in outcomes] == [Result.BUSY, Result.BUSY]
    assert "nothing is written" in outcomes[0].message
    assert node.knob.read_text() == "max\n"


def test_a_recreated_cgroup_gets_nothing_that_was_meant_for_the_old_one(node: Node) -> None:
    assert node.perform(node.write(inode=node.inode + 1)) == [Result.GONE]
    assert node.knob.read_text() == "max\n"


def test_a_vanished_file_is_gone_and_what_follows_for_that_workload_is_skipped(node: Node) -> None:
    node.knob.unlink()

    found = node.perform(node.write(), StartEngine(workload="w", task=TASK), StopEngine(workload="w", reason="r"))

    assert found == [Result.GONE, Result.SKIPPED, Result.DONE]
    assert node.engines.said == ["stop w"]


def test_restore_gives_the_original_back_and_forgets_it(node: Node) -> None:
    node.perform(node.save(), node.write())

    assert node.perform(node.restore()) == [Result.DONE]
    assert node.knob.read_text() == "max"
    assert Baseline(node.state, "boot-1").entries == {}


def test_restore_looks_once_more_and_leaves_a_foreign_value(node: Node) -> None:
    node.perform(node.save(), node.write())
    node.knob.write_text("8192\n")

    node.perform(node.restore())

    assert node.knob.read_text() == "8192\n"


def test_forgetting_leaves_the_file_alone(node: Node) -> None:
    node.perform(node.save(), node.write())

    node.perform(ForgetOriginal(workload="w", cgroup="/w", inode=node.inode, knob=HIGH, reason="r"))

    assert node.knob.read_text() == "4096"
    assert node.baseline.entries == {}


def test_engines_are_started_and_stopped(node: Node) -> None:
    node.perform(StopEngine(workload="x", reason="r"), StartEngine(workload="w", task=TASK))

    assert node.engines.said == ["stop x", "start w"]


def test_the_agent_is_told_its_task(node: Node) -> None:
    assert node.perform(SetAgent(task=AgentTask(compact=CompactConfig()))) == [Result.DONE]
    assert node.engines.said == [f"agent {CompactConfig()}"]
