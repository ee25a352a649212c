"""The plan as tables: what is wanted, seen and known -> what is done and what is held."""

from dataclasses import replace
from typing import Any

import pytest

from reconciler.actions import (
    BaselineEntry,
    ForgetOriginal,
    Known,
    RestoreKnob,
    Retry,
    SaveOriginal,
    SetAgent,
    StartEngine,
    StopEngine,
    WriteKnob,
)
from reconciler.agentconfig import AgentTask, CompactConfig, Kept, ReclaimConfig, ReclaimTask
from reconciler.desired import _without_doubles
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.model import (
    Desired,
    DesiredWorkload,
    EngineTask,
    Knob,
    Mode,
    Observed,
    ObservedWorkload,
    OnStop,
    Workload,
    WorkloadState,
)
from reconciler.plan import plan

SWAP = Knob.SWAP_MAX
TASK = EngineTask(workload="w", config=EngineConfig(policy=AgeConfig(interval_ms=1000)), tracker="referenced")
WANTED = DesiredWorkload(workload=Workload(id="w", cgroup="/w"), class_name="c", knobs={SWAP: "max"})
ENTRY = BaselineEntry(workload="w", cgroup="/w", inode=7, knob=SWAP, original="0", written="max")
SAVE = SaveOriginal(workload="w", cgroup="/w", inode=7, knob=SWAP, original="0", written="max")
WRITE = WriteKnob(workload="w", cgroup="/w", inode=7, knob=SWAP, value="max", seen="0")


def desired(*wanted: DesiredWorkload) -> Desired:
    return Desired(workloads={one.workload.id: one for one in wanted})


def seen(value: str = "0", inode: int = 7, **more: Any) -> Observed:
    shown = ObservedWorkload(inode=inode, knobs={SWAP: value} if inode else {})
    return Observed(workloads={"w": shown}, strays={"/w": shown}, **more)


def knows(*entries: BaselineEntry, **more: Any) -> Known:
    return Known(baseline={(entry.cgroup, entry.knob): entry for entry in entries}, **more)


def test_a_write_is_preceded_by_its_original() -> None:
    assert plan(desired(WANTED), seen(), knows(), 0).actions == (SAVE, WRITE)


def test_nothing_is_done_when_the_value_already_stands() -> None:
    assert plan(desired(WANTED), seen("max"), knows(), 0).actions == ()


def test_a_foreign_write_is_corrected_and_named() -> None:
    found = plan(desired(WANTED), seen("4096"), knows(ENTRY), 0)

    assert found.actions[-1] == replace(WRITE, seen="4096", foreign=True)


def test_our_own_changed_wish_is_not_foreign_and_remembers_what_stood_there() -> None:
    found = plan(desired(replace(WANTED, knobs={SWAP: "8192"})), seen("max"), knows(ENTRY), 0)

    assert found.actions == (replace(SAVE, written="8192", before="max"), replace(WRITE, value="8192", seen="max"))


@pytest.mark.parametrize("current", ["max", "8192"], ids=["died before the write", "died after the write"])
def test_a_crash_between_remembering_and_writing_can_be_undone(current: str) -> None:
    entry = replace(ENTRY, written="8192", before="max")

    found = plan(desired(replace(WANTED, class_name="", knobs={})), seen(current), knows(entry), 0)

    assert [type(action) for action in found.actions] == [RestoreKnob]


def test_two_crashes_in_a_row_still_know_the_value_that_stands_there() -> None:
    entry = replace(ENTRY, written="8192", before="max")

    found = plan(desired(replace(WANTED, knobs={SWAP: "12288"})), seen("max"), knows(entry), 0)

    assert found.actions[0] == replace(SAVE, written="12288", before="max")


def test_what_the_runtime_wrote_for_us_is_remembered_with_the_runtimes_own_value() -> None:
    workload = replace(WANTED.workload, adjusted={"memory.swap.max": "max"}, runtime_values={"memory.swap.max": "0"})

    found = plan(desired(replace(WANTED, workload=workload)), seen("max"), knows(), 0)

    assert found.actions == (replace(SAVE, runtime="0"),)


def test_a_resize_by_the_kubelet_changes_the_original_and_is_no_foreign_write() -> None:
    workload = replace(WANTED.workload, runtime_values={"memory.swap.max": "12288"})

    found = plan(desired(replace(WANTED, workload=workload)), seen("12288"), knows(ENTRY), 0)

    assert found.actions == (replace(SAVE, original="12288", runtime="12288"), replace(WRITE, seen="12288"))


def test_the_original_that_was_seen_is_not_replaced_by_what_the_record_guesses() -> None:
    workload = replace(WANTED.workload, runtime_values={"memory.swap.max": "0"})
    wanted = desired(replace(WANTED, workload=workload))
    saved = replace(ENTRY, original="8192", runtime="0")

    assert plan(wanted, seen("8192"), knows(), 0).actions[0] == replace(SAVE, original="8192", runtime="0")
    assert plan(wanted, seen("max"), knows(saved), 0).actions == ()


def test_a_value_that_came_through_the_runtime_is_never_its_own_original() -> None:
    workload = replace(WANTED.workload, adjusted={"memory.high": "104857600"})
    high = Observed(workloads={"w": ObservedWorkload(inode=7, knobs={"memory.high": "104857600"})})

    (saved,) = plan(
        desired(replace(WANTED, workload=workload, knobs={Knob.MEMORY_HIGH: "104857600"})), high, knows(), 0
    ).actions
    (restored,) = plan(desired(replace(WANTED, workload=workload, class_name="", knobs={})), high, knows(), 0).actions

    assert isinstance(saved, SaveOriginal)
    assert saved.original == "max"
    assert isinstance(restored, RestoreKnob), "also when the class went before the daemon ever looked"
    assert restored.original == "max"


@pytest.mark.parametrize("wanted", [WANTED, replace(WANTED, class_name="", knobs={})], ids=["wanted", "unwanted"])
def test_when_the_cgroup_tree_cannot_be_seen_nothing_is_gone(wanted: DesiredWorkload) -> None:
    blind = replace(seen(inode=0), cgroups_visible=False)

    found = plan(desired(wanted), blind, knows(ENTRY), 0)

    assert found.actions == ()
    assert "cannot be seen" in found.holds[0].reason
    assert plan(desired(), blind, knows(ENTRY), 0).actions == ()


def test_a_restore_that_fails_waits_like_every_failure() -> None:
    retry = Retry(attempts=1, not_before=5.0, reason="refused: read-only")
    known = knows(ENTRY, retries={("w", "memory.swap.max"): retry})

    found = plan(desired(), seen("max"), known, 4.0)

    assert found.actions == ()
    assert found.holds[0].until == 5.0


def test_memory_max_is_not_lowered_below_what_is_used() -> None:
    wanted = desired(replace(WANTED, knobs={Knob.MEMORY_MAX: "4096"}))
    shown = ObservedWorkload(inode=7, knobs={"memory.max": "max"}, usage_bytes=8192)

    found = plan(wanted, Observed(workloads={"w": shown}), knows(), 0)

    assert found.actions == ()
    assert "could kill it" in found.holds[0].reason


def test_memory_high_goes_down_in_steps_and_arrives_even_if_nothing_can_be_reclaimed() -> None:
    gib = 1 << 30
    wanted = desired(replace(WANTED, knobs={Knob.MEMORY_HIGH: "1048576"}))

    def target(current: str, usage: int) -> str:
        shown = ObservedWorkload(inode=7, knobs={"memory.high": current}, usage_bytes=usage)
        (write,) = (
            a for a in plan(wanted, Observed(workloads={"w": shown}), knows(), 0).actions if type(a) is WriteKnob
        )
        return write.value

    assert target("max", gib) == str(gib - (256 << 20))
    assert target(str(gib - (256 << 20)), gib - (256 << 20)) == str(gib - (512 << 20))
    assert target(str(gib - (256 << 20)), gib) == "1048576", "the step did not help"
    assert target("max", 128 << 20) == "1048576"


def test_an_annotation_only_workload_and_a_named_one_do_not_fight_over_a_cgroup() -> None:
    one = DesiredWorkload(workload=Workload(id="pod", cgroup="/w"), knobs={SWAP: "0"})
    two = DesiredWorkload(workload=Workload(id="site", cgroup="/w", named=True), class_name="c", knobs={SWAP: "max"})

    kept = _without_doubles({"pod": one, "site": two})

    assert kept["site"] == two
    assert kept["pod"].knobs == {}
    assert "already managed as site" in kept["pod"].problems[0].message


@pytest.mark.parametrize(
    ("current", "expected"),
    [
        ("max", RestoreKnob(workload="w", cgroup="/w", inode=7, knob=SWAP, original="0", expected=("max",))),
        ("0", ForgetOriginal(workload="w", cgroup="/w", inode=7, knob=SWAP, reason="it has its original value")),
        ("4096", ForgetOriginal(workload="w", cgroup="/w", inode=7, knob=SWAP, reason="somebody else wrote 4096")),
    ],
    ids=["ours", "already", "foreign"],
)
@pytest.mark.parametrize("way", ["class removed", "record removed", "released", "stop"])
def test_only_our_own_value_is_undone(current: str, expected: object, way: str) -> None:
    unmanaged = desired(replace(WANTED, class_name="", knobs={}))
    wanted, known = {
        "class removed": (unmanaged, knows(ENTRY)),
        "record removed": (desired(), knows(ENTRY)),
        "released": (desired(WANTED), knows(ENTRY, released=frozenset({"w"}))),
        "stop": (desired(replace(WANTED, on_stop=OnStop.RESTORE)), knows(ENTRY, stopping=True)),
    }[way]

    assert plan(wanted, seen(current), known, 0).actions == (expected,)


def test_stopping_leaves_values_as_they_are_unless_the_class_says_restore() -> None:
    found = plan(desired(WANTED), seen("max", engines={"w": TASK}), knows(ENTRY, stopping=True), 0)

    assert found.actions == (StopEngine(workload="w", reason="the daemon stops"),)


def test_a_recreated_cgroup_is_another_cgroup() -> None:
    found = plan(desired(WANTED), seen("4096", inode=8), knows(ENTRY), 0)

    assert found.actions == (replace(SAVE, inode=8, original="4096"), replace(WRITE, inode=8, seen="4096"))


def test_a_vanished_cgroup_is_forgotten_and_its_engine_stopped() -> None:
    found = plan(desired(replace(WANTED, engine=TASK)), seen(inode=0, engines={"w": TASK}), knows(ENTRY), 0)

    assert [type(action) for action in found.actions] == [StopEngine, ForgetOriginal]
    assert found.holds[0].reason.startswith("gone:")


def test_a_pending_container_waits_for_its_cgroup() -> None:
    pending = replace(WANTED, workload=replace(WANTED.workload, state=WorkloadState.PENDING), engine=TASK)

    found = plan(desired(pending), seen(inode=0), knows(), 0)

    assert found.actions == ()
    assert found.holds[0].reason.startswith("pending:")


def test_observe_mode_says_what_it_would_do_and_touches_nothing() -> None:
    found = plan(desired(replace(WANTED, mode=Mode.OBSERVE)), seen(), knows(), 0)

    assert found.actions == ()
    assert found.holds[0].reason == "observe mode: would write max, is 0"


def test_pause_neither_writes_nor_restores_nor_stops() -> None:
    unwanted = desired(replace(WANTED, knobs={}))

    found = plan(unwanted, seen("max", engines={"x": TASK}), knows(ENTRY, paused=True), 0)

    assert found.actions == ()
    assert "resume" in found.holds[0].reason


def test_an_unreadable_class_file_undoes_nothing() -> None:
    held = replace(WANTED, class_name="", knobs={}, held="a class file is unreadable")

    assert plan(desired(held), seen("max", engines={"w": TASK}), knows(ENTRY), 0).actions == ()


def test_an_engine_is_replaced_when_its_task_changes_and_kept_when_not() -> None:
    same = plan(desired(replace(WANTED, engine=TASK)), seen("max", engines={"w": TASK}), knows(ENTRY), 0)
    other = replace(TASK, tracker="idlepage")
    changed = plan(desired(replace(WANTED, engine=other)), seen("max", engines={"w": TASK}), knows(ENTRY), 0)

    assert same.actions == ()
    assert changed.actions == (
        StopEngine(workload="w", reason="its configuration changed"),
        StartEngine(workload="w", task=other),
    )


@pytest.mark.parametrize(
    ("retry", "now", "held"),
    [
        (Retry(attempts=1, not_before=5.0, reason="busy: x"), 4.0, True),
        (Retry(attempts=1, not_before=5.0, reason="busy: x"), 5.0, False),
        (Retry(attempts=1, not_before=5.0, reason="rejected: x", rejected="max"), 99.0, True),
        (Retry(attempts=1, not_before=5.0, reason="rejected: x", rejected="123"), 0.0, False),
    ],
    ids=["too early", "time is up", "same rejected value", "another value"],
)
def test_failures_hold_back_only_as_long_as_they_should(retry: Retry, now: float, held: bool) -> None:
    found = plan(desired(WANTED), seen(), knows(retries={("w", "memory.swap.max"): retry}), now)

    assert (found.actions == ()) is held
    assert bool(found.holds) is held


def test_one_of_two_records_of_a_cgroup_gives_nothing_back() -> None:
    other = DesiredWorkload(workload=Workload(id="a", cgroup="/w"))

    assert plan(desired(other, WANTED), seen("max"), knows(ENTRY), 0).actions == ()


# -- the agent ---------------------------------------------------------------------------------------------------------

ON = AgentTask(compact=CompactConfig())
OFF = AgentTask()
PROBE = ReclaimTask(workload="w", name="w", cgroup="/w", config=ReclaimConfig())


def agent(wanted: AgentTask | None, running: AgentTask = OFF, **more: Any) -> Any:
    found = plan(Desired(agent=wanted), Observed(agent=running), Known(**more), 0)
    return [action.task for action in found.actions if isinstance(action, SetAgent)], [
        one.reason for one in found.holds
    ]


def test_the_agent_is_told_only_what_is_new() -> None:
    assert agent(AgentTask()) == ([], [])
    assert agent(ON) == ([ON], [])
    assert agent(ON, ON) == ([], [])
    assert agent(AgentTask(), ON) == ([AgentTask()], [])


def test_an_agent_that_is_off_is_told_when_it_may_put_back_what_it_left() -> None:
    assert agent(AgentTask(), AgentTask(observe=True)) == ([AgentTask()], [])
    assert agent(AgentTask(observe=True), AgentTask()) == ([], [])


def test_a_paused_agent_goes_on_with_what_it_did_and_only_observes() -> None:
    observing = replace(ON, observe=True)

    for wanted in (ON, AgentTask(), replace(ON, compact=CompactConfig(compact_order=3))):
        assert agent(wanted, ON, paused=True)[0] == [observing]
        assert agent(wanted, observing, paused=True)[0] == []
    assert "writes nothing" in agent(ON, ON, paused=True)[1][0]
    assert agent(AgentTask(), paused=True) == ([], [])


def test_a_released_node_has_its_agent_off() -> None:
    tasks, (reason,) = agent(ON, ON, released=frozenset({"*"}))

    assert tasks == [AgentTask()]
    assert "resume" in reason


def test_a_released_workload_is_left_alone_by_the_agent() -> None:
    wanted = Desired(workloads=desired(WANTED).workloads, agent=replace(ON, reclaims=(PROBE,)))

    (action,) = plan(wanted, seen("max"), Known(released=frozenset({"w"})), 0).actions

    kept = (Kept(cgroup="/w", reason="released by an administrator"),)
    assert action == SetAgent(task=replace(ON, kept=kept))


def test_a_stopping_daemon_does_not_undo_what_its_next_start_would_do_again() -> None:
    assert agent(ON, ON, stopping=True) == ([], [])


def test_an_unreadable_class_file_leaves_the_agent_as_it_is() -> None:
    assert agent(None) == ([], [])
    assert agent(None, ON) == ([], ["a class file is unreadable, and its sections may be in it"])
    assert agent(None, ON, paused=True)[0] == [replace(ON, observe=True)]
    assert agent(None, ON, released=frozenset({"*"}))[0] == [OFF]


def test_an_unreadable_class_file_holds_up_no_release() -> None:
    running = replace(ON, reclaims=(PROBE,))
    wanted = Desired(workloads=desired(WANTED).workloads, agent=None)
    view = replace(seen("max"), agent=running)

    (action,) = plan(wanted, view, Known(released=frozenset({"w"})), 0).actions

    assert isinstance(action, SetAgent)
    assert (action.task.reclaims, [one.cgroup for one in action.task.kept]) == ((), ["/w"])
