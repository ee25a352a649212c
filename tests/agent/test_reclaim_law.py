"""The control law of `reclaim:`: what one interval's figures lead to, and what must hold whatever they are."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler import brakes
from reconciler.agent.reclaim_law import (
    HOLD_INTERVALS,
    REST_INTERVALS,
    SMALLEST,
    STUCK_STEPS,
    Decision,
    Memory,
    State,
    decide,
    stepped,
)
from reconciler.agent.reclaim_reach import Step
from reconciler.agent.reclaim_signals import Signals, Terms
from reconciler.agentconfig import ReclaimConfig, Slo
from reconciler.model import BrakeLimits

MIB, GIB = 1 << 20, 1 << 30
CONFIG = ReclaimConfig()
NOW = 5000.0
SWAP = brakes.Signals(swap_total_bytes=8 * GIB, swap_free_bytes=8 * GIB)
QUIET = Signals(seconds=6.0, usage=GIB, anon=700 * MIB, file=300 * MIB, brake=SWAP)
CALM = Memory(usage=GIB)  # as after the last interval


def with_swap(**values: Any) -> Signals:
    return replace(QUIET, brake=replace(SWAP, **values))


def decided(signals: Signals, memory: Memory = CALM, terms: Terms | None = None, **config: Any) -> Decision:
    return decide(ReclaimConfig(**config), terms or Terms(), memory, signals, NOW)


def test_a_first_look_takes_nothing() -> None:
    found = decided(replace(QUIET, seconds=0.0), Memory())

    assert (found.state, found.step) == (State.WAITING, None)


@pytest.mark.parametrize(
    ("percent", "io", "share"),
    [(0.0, 0.0, 1.0), (0.05, 0.0, 0.5), (0.09, 0.0, 0.1), (0.0, 0.05, 0.5), (0.02, 0.08, 0.2)],
)
def test_the_step_is_the_share_that_is_left_of_the_target(percent: float, io: float, share: float) -> None:
    found = decided(
        replace(QUIET, memory_percent=percent, io_percent=io, usage=100 * GIB), replace(CALM, usage=100 * GIB)
    )

    assert found.step is not None
    assert found.step.size == pytest.approx(100 * GIB * 0.0005 * share, rel=1e-6)


@pytest.mark.parametrize(("percent", "grows"), [(0.0, True), (0.04, True), (0.06, False)])
def test_steps_double_while_it_is_calm(percent: float, grows: bool) -> None:
    found = decided(replace(QUIET, memory_percent=percent), replace(CALM, step_percent=0.4))

    assert found.memory.step_percent == (0.8 if grows else 0.0)


def test_steps_have_an_end() -> None:
    found = decided(QUIET, replace(CALM, step_percent=64.0))

    assert found.step == Step(size=GIB // 100)


# -- it hurts ----------------------------------------------------------------------------------------------------------


def test_one_late_page_is_waited_for_and_no_more() -> None:
    found = decided(replace(QUIET, memory_percent=0.15))

    assert (found.state, found.step, found.memory.rest_until) == (State.PROBING, None, 0.0)
    assert "0.15 % of the time (target 0.1 %)" in found.reason


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        (replace(QUIET, memory_percent=1.1), "tasks waited for memory 1.10 % of the time (target 0.1 %)"),
        (replace(QUIET, io_percent=1.1), "tasks waited for io 1.10 % of the time (target 0.1 %)"),
        (with_swap(stall_percent=12.0), "memory pressure: tasks waited for memory 12.0 %"),
        (with_swap(out_bytes=90 * MIB, came_back_bytes=10 * MIB), "refaults: 10.0 % of what was out"),
    ],
)
def test_what_makes_it_back_off(signals: Signals, said: str) -> None:
    found = decided(signals)

    assert (found.state, found.step) == (State.BACKING_OFF, None)
    assert said in found.reason
    assert found.memory.rest_until == NOW + REST_INTERVALS * 6


def test_stall_that_lasts_counts_like_one_that_is_large() -> None:
    memory = CALM
    states = []
    for n in range(40):
        found = decide(CONFIG, Terms(), memory, replace(QUIET, memory_percent=0.12), NOW + 6 * n)
        memory = found.memory
        states.append(found.state)

    assert State.BACKING_OFF in states
    assert states.index(State.BACKING_OFF) > 10


def test_the_footprint_is_what_was_left_and_what_came_back() -> None:
    before = replace(CALM, stepped=True, left=GIB - 20 * MIB, back=0)
    hurt = decided(replace(QUIET, memory_percent=2.0, refaulted=12 * MIB), before)
    assert hurt.memory.footprint == GIB - 8 * MIB

    resting = decide(CONFIG, Terms(), hurt.memory, replace(QUIET, refaulted=3 * MIB), NOW + 6)
    assert resting.state is State.BACKING_OFF
    assert resting.memory.footprint == GIB - 5 * MIB


def test_stall_without_anything_coming_back_is_no_footprint() -> None:
    found = decided(replace(QUIET, memory_percent=2.0), replace(CALM, stepped=True, left=GIB - 20 * MIB))

    assert (found.state, found.memory.footprint) == (State.BACKING_OFF, None)


def test_the_same_footprint_again_is_believed_longer() -> None:
    again = replace(CALM, stepped=True, left=900 * MIB, footprint=905 * MIB, hold_s=600.0)
    other = replace(again, footprint=600 * MIB)
    hurt = replace(QUIET, memory_percent=2.0, refaulted=4 * MIB)

    assert decided(hurt, again).memory.hold_s == 1200
    assert decided(hurt, other).memory.hold_s == HOLD_INTERVALS * 6
    assert decided(hurt, replace(again, hold_s=3000.0)).memory.hold_s == 3600


# -- a known footprint -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usage", "until", "state", "size"),
    [
        (1049 * MIB, NOW + 1, State.HOLDING, 0),
        (1060 * MIB, NOW + 1, State.HOLDING, 1060 * MIB // 100),
        (1049 * MIB, NOW - 1, State.PROBING, 1049 * MIB * 4 // 2000),
        (2000 * MIB, NOW - 1, State.PROBING, 2000 * MIB // 100),
    ],
)
def test_a_margin_above_it_is_kept_until_it_is_questioned(usage: int, until: float, state: State, size: int) -> None:
    memory = Memory(usage=usage, step_percent=1.0, footprint=1000 * MIB, question_at=until)

    found = decided(replace(QUIET, usage=usage, anon=usage, file=0), memory)

    assert found.state is state
    assert (found.step.size if found.step else 0) == min(size, max(usage - 1050 * MIB, 0) if until > NOW else size)


def test_below_a_footprint_without_harm_it_was_none() -> None:
    memory = replace(CALM, footprint=GIB)

    assert stepped(CONFIG, memory, Step(size=MIB), int(0.95 * GIB), MIB, NOW).footprint == GIB
    assert stepped(CONFIG, memory, Step(size=MIB), int(0.89 * GIB), MIB, NOW).footprint is None


def test_where_as_much_comes_back_as_is_taken_is_the_footprint() -> None:
    memory = CALM
    for _ in range(STUCK_STEPS + 1):
        memory = stepped(CONFIG, memory, Step(size=MIB), 500 * MIB, MIB, NOW)

    assert memory.footprint == 500 * MIB
    assert memory.question_at == NOW + HOLD_INTERVALS * 6


def test_a_kernel_that_finds_nothing_is_left_in_peace() -> None:
    memory = CALM
    for _ in range(3):
        memory = stepped(CONFIG, memory, Step(size=MIB), GIB, 0, NOW)
    found = decided(QUIET, memory)

    assert (found.state, found.step) == (State.AT_FLOOR, None)
    assert "finds nothing more" in found.reason


def test_what_the_kernel_took_too_much_is_waited_out() -> None:
    """Huge pages leave as a whole."""
    memory = stepped(CONFIG, CALM, Step(size=MIB // 2), GIB, 2 * MIB, NOW)
    waits = []
    while (found := decided(QUIET, replace(memory, step_percent=0.0))).step is None:
        waits.append(found.state)
        memory = found.memory

    assert waits == [State.PROBING] * 3, "1.5 MiB, at half a MiB each"
    assert found.memory.debt == 0
    assert stepped(CONFIG, CALM, Step(size=MIB), GIB, 500 * MIB, NOW).debt == 4 * MIB, "that was not the kernel alone"


# -- what may leave ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("floors", "limit", "protected", "expected"),
    [
        ({}, None, 0, 100 * MIB),
        ({"floor_bytes": GIB}, None, 0, GIB),
        ({"floor_percent": 50}, GIB, 0, GIB // 2),
        ({"floor_percent": 50}, None, 0, 100 * MIB),
        ({}, None, 300 * MIB, 300 * MIB),
    ],
)
def test_the_highest_floor_holds(floors: dict[str, float], limit: int | None, protected: int, expected: int) -> None:
    found = decided(
        replace(QUIET, protected=protected), replace(CALM, limit=limit), Terms(memory_limit=limit), **floors
    )

    assert found.floor == expected
    if expected == GIB:
        assert (found.state, found.step) == (State.AT_FLOOR, None)


@pytest.mark.parametrize(
    ("signals", "swappiness", "said"),
    [
        (QUIET, None, "of memory"),
        (with_swap(swap_free_bytes=4 * GIB), 22, "of memory"),  # 50 % used of 80 %
        (with_swap(swap_free_bytes=GIB), 0, "page cache (swap is 88 % full (limit 80 %))"),
        (with_swap(swap_total_bytes=0, swap_free_bytes=0), 0, "page cache (no swap on this node"),
        (with_swap(swap_limit_bytes=0), 0, "page cache (memory.swap.max is 0"),
        (replace(QUIET, wears=True, swapped_60=30 * MIB), 30, "of memory"),
        (replace(QUIET, wears=True, swapped_60=60 * MIB), 0, "page cache (the node writes 1M/s to swap (limit 1M/s))"),
        (replace(QUIET, wears=True, swapped_300=300 * MIB), 0, "page cache (the node writes 1M/s"),
        (replace(QUIET, wears=False, swapped_60=60 * MIB), None, "of memory"),
    ],
)
def test_anonymous_memory_leaves_as_swap_and_disk_allow(signals: Signals, swappiness: int | None, said: str) -> None:
    found = decided(signals)

    assert found.step is not None
    assert found.step.swappiness == swappiness
    assert said in found.reason


@pytest.mark.parametrize(("swappiness", "expected"), [(None, None), (60, None), (100, 100), (0, 0), (200, 200)])
def test_the_classs_swappiness(swappiness: int | None, expected: int | None) -> None:
    found = decided(QUIET, swappiness=swappiness)

    assert found.step is not None
    assert found.step.swappiness == expected


@pytest.mark.parametrize(
    ("signals", "state"),
    [
        (with_swap(swap_free_bytes=GIB), State.WAITING),
        (with_swap(swap_total_bytes=0, swap_free_bytes=0), State.PROBING),
        (with_swap(swap_limit_bytes=0), State.PROBING),
        (QUIET, State.PROBING),
    ],
)
def test_a_kernel_that_cannot_be_told_is_not_asked_where_it_would_swap(signals: Signals, state: State) -> None:
    found = decided(replace(signals, takes_swappiness=False))

    assert found.state is state
    assert found.step is None or found.step.swappiness is None


def test_a_step_is_never_more_than_the_disk_may_take() -> None:
    busy = replace(
        QUIET, usage=100 * GIB, anon=100 * GIB, file=0, wears=True, swapped_60=50 * MIB, swapped_300=50 * MIB
    )

    found = decided(busy, Memory(usage=100 * GIB, step_percent=1.0))

    assert found.step is not None
    assert found.step.size == 10 * MIB
    cached = decided(replace(busy, anon=50 * GIB, file=50 * GIB), Memory(usage=100 * GIB, step_percent=1.0))
    assert cached.step == Step(size=GIB * 100 // 100, swappiness=0), "page cache costs the disk nothing"


def test_dirty_page_cache_stays() -> None:
    found = decided(replace(with_swap(swap_total_bytes=0, swap_free_bytes=0), file=5 * MIB, dirty=5 * MIB))

    assert (found.state, found.step) == (State.AT_FLOOR, None)
    assert "nothing is left that can leave: no swap" in found.reason


# -- other service level objectives ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slo", "changes", "takes"),
    [
        (Slo.REFAULT, {"refaulted": 0}, True),
        (Slo.REFAULT, {"refaulted": 512 << 10}, False),  # 5 MiB a minute of 1 GiB: 0.49 %
        (Slo.REFAULT, {"refaulted": 50 << 10, "working_set": 100 * MIB}, False),
        (Slo.REFAULT, {"memory_percent": 5.0}, True),
        (Slo.PROMOTION, {"spare": MIB}, True),
        (Slo.PROMOTION, {"spare": 0}, False),
        (Slo.PROMOTION, {"spare": MIB, "refaulted": MIB}, False),
        (Slo.PROMOTION, {"spare": None}, False),
        (Slo.PROMOTION, {"spare": MIB, "io_percent": 5.0}, False),
        (Slo.PRESSURE, {"no_psi": "gone", "refaulted": 0}, True),
        (Slo.PRESSURE, {"no_psi": "gone", "refaulted": MIB}, False),
    ],
)
def test_what_is_judged(slo: Slo, changes: dict[str, Any], takes: bool) -> None:
    found = decided(replace(QUIET, **changes), slo=slo)

    assert (found.step is not None) is takes


def test_psi_can_be_required() -> None:
    found = decided(replace(QUIET, no_psi="off"), terms=Terms(psi_required=True))

    assert (found.state, found.step) == (State.WAITING, None)


@pytest.mark.parametrize("limits", [BrakeLimits(pressure_percent=0), BrakeLimits(refault_percent=0)])
def test_brakes_of_zero_never_let_anything_go(limits: BrakeLimits) -> None:
    assert decided(QUIET, terms=Terms(brakes=limits)).step is None


# -- other writers -----------------------------------------------------------------------------------------------------

LEARNED = Memory(usage=GIB, step_percent=0.8, footprint=900 * MIB, question_at=NOW + 500, hold_s=600.0)


@pytest.mark.parametrize(
    ("signals", "terms", "said"),
    [
        (replace(QUIET, high=512 * MIB), Terms(), "memory.high was changed"),
        (QUIET, Terms(memory_limit=2 * GIB), "the memory limit was changed"),
        (replace(QUIET, usage=2 * GIB), Terms(), "memory in use grew by 1G at once"),
        (replace(QUIET, usage=GIB // 2), Terms(), "memory in use shrank by 512M at once"),
    ],
)
def test_what_was_learned_of_another_workload_is_forgotten(signals: Signals, terms: Terms, said: str) -> None:
    found = decided(signals, LEARNED, terms)

    assert said in found.reason
    assert (found.memory.footprint, found.memory.hold_s) == (None, 0.0)


@pytest.mark.parametrize(
    "signals", [replace(QUIET, usage=GIB + 20 * MIB), replace(QUIET, usage=2 * GIB, refaulted=GIB), QUIET]
)
def test_what_is_no_surprise(signals: Signals) -> None:
    assert decided(signals, LEARNED).memory.footprint is not None


# -- whatever comes ----------------------------------------------------------------------------------------------------

sizes = st.integers(0, 1 << 40)
percents = st.floats(0, 200, allow_nan=False)


@given(
    usage=sizes,
    anon=sizes,
    file=sizes,
    dirty=sizes,
    protected=sizes,
    stall=percents,
    io=percents,
    refaulted=sizes,
    total=sizes,
    free=st.floats(0, 1),
    wears=st.booleans(),
    written=sizes,
    step_percent=st.floats(0, 100),
    footprint=st.none() | sizes,
    question=st.floats(0, 10_000),
    floor_percent=st.floats(0, 100),
)
def test_never_below_the_floor_nor_more_than_may_leave(**drawn: Any) -> None:
    swap = brakes.Signals(swap_total_bytes=drawn["total"], swap_free_bytes=int(drawn["total"] * drawn["free"]))
    names = ("usage", "anon", "file", "dirty", "protected", "refaulted", "wears")
    signals = Signals(
        seconds=6.0,
        memory_percent=drawn["stall"],
        io_percent=drawn["io"],
        swapped_60=drawn["written"],
        brake=swap,
        **{name: drawn[name] for name in names},
    )
    memory = Memory(step_percent=drawn["step_percent"], footprint=drawn["footprint"], question_at=drawn["question"])
    terms = Terms(memory_limit=4 * GIB)

    found = decided(signals, memory, terms, floor_percent=drawn["floor_percent"])

    assert found.reason
    if found.step is None:
        return
    assert SMALLEST <= found.step.size <= signals.usage - found.floor
    assert found.floor >= max(100 * MIB, signals.protected, 4 * GIB * drawn["floor_percent"] / 100 - 1)
    assert max(drawn["stall"], drawn["io"]) < 0.1
    anon = found.step.swappiness != 0
    assert found.step.size <= max(signals.file - signals.dirty, 0) + (signals.anon if anon else 0)
    if anon and signals.wears:
        assert found.step.size <= 60 * MIB - drawn["written"]
