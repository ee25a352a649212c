"""Pressure-driven reclaim against a workload whose working set is known."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.agentconfig import AgentTask, Slo
from tests.agent.fake_workload import MIB, NEVER, Disk, FakeWorkload, Part
from tests.agent.reclaim_run import FLOOR, HOUR, TASK, a_gigabyte, configured, started

# -- the goal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disk", ["/dev/zram0", "/dev/vdb"])
@pytest.mark.parametrize("slo", Slo)
def test_it_comes_to_the_working_set_and_nobody_notices(slo: Slo, disk: str) -> None:
    run = started(a_gigabyte(disk), configured(slo=slo))
    fake = run.fake

    took = run.pass_by(HOUR, until=lambda: fake.usage <= 1.1 * fake.working_set())
    stall = fake.stall_us["memory"]
    run.pass_by(2 * HOUR)

    assert took < HOUR / 3
    assert run.lowest > 0.9 * fake.working_set()
    assert 0.95 * fake.working_set() < fake.usage < 1.1 * fake.working_set()
    assert fake.slowdown_percent(0, took) < 0.1
    assert fake.slowdown_percent(stall, 2 * HOUR) < 0.1
    assert run.now.footprint_bytes == pytest.approx(fake.working_set(), rel=0.1)
    assert run.now.state in {"holding", "probing"}


def test_what_was_taken_is_counted_by_what_is_not_in_use_any_more() -> None:
    run = started(a_gigabyte())
    before = run.fake.usage
    run.pass_by(HOUR)

    assert run.now.taken_bytes == run.now.taken_anon_bytes + run.now.taken_file_bytes
    assert run.now.taken_bytes - run.now.refaulted_bytes == before - run.fake.usage
    assert run.now.usage_bytes == pytest.approx(run.fake.usage, rel=0.01)


def test_memory_that_is_used_now_and_then_stays_if_it_costs_too_much() -> None:
    fake = FakeWorkload(disk=Disk(page_us=500))
    fake.add(Part(200 * MIB, every=3))
    fake.add(Part(100 * MIB, every=300))
    fake.add(Part(300 * MIB))
    run = started(fake)
    run.pass_by(4 * HOUR)
    stall = fake.stall_us["memory"]
    run.pass_by(4 * HOUR)

    assert fake.usage > 0.9 * fake.working_set(within=300)
    assert fake.usage < 1.15 * fake.working_set(within=300)
    assert fake.slowdown_percent(stall, 4 * HOUR) < 0.1


@pytest.mark.parametrize(("floor", "percent", "expected"), [(500 * MIB, 0, 500), (FLOOR, 60, 600)])
def test_never_below_the_floor(floor: int, percent: float, expected: int) -> None:
    config = replace(TASK.config, floor_bytes=floor, floor_percent=percent)
    run = started(a_gigabyte(), AgentTask(reclaims=(replace(TASK, config=config, memory_limit=1000 * MIB),)))
    run.pass_by(2 * HOUR)

    assert run.lowest >= expected * MIB
    assert run.fake.usage < (expected + 2) * MIB
    assert (run.now.state, run.now.floor_bytes) == ("at floor", expected * MIB)


@pytest.mark.parametrize("knob", ["memory.min", "memory.low"])
def test_what_the_cgroup_protects_is_a_floor(knob: str) -> None:
    fake = a_gigabyte()
    fake.knobs[knob] = str(800 * MIB)
    run = started(fake)
    run.pass_by(HOUR)

    assert run.lowest >= 800 * MIB


PARTS = st.builds(
    Part,
    size=st.sampled_from([16 * MIB, 64 * MIB, 200 * MIB]),
    every=st.sampled_from([1.0, 3.0, 20.0, 60.0, 300.0, 1800.0, NEVER, NEVER]),
    anon=st.booleans(),
)


@settings(max_examples=8, deadline=None)
@given(
    parts=st.lists(PARTS, min_size=2, max_size=5),
    page_us=st.sampled_from([10.0, 150.0, 1000.0]),
    blur=st.sampled_from([1.0, 60.0, 300.0]),
    slo=st.sampled_from(Slo),
)
def test_whatever_it_does_it_is_not_slowed_down_by_a_percent(
    parts: list[Part], page_us: float, blur: float, slo: Slo
) -> None:
    fake = FakeWorkload(disk=Disk(name="/dev/vdb", page_us=page_us, file_page_us=page_us), blur=blur)
    for part in parts:
        fake.add(part)
    run = started(fake, configured(slo=slo))
    run.pass_by(HOUR)

    assert fake.slowdown_percent(0, HOUR) < 0.5
    assert run.lowest >= min(FLOOR, fake.usage)
    assert run.lowest > 0.85 * fake.working_set(within=3)


# -- when it changes ---------------------------------------------------------------------------------------------------


def test_a_burst_is_left_alone_and_looked_at_again() -> None:
    run = started(a_gigabyte())
    fake = run.fake
    run.pass_by(HOUR)
    fake.add(Part(300 * MIB, every=5))
    fake.stall_us["memory"] += 600_000
    fake.stall_us["io"] += 600_000
    run.pass_by(7, until=lambda: run.now.state == "backing off")
    assert "begins again: memory in use grew by 300M at once" in run.now.reason

    before = len(fake.asked)
    run.pass_by(50)
    assert len(fake.asked) == before
    fake.cool(0.5)
    run.pass_by(2 * HOUR)
    assert fake.usage < 1.1 * fake.working_set()


def test_a_working_set_that_cools_is_followed() -> None:
    run = started(a_gigabyte())
    fake = run.fake
    run.pass_by(2 * HOUR)
    fake.cool(0.5)
    run.pass_by(3 * HOUR)

    assert fake.working_set() < 180 * MIB
    assert fake.usage < 1.1 * fake.working_set()


def test_a_limit_that_somebody_sets_begins_it_again() -> None:
    run = started(a_gigabyte())
    run.fake.knobs["memory.high"] = "max"
    run.pass_by(300)
    run.fake.knobs["memory.high"] = str(900 * MIB)
    run.pass_by(7, until=lambda: "memory.high was changed" in run.now.reason)
    assert "memory.high was changed" in run.now.reason

    resized = AgentTask(reclaims=(replace(TASK, memory_limit=2048 * MIB),))
    run.part.change(resized)
    run.pass_by(7, until=lambda: "limit" in run.now.reason)
    assert "the memory limit was changed" in run.now.reason


def test_pressure_that_nobody_caused_by_taking_is_waited_for() -> None:
    run = started(a_gigabyte())
    run.pass_by(60)
    for _ in range(100):
        run.fake.stall_us["io"] += 300_000
        run.pass_by(6)

    assert run.now.state == "backing off"
    assert run.now.footprint_bytes is None
    before = run.fake.usage
    run.pass_by(HOUR)
    assert run.fake.usage < before - 100 * MIB
