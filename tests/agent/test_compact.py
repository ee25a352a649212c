"""Whole periods of compaction, on a node and a clock of our own."""

import logging
from dataclasses import asdict
from pathlib import Path

import pytest

from reconciler.agentconfig import AgentTask, CompactConfig, PsiConfig
from tests.agent.fake_memory import WHOLE, FakeNode, run_until, task

PERIOD = 600.0


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    return FakeNode(root=tmp_path)


def test_fragments_are_compacted_once(node: FakeNode) -> None:
    part = node.part()
    part.change(task())
    run_until(part, node, 5 * PERIOD)

    report = part.report()
    assert [(child.path, child.text) for child in node.children] == [(WHOLE, "1")]
    assert (report.state, report.periods, report.runs, report.stopped, report.error) == ("waiting", 5, 1, {}, "")
    assert (report.fragments_before, report.fragments_after) == (5000, 100)
    assert report.last_seconds == pytest.approx(node.takes, abs=0.2)
    assert report.decision == (
        "all memory: does not compact: 100 free pages in blocks below order 9, not more than 1124;"
        " 500.0 MiB free, not below 496.0 MiB"
    )
    assert asdict(report)["places"][0]["waited"] == 3


def test_growth_since_the_last_compaction_starts_the_next(node: FakeNode) -> None:
    part = node.part()
    part.change(task())
    run_until(part, node, PERIOD)
    node.fragments[0] = 1124
    run_until(part, node, PERIOD)
    assert part.report().runs == 1

    node.fragments[0] = 1125
    run_until(part, node, PERIOD)
    assert part.report().runs == 2


def test_a_fall_of_free_memory_starts_one_too(node: FakeNode) -> None:
    part = node.part()
    part.change(task())
    run_until(part, node, PERIOD)
    node.free_mib[0] = 495
    run_until(part, node, PERIOD)

    assert part.report().runs == 2
    assert "fell to 495.0 MiB" in part.report().decision


def test_periods_held_by_pressure_count_for_force(node: FakeNode) -> None:
    """Also those: so a node that is always busy gets one at the first calm moment."""
    node.fragments[0] = 10
    node.press(3.0)
    part = node.part()
    part.change(task(CompactConfig(compact_force_times=3)))
    run_until(part, node, 5 * PERIOD)
    held = part.report()
    assert (held.runs, held.held) == (0, 5)
    assert held.decision == "held: pressure: tasks waited 3.0 % of the time (limit 1 %)"

    node.press(0.0)
    run_until(part, node, 2 * PERIOD)
    assert (part.report().runs, part.report().forced) == (1, 1)


def test_the_first_period_is_guarded_by_pressure_too(node: FakeNode) -> None:
    node.press(50.0)
    part = node.part()
    part.change(task())
    run_until(part, node, 10)

    assert (part.report().held, part.report().runs) == (1, 0)


def test_zero_forces_each_period(node: FakeNode) -> None:
    node.fragments[0] = 0
    part = node.part()
    part.change(task(CompactConfig(compact_force_times=0)))
    run_until(part, node, 4 * PERIOD)

    assert (part.report().runs, part.report().forced) == (4, 4)


@pytest.mark.parametrize(
    ("happens", "by", "at_s"),
    [
        pytest.param(lambda node, _part: node.press(5.2), "pressure", 3.0, id="meter"),
        pytest.param(lambda node, _part: setattr(node, "alarm", True), "pressure", 2.1, id="alarm"),
        pytest.param(lambda _node, part: part.change(AgentTask()), "change", 2.1, id="no-section"),
        pytest.param(lambda _node, part: part.change(task(CompactConfig(disabled=True))), "change", 2.1, id="disabled"),
        pytest.param(lambda _node, part: part.change(task(CompactConfig(dry_run=True))), "change", 2.1, id="dry-run"),
        pytest.param(lambda _node, part: part.change(task(observe=True)), "change", 2.1, id="observe"),
        pytest.param(
            lambda _node, part: part.change(task(CompactConfig(compact_sec_max=1))), "time", 2.1, id="less-time"
        ),
        pytest.param(lambda _node, part: part.stop(), "end", 2.1, id="our-end"),
    ],
)
def test_what_stops_a_compaction(node: FakeNode, happens: object, by: str, at_s: float) -> None:
    """Two seconds after its start something happens; it would take a minute."""
    node.takes = 60.0
    part = node.part()
    part.change(task())
    node.at(1.0 + 2.0, lambda: happens(node, part))  # type: ignore[operator]
    run_until(part, node, 20)

    (child,) = node.children
    assert child.killed is not None
    assert child.killed - child.begun == pytest.approx(at_s, abs=0.25)
    assert part.report().stopped == {by: 1}
    assert part.report().last_stop.startswith(f"{by}: ")
    assert not [bell for bell in node.bells if bell.open]


def test_pressure_at_the_limit_is_not_above(node: FakeNode) -> None:
    node.takes = 20.0
    part = node.part()
    part.change(task())
    node.at(3.0, lambda: node.press(4.99))
    run_until(part, node, 60)

    assert (part.report().runs, part.report().stopped) == (1, {})


def test_time_is_up(node: FakeNode) -> None:
    node.takes = 1000.0
    part = node.part()
    part.change(task())
    run_until(part, node, PERIOD)

    report = part.report()
    assert report.stopped == {"time": 1}
    assert report.last_seconds == pytest.approx(180, abs=1)
    assert part.report().places[0].reason == "5000 free pages in blocks below order 9, more than 1024"
    run_until(part, node, PERIOD)
    assert part.report().runs == 1, "what it left is what the next period compares with"


def test_a_limit_changed_meanwhile_holds_at_once(node: FakeNode) -> None:
    node.takes = 60.0
    part = node.part()
    part.change(task())
    node.press(0.5)
    node.at(10, lambda: part.change(task(CompactConfig(compact_psi_percent_limit=0.2))))
    run_until(part, node, 30)

    assert part.report().stopped == {"pressure": 1}
    assert [bell.percent for bell in node.bells] == [5.0, 0.2]


def test_a_killed_one_that_does_not_end_is_waited_for_and_told(node: FakeNode) -> None:
    node.takes, node.dying = 1000.0, 900.0
    part = node.part()
    part.change(task(CompactConfig(compact_force_times=0)))
    run_until(part, node, 200)
    assert part.report().error.startswith("the compaction was killed (by time) and has not ended 5 s later")

    run_until(part, node, PERIOD)
    assert (len(node.children), part.report().held) == (1, 1)
    assert part.report().decision == "held: an earlier compaction was killed and has not ended yet"
    run_until(part, node, PERIOD)
    assert len(node.children) == 2


def test_a_refusal_is_said_once_and_tried_again(node: FakeNode, caplog: pytest.LogCaptureFixture) -> None:
    node.refuses = 13
    part = node.part()
    part.change(task())
    with caplog.at_level(logging.WARNING):
        run_until(part, node, 3 * PERIOD)

    report = part.report()
    assert (report.runs, report.failed, len(node.children)) == (0, 3, 3)
    assert report.error == f"{WHOLE}: Permission denied"
    assert [record.getMessage() for record in caplog.records] == [
        f'event=compaction-failed place="all memory" error="{WHOLE}: Permission denied"'
    ]
    node.refuses = 0
    run_until(part, node, PERIOD)
    assert (part.report().runs, part.report().error) == (1, "")


@pytest.mark.parametrize("asked", [task(observe=True), task(CompactConfig(dry_run=True))], ids=["observe", "dry-run"])
def test_observing_decides_and_counts_and_writes_nothing(node: FakeNode, asked: AgentTask) -> None:
    part = node.part()
    part.change(asked)
    run_until(part, node, 3 * PERIOD)
    seen = part.report()
    assert (seen.would, seen.runs, node.children) == (1, 0, [])

    part.change(task())
    run_until(part, node, PERIOD)
    assert part.report().runs == 1, "what was not done is done now"


def test_off_is_never_and_on_is_soon(node: FakeNode) -> None:
    part = node.part()
    assert part.run(node.now) == float("inf")
    assert part.report().state == "off"

    part.change(task())
    assert part.run(node.now) == node.now + 1
    part.change(task(CompactConfig(period_secs=0)))
    run_until(part, node, 10)
    assert part.report().periods == pytest.approx(10, abs=4), "at most one a second"


def test_a_period_changed_counts_from_the_last_one(node: FakeNode) -> None:
    part = node.part()
    part.change(task())
    run_until(part, node, 100)
    begun = node.now
    part.change(task(CompactConfig(period_secs=200)))

    assert part.run(node.now) == pytest.approx(begun - 100 + 1 + node.takes + 200, abs=0.2)


def test_only_fragmented_nodes_are_compacted(node: FakeNode) -> None:
    node.fragments, node.free_mib = {0: 10, 1: 9000}, {0: 100, 1: 300}
    part = node.part()
    part.change(task(CompactConfig(per_node=True)))
    run_until(part, node, PERIOD)

    assert [child.path for child in node.children] == ["/sys/devices/system/node/node1/compact"]
    assert [(place.node, place.compact, place.fragments) for place in part.report().places] == [
        (0, False, 10),
        (1, True, 9000),
    ]
    node.free_mib[1] = 200
    run_until(part, node, PERIOD)
    assert [child.path[-13:] for child in node.children] == ["node1/compact"] * 2


def test_a_stop_holds_for_the_nodes_that_are_left(node: FakeNode) -> None:
    node.fragments, node.free_mib = {0: 9000, 1: 9000}, {0: 100, 1: 300}
    node.takes = 100.0
    part = node.part()
    part.change(task(CompactConfig(per_node=True)))
    node.at(30, lambda: node.press(90))
    node.at(60, lambda: node.press(0))
    run_until(part, node, PERIOD)
    assert [child.path[-13:] for child in node.children] == ["node0/compact"]

    node.takes = 1.0
    run_until(part, node, 2 * PERIOD)
    assert [child.path[-13:] for child in node.children] == ["node0/compact", "node1/compact"]


def test_without_memory_nodes_all_memory_is_one_place(node: FakeNode) -> None:
    part = node.part()
    part.change(task(CompactConfig(per_node=True)))
    run_until(part, node, PERIOD)

    assert [child.path for child in node.children] == [WHOLE]
    assert part.report().notes == ("per_node: this kernel shows no memory nodes, so all memory is one",)


def test_what_cannot_be_read_is_an_error_of_this_period(node: FakeNode) -> None:
    part = node.part()
    part.change(task(CompactConfig(period_secs=10)))
    node.remove("/proc/meminfo")
    part.run(node.now)
    part.run(node.now + 1)

    assert part.report().error == "[Errno 2] No such file or directory: '/proc/meminfo'"
    run_until(part, node, 30)
    assert (part.report().error, part.report().runs) == ("", 1)


@pytest.mark.parametrize(("required", "runs", "held"), [(False, 1, 0), (True, 0, 1)])
def test_a_kernel_without_psi(node: FakeNode, *, required: bool, runs: int, held: int) -> None:
    node.accounts = False
    part = node.part()
    part.change(task(psi=PsiConfig(required=required)))
    run_until(part, node, 60)

    report = part.report()
    assert (report.runs, report.held) == (runs, held)
    assert "/proc/pressure/memory" in (report.decision if required else report.unread)


def test_a_bug_leaves_no_compaction_behind(node: FakeNode) -> None:
    node.bug = "a mistake of ours"
    part = node.part()
    part.change(task())
    with pytest.raises(RuntimeError, match=node.bug):
        run_until(part, node, PERIOD)

    assert [child.killed is not None for child in node.children] == [True]
    assert not [bell for bell in node.bells if bell.open]


def test_without_room_for_a_process_it_is_tried_again(node: FakeNode) -> None:
    node.room = False
    part = node.part()
    part.change(task())
    run_until(part, node, 60)
    assert (part.report().runs, part.report().failed) == (0, 1)
    assert "no process for the compaction could be started" in part.report().error

    node.room = True
    run_until(part, node, PERIOD)
    assert (part.report().runs, part.report().error) == (1, "")
