"""Guest swap's rules: how much, when, and never what would not fit elsewhere."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent import swap_rules
from reconciler.agent.swap_rules import MIB, Area, Crowd, Make, Remove, Rest, Seen, State, Step
from reconciler.agentconfig import SwapConfig

GIB = 1024 * MIB
SETTLED = State(memory_bytes=GIB, since=0.0)
NOW = 1000.0


def config(percent: float = 100, **more: object) -> SwapConfig:
    return SwapConfig(enable_guest_swap=True, guest_swap_size_percent=percent, **more)  # type: ignore[arg-type]


def areas(*sizes: int, used: int = 0) -> tuple[Area, ...]:
    return tuple(Area(name=f"swap{n}", size_bytes=size, used_bytes=used) for n, size in enumerate(sizes))


def seen(*sizes: int, used: int = 0, available: int = GIB, **more: object) -> Seen:
    shown = {"memory_bytes": GIB, "available_bytes": available, "areas": areas(*sizes, used=used)} | more
    return Seen(**shown)  # type: ignore[arg-type]


def step(about: SwapConfig | None, view: Seen, state: State = SETTLED, now: float = NOW) -> Step:
    return swap_rules.next_step(about, state, view, now)


@pytest.mark.parametrize(
    ("percent", "sizes", "expected"),
    [
        pytest.param(100, (), Make(size_bytes=GIB), id="first"),
        pytest.param(50, (), Make(size_bytes=GIB // 2), id="percent"),
        pytest.param(200, (GIB,), Make(size_bytes=GIB), id="more than memory"),
        pytest.param(100, (GIB // 2,), Make(size_bytes=GIB // 2), id="grown by another"),
        pytest.param(100, (GIB // 2, GIB // 4), Make(size_bytes=GIB // 4), id="and another"),
        pytest.param(100, (GIB - GIB // 64,), Rest(until=NOW + 10), id="near enough"),
        pytest.param(100, (GIB,), Rest(until=NOW + 10), id="enough"),
        pytest.param(50, (GIB // 2, GIB // 2), Remove(name="swap1"), id="one too many"),
        pytest.param(50, (GIB // 2, GIB // 4, GIB // 8), Remove(name="swap1"), id="the largest that can be spared"),
        pytest.param(60, (GIB,), Rest(until=NOW + 10), id="too large by less than half"),
        pytest.param(50, (GIB,), Make(size_bytes=GIB // 2), id="twice too large: first a smaller one"),
        pytest.param(50, (GIB, GIB // 2), Remove(name="swap0"), id="then the large one goes"),
        pytest.param(0, (GIB,), Remove(name="swap0"), id="nothing wanted"),
        pytest.param(0.01, (), Rest(until=NOW + 10), id="less than a MiB is nothing"),
    ],
)
def test_how_much(percent: float, sizes: tuple[int, ...], expected: Step) -> None:
    assert step(config(percent), seen(*sizes)) == expected


def test_largest_area() -> None:
    assert swap_rules.missing(config(), seen(memory_bytes=3 << 40)) == swap_rules.LARGEST


def test_without_the_section_everything_goes_the_emptiest_first() -> None:
    full, empty = (Area(name=name, size_bytes=GIB, used_bytes=used) for name, used in (("a", MIB), ("b", 0)))

    assert step(None, seen(areas=(full, empty))) == Remove(name="b")
    assert step(None, seen(areas=(full,))) == Remove(name="a")
    assert step(None, seen()) == Rest(until=inf)


def test_areas_of_another_kind_or_place_go_after_the_right_ones_are_there() -> None:
    old = Area(name="old", size_bytes=GIB, wanted=False)
    new = Area(name="new", size_bytes=GIB)

    assert step(config(), seen(areas=(old,))) == Make(size_bytes=GIB)
    assert step(config(), seen(areas=(old, new))) == Remove(name="old")
    assert step(config(), seen(areas=(old,), refusal="tmpfs")) == Rest(until=NOW + 10, reason="tmpfs")


# -- when --------------------------------------------------------------------------------------------------------------


def test_memory_must_have_had_one_size_for_the_threshold() -> None:
    state = swap_rules.looked(State(), GIB, 1000.0)
    assert step(config(), seen(), state, 1000.0) == Rest(until=1010, reason="memory has had 1G for 0 s, wait for 60 s")
    assert step(config(), seen(), state, 1055.0) == Rest(until=1060, reason="memory has had 1G for 55 s, wait for 60 s")
    assert step(config(), seen(), state, 1060.0) == Make(size_bytes=GIB)


def test_another_size_is_waited_for_again_and_failures_are_forgotten() -> None:
    state = swap_rules.failed(swap_rules.looked(State(), GIB, 1000.0), "no", 1060.0)

    assert swap_rules.looked(state, GIB, 2000.0) == state
    assert swap_rules.looked(state, 2 * GIB, 2000.0) == State(memory_bytes=2 * GIB, since=2000.0)


def test_removal_of_everything_does_not_wait_for_memory() -> None:
    assert step(None, seen(GIB), State(memory_bytes=GIB, since=NOW)) == Remove(name="swap0")


def test_backoff_grows_to_an_hour_and_ends_with_a_success() -> None:
    state, waits = SETTLED, []
    for _ in range(8):
        state = swap_rules.failed(state, "no space", NOW)
        waits.append(state.retry_at - NOW)

    assert waits == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert step(config(), seen(), state) == Rest(until=NOW + 10, reason="no space; again in 3600 s")
    assert step(config(), seen(), state, NOW + 3600) == Make(size_bytes=GIB)
    assert swap_rules.succeeded(state) == SETTLED


@pytest.mark.parametrize(("threshold", "seconds"), [(60, 10), (20, 5), (0, 1), (1, 1)])
def test_how_often_it_looks(threshold: float, seconds: float) -> None:
    assert swap_rules.look_seconds(config(guest_swap_create_threshold_secs=threshold)) == seconds


# -- why not -----------------------------------------------------------------------------------------------------------


def test_a_file_leaves_the_file_system_some_room() -> None:
    short = step(config(keep_free_bytes=GIB), seen(room_bytes=2 * GIB - 1))

    assert short == Rest(
        until=NOW + 10,
        reason="a swap file of 1G needs 2G free there, to keep 1G; 1.9G are free",
    )
    assert step(config(keep_free_bytes=GIB), seen(room_bytes=2 * GIB)) == Make(size_bytes=GIB)


def test_the_kernel_has_only_so_many_areas() -> None:
    found = step(config(), seen(*[MIB] * swap_rules.MOST_AREAS))

    assert isinstance(found, Rest)
    assert "16 areas" in found.reason


@pytest.mark.parametrize(
    ("used", "available", "other", "other_used", "goes"),
    [
        pytest.param(0, 0, 0, 0, True, id="empty"),
        pytest.param(500 * MIB, 564 * MIB, 0, 0, True, id="fits with the reserve of 64 MiB"),
        pytest.param(500 * MIB, 563 * MIB, 0, 0, False, id="would touch the reserve"),
        pytest.param(500 * MIB, 64 * MIB, 700 * MIB, 60 * MIB, True, id="fits into other swap, filled up to 80 %"),
        pytest.param(500 * MIB, 64 * MIB, 700 * MIB, 61 * MIB, False, id="other swap would be too full"),
        pytest.param(500 * MIB, 364 * MIB, 300 * MIB, 40 * MIB, True, id="both together"),
        pytest.param(500 * MIB, 0, 0, 0, False, id="nowhere to go"),
        pytest.param(MIB, GIB, 100 * MIB, 100 * MIB, True, id="other swap is full, memory is not"),
    ],
)
def test_nothing_goes_that_does_not_fit_elsewhere(
    used: int, available: int, other: int, other_used: int, goes: bool
) -> None:
    view = seen(GIB, used=used, available=available, other_bytes=other, other_used_bytes=other_used)
    found = step(None, view)

    assert isinstance(found, Remove) == goes
    assert goes or "swap0 stays" in found.reason  # type: ignore[union-attr]


def test_areas_that_go_too_are_no_place_to_go_to() -> None:
    assert isinstance(step(None, seen(GIB, GIB, used=500 * MIB, available=100 * MIB)), Rest)
    assert step(config(50), seen(GIB // 2, GIB // 2, used=100 * MIB, available=0)) == Remove(name="swap1")


def test_if_the_fullest_cannot_go_the_emptiest_does() -> None:
    full, empty = (Area(name=name, size_bytes=GIB, used_bytes=used) for name, used in (("a", GIB), ("b", 0)))

    assert step(None, seen(areas=(full, empty), available=100 * MIB)) == Remove(name="b")


CROWD = Crowd(cgroup="/pod", limit_bytes=100 * MIB, memory_bytes=90 * MIB, cache_bytes=20 * MIB, swap_bytes=40 * MIB)


@pytest.mark.parametrize(
    ("used", "other", "goes"),
    [
        pytest.param(40 * MIB, 0, False, id="70 + 40 of 100"),
        pytest.param(30 * MIB, 0, True, id="only 30 of its 40 can be in this area"),
        pytest.param(40 * MIB, 13 * MIB, True, id="the rest can stay in other swap"),
        pytest.param(40 * MIB, 12 * MIB, False, id="but not in a full one"),
    ],
)
def test_a_cgroup_at_its_limit_is_not_pushed_over_it(used: int, other: int, goes: bool) -> None:
    found = step(None, seen(GIB, used=used, other_bytes=other, crowds=(CROWD,)))

    assert isinstance(found, Remove) == goes
    assert goes or "cgroup /pod has 40M in swap and would pass its memory limit of 100M by 10M" in found.reason  # type: ignore[union-attr]


SIZES = st.integers(0, 64).map(lambda n: n * 64 * MIB)
PARTS = st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0])


@given(
    percent=st.sampled_from([None, 0, 25, 50, 100, 150]),
    memory=st.integers(4, 64).map(lambda n: n * 64 * MIB),
    available=st.integers(0, 1024).map(lambda n: n * MIB),
    files=st.lists(st.tuples(SIZES, PARTS, st.booleans()), min_size=1, max_size=4),
    other=st.tuples(SIZES.map(lambda n: n // 8), PARTS),
)
def test_what_goes_always_fits(
    percent: float | None,
    memory: int,
    available: int,
    files: list[tuple[int, float, bool]],
    other: tuple[int, float],
) -> None:
    ours = tuple(
        Area(name=f"swap{n}", size_bytes=size, used_bytes=int(size * part), wanted=wanted)
        for n, (size, part, wanted) in enumerate(files)
    )
    view = Seen(
        memory_bytes=memory,
        available_bytes=min(available, memory),
        areas=ours,
        other_bytes=other[0],
        other_used_bytes=int(other[0] * other[1]),
    )
    about = None if percent is None else config(percent)
    found = swap_rules.next_step(about, State(memory_bytes=memory, since=0), view, NOW)

    if isinstance(found, Remove):
        going = next(area for area in ours if area.name == found.name)
        staying = [area for area in ours if area not in swap_rules.surplus(about, view)]
        free = sum(area.size_bytes - area.used_bytes for area in staying)
        assert going.used_bytes <= view.available_bytes + free + view.other_bytes - view.other_used_bytes
        left = sum(area.size_bytes for area in ours if area != going and area.wanted)
        enough = swap_rules.target(about, memory)
        assert left >= enough - enough // swap_rules.SLACK


@given(memory=st.integers(64, 4096), percents=st.lists(st.sampled_from([0, 10, 30, 50, 100, 200]), max_size=6))
def test_it_comes_to_rest_and_is_then_right(memory: int, percents: list[int]) -> None:
    """Whatever was wanted before: there are never endless rounds of making and removing."""
    sizes: list[int] = []
    for percent in percents:
        for _ in range(12):
            view = seen(*sizes, memory_bytes=memory * MIB, available_bytes=memory * MIB)
            found = swap_rules.next_step(config(percent), State(memory_bytes=memory * MIB), view, NOW)
            if isinstance(found, Make):
                sizes.append(found.size_bytes)
            elif isinstance(found, Remove):
                del sizes[int(found.name.removeprefix("swap"))]
            else:
                break
        else:
            raise AssertionError(sizes)
        target = swap_rules.target(config(percent), memory * MIB)
        assert target - target // swap_rules.SLACK <= sum(sizes) <= 2 * target
