"""One workload's loop on a machine with memory nodes: what policies are told, and what is reported."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from reconciler.engine.mover import BUSY
from reconciler.engine.policies import catalogue
from reconciler.engine.policies.policy import Move, View
from reconciler.engine.tasks import Task
from reconciler.engineconfig import AgeConfig, PolicyConfig
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_process import PAGE, FakeKernel, FakeProcess

NODES = AgeConfig(interval_ms=1000, idle_ms=2000, idle_nodes=(1,), active_ms=3000, active_nodes=(0,))


class Recorder:
    """A policy that wants to know everything, and keeps what it was told."""

    note = ""
    resets = locates = True

    def __init__(self) -> None:
        self.views: list[View] = []

    def observe(self, view: View) -> None:
        self.views.append(view)

    def moves(self, view: View) -> Sequence[Move]:
        del view
        return ()

    def dump(self, words: tuple[str, ...], view: View) -> str:
        return f"{words} {len(view.seats)}"


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()

    def make(config: PolicyConfig, *_: object) -> Recorder:
        del config
        return recorder

    monkeypatch.setattr(catalogue, "make", make)
    return recorder


def app(kernel: FakeKernel) -> FakeProcess:
    """Pages 0..32 are in use, 64..96 are not; half of the latter is on node 1 already."""
    kernel.nodes.add(0, 10_000, (10,), cpu=True)
    kernel.nodes.add(1, 10_000, (20, 10))
    process = FakeProcess(kernel.root, 50, referenced={0}, allowed="0-1,7").map(0, 32).map(64, 96)
    process.node[80:96] = 1
    return kernel.add(process.present(0, 32).present(64, 96))


def test_idle_memory_goes_to_the_far_node_and_comes_back_when_it_is_used(bench: Bench) -> None:
    process = app(bench.kernel)
    bench.kernel.swap(0)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=NODES)))
    bench.run(6)
    said = bench.engine.report("w")
    first = np.flatnonzero(process.node == 1).tolist()
    process.referenced = {0, 1}
    process.write()
    bench.run(8)
    later = bench.engine.report("w")

    assert first == list(range(64, 96))
    assert not (process.node == 1).any()
    assert said is not None
    assert later is not None
    assert (said.moved_bytes, later.moved_bytes) == (16 * PAGE, 48 * PAGE)
    assert (said.brake, said.error, said.advised_bytes) == ("", "", 0), "moving between nodes needs no swap"


def test_a_policy_is_told_where_memory_is_and_may_be(bench: Bench, policy: Recorder) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=NODES)))
    bench.run(3)
    view = policy.views[-1]
    on_node = view.seats[50].on_node
    report = bench.engine.report("w")

    assert [(node.number, node.has_cpu, node.distances.get(0)) for node in view.nodes] == [
        (0, True, 10),
        (1, False, 20),
    ]
    assert view.seats[50].allowed == {0, 1, 7}
    assert on_node is not None
    assert on_node.tolist() == [[16, 0], [16, 0], [16, 0], [0, 16]]
    assert report is not None
    assert report.node_bytes == {"0": 48 * PAGE, "1": 16 * PAGE}


@pytest.mark.parametrize(("said", "noted"), [("1", True), ("2", True), ("0", False), ("", False)])
@pytest.mark.parametrize("policy", [NODES, replace(NODES, idle_nodes=(-1,), active_nodes=())])
def test_a_kernel_that_balances_nodes_itself_is_named(bench: Bench, said: str, noted: bool, policy: AgeConfig) -> None:
    app(bench.kernel)
    if said:
        folder = bench.kernel.root / "proc/sys/kernel"
        folder.mkdir(parents=True)
        (folder / "numa_balancing").write_text(said + "\n")
    bench.engine.start(bench.task(config=replace(CONFIG, policy=policy)))
    bench.run(3)
    report = bench.engine.report("w")

    assert report is not None
    assert any("echo 0 > /proc/sys/kernel/numa_balancing" in note for note in report.notes) == (
        noted and policy is NODES
    )


def test_on_one_node_nobody_asks(bench: Bench, policy: Recorder) -> None:
    process = FakeProcess(bench.kernel.root, 50).map(0, 32).present(0, 32)
    bench.kernel.add(process)
    bench.kernel.nodes.add(0, 10_000, (10,), cpu=True)
    process.node[:] = 77  # whoever asked would be told that
    bench.engine.start(bench.task(config=replace(CONFIG, policy=NODES)))
    bench.run(3)
    on_node = policy.views[-1].seats[50].on_node

    assert on_node is not None
    assert on_node.tolist() == [[16], [16]]


def test_counters_begin_again_with_each_decision_of_a_policy_that_wants_that(bench: Bench, policy: Recorder) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=NODES)))
    bench.run(6)
    counted = [view.seats[50].regions["accesses"].tolist() for view in policy.views]

    assert max(max(each) for each in counted[1:]) == 1


def test_regions_that_are_new_since_the_last_decision_are_on_no_node(bench: Bench, policy: Recorder) -> None:
    process = app(bench.kernel)
    config = replace(CONFIG, policy=replace(NODES, interval_ms=3000))
    bench.engine.start(bench.task(config=config))
    bench.run(3.1)
    process.map(128, 160).present(128, 160).write()
    process.mappings.sort()
    bench.run(2)
    words = bench.engine.running()
    session = bench.engine._sessions["w"]
    view = session._moving.view(session._members, session.deciseconds())
    on_node = view.seats[50].on_node

    assert words
    assert on_node is not None
    assert on_node.tolist() == [[16, 0], [16, 0], [16, 0], [0, 16], [0, 0], [0, 0]]


def test_a_task_by_hand_runs_at_once_and_is_reported(bench: Bench) -> None:
    """Though the loop has nothing to do for five seconds."""
    process = app(bench.kernel)
    slow = replace(
        CONFIG,
        policy=AgeConfig(interval_ms=60_000),
        tracker=replace(CONFIG.tracker, scan_interval_ms=60_000),
        watcher=replace(CONFIG.watcher, interval_ms=60_000),
        routines=(),
    )
    bench.engine.start(bench.task(config=slow))
    bench.run(1)
    session = bench.engine.session("w")
    assert session is not None
    session.mover.add(Task(pid=50, to=(1,)))

    assert session.mover.state() == BUSY

    bench.run(1)
    report = bench.engine.report("w")

    assert set(np.flatnonzero(process.node == 1)) == {*range(32), *range(64, 96)}
    assert report is not None
    assert report.moved_bytes == 48 * PAGE


def test_stats_of_a_session(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=NODES)))
    bench.run(6)
    session = bench.engine._sessions["w"]

    assert "    requested: 16 pages (0 MB)" in session.stats(())
    assert " decision" in session.stats(("-t", "events"))


def test_a_policy_that_only_measures_observes_and_needs_no_swap(bench: Bench, policy: Recorder) -> None:
    app(bench.kernel)
    bench.kernel.swap(0)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=AgeConfig(interval_ms=1000))))
    bench.run(5)
    report = bench.engine.report("w")

    assert len(policy.views) == 5
    assert report is not None
    assert report.brake == ""
