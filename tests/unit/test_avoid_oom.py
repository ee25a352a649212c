"""Before nodes to which somebody is bound run out, memory of others makes room there."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.engine.policies import node_sets
from reconciler.engine.policies.avoid_oom import USAGE, AvoidOom
from reconciler.engine.policies.node_sets import Pressure
from reconciler.engineconfig import AvoidOomConfig, Watermark
from tests.engine.world import WINDOW, Space, World

# 100 windows a node: a per cent is a window of 2 MiB. Freeing starts below 8 windows and stops at 16.
CONFIG = AvoidOomConfig()
SIZE = 100 * WINDOW
ZERO, ONE, TWO, ALL = frozenset({0}), frozenset({1}), frozenset({2}), frozenset({0, 1})


def world(spaces: dict[int, Space], numbers: tuple[int, ...] = (0, 1)) -> World:
    return World(spaces, sizes=(SIZE,) * len(numbers), numbers=numbers)


def space(number: int, allowed: frozenset[int] = ALL, home: int = 0, **more: int) -> Space:
    return Space(number, allowed=allowed, home=home, **{"nodes": 2, **more})


def rounds(what: World, policy: AvoidOom) -> int:
    what.look()
    return what.round(policy) // WINDOW


def on_nodes(some: Space) -> list[int]:
    return [int(pages) // WINDOW for pages in some.on_node.sum(axis=0)]


def test_others_make_room_for_who_is_bound() -> None:
    bound, free = space(50, ZERO), space(45)
    what, policy = world({1: bound, 2: free}), AvoidOom(CONFIG)

    assert rounds(what, policy) == 11  # from 5 free windows to 16
    assert (on_nodes(bound), on_nodes(free)) == ([50, 0], [34, 11])
    assert rounds(what, policy) == 0
    assert policy.note == ""


def test_who_is_bound_can_grow_while_others_give_way() -> None:
    bound, free = space(80, ZERO), space(45)
    bound.on_node[10:] = bound.table["present"][10:] = 0
    what, policy = world({1: bound, 2: free}), AvoidOom(CONFIG)
    for grown in range(10, 80, 5):
        assert what.free(0) >= 5 * WINDOW, "the kernel would kill it"
        bound.table["present"][grown : grown + 5] = bound.on_node[grown : grown + 5, 0] = WINDOW
        what.look()
        what.round(policy)

    assert on_nodes(bound) == [80, 0]
    assert what.free(0) >= 8 * WINDOW


@pytest.mark.parametrize(("used", "moved"), [(92, 0), (93, 9), (100, 16)])
def test_it_starts_below_the_first_watermark(used: int, moved: int) -> None:
    assert rounds(world({1: space(10, ZERO), 2: space(used - 10)}), AvoidOom(CONFIG)) == moved


def test_once_begun_it_goes_on_until_the_second_watermark() -> None:
    what, policy = world({1: space(10, ZERO), 2: space(85)}), AvoidOom(CONFIG)
    what.look()

    moved = [what.round(policy, pages=4 * WINDOW) // WINDOW for _ in range(4)]

    assert moved == [4, 4, 3, 0]


def test_nobody_is_bound_and_the_other_node_has_room() -> None:
    what, policy = world({2: space(99)}), AvoidOom(CONFIG)

    assert rounds(what, policy) == 0
    assert policy.dump(("balance",), what.view()) == "no pressure"


def test_who_is_bound_cannot_be_helped_alone() -> None:
    what, policy = world({1: space(96, ZERO)}), AvoidOom(CONFIG)

    assert rounds(what, policy) == 0
    assert policy.note == (
        "8 MiB are available on node 0, 32 MiB should be, 24 MiB more cannot be freed: "
        "the processes there may not use other nodes"
    )
    assert policy.dump(("balance",), what.view()) == f"pressure on some nodes\n{policy.note}"


@pytest.mark.parametrize(
    ("spaces", "balance", "reason"),
    [
        (
            {1: space(10, ZERO), 2: space(85), 3: space(96, ONE, 1)},
            "high pressure on all nodes",
            "the other nodes are full",
        ),
        ({2: space(95), 3: space(95, home=1)}, "high pressure on all nodes", "no other nodes are left"),
        ({1: space(50, ZERO), 2: space(0)}, "pressure on some nodes", "nothing of the workload"),
        ({1: space(10, ZERO), 2: space(2), 3: space(84, ZERO)}, "pressure on some nodes", "that is all that may"),
        ({1: space(10, ZERO), 2: space(85), 3: space(88, ONE, 1)}, "no low pressure nodes", "the other nodes are full"),
    ],
)
def test_what_cannot_be_done_is_said(spaces: dict[int, Space], balance: str, reason: str) -> None:
    what, policy = world(spaces), AvoidOom(CONFIG)
    if 1 in spaces and spaces[1].number == 50:  # somebody else fills the node
        what = replace(what, sizes=(53 * WINDOW, SIZE), moving=frozenset({2}))
    what.look()
    policy.observe(what.view())

    assert reason in policy.note
    assert policy.dump(("balance",), what.view()).splitlines()[0] == balance


def test_a_set_that_has_little_left_gives_only_what_keeps_it_safe() -> None:
    """Node 1 may go down to the middle between the watermarks, 12 windows, and not further."""
    what, policy = world({1: space(10, ZERO), 2: space(90), 3: space(84, ONE, 1)}), AvoidOom(CONFIG)

    assert rounds(what, policy) == 4
    assert [what.free(0) // WINDOW, what.free(1) // WINDOW] == [4, 12]


def test_the_kernels_first_victim_goes_first_and_of_it_the_longest_unused() -> None:
    light, heavy = space(40, oom_score=10), space(40, oom_score=700)
    what, policy = world({1: space(15, ZERO), 2: light, 3: heavy}), AvoidOom(CONFIG)
    what.look({3: range(28)})
    what.look({3: range(28), 2: range(40)})

    assert rounds(what, policy) == 11
    assert (on_nodes(light), on_nodes(heavy)) == ([40, 0], [29, 11])
    assert heavy.on_node[:28, 1].sum() == 0


def test_memory_in_use_is_moved_too() -> None:
    what, policy = world({1: space(10, ZERO), 2: space(85)}), AvoidOom(CONFIG)
    what.look({1: range(10), 2: range(85)})

    assert what.round(policy) == 11 * WINDOW


def test_the_nearest_node_is_asked_first_then_the_emptiest() -> None:
    everywhere = frozenset({0, 1, 2})
    spaces = {1: space(10, ZERO, nodes=3), 2: space(86, everywhere, nodes=3), 3: space(10, TWO, 2, nodes=3)}
    what, policy = world(spaces, (0, 1, 2)), AvoidOom(CONFIG)
    view = what.view()
    policy.observe(view)
    assert {move.to for move in policy.moves(view)} == {(1,)}

    near = replace(view.nodes[0], distances={0: 10, 1: 30, 2: 15})
    policy.observe(replace(view, nodes=(near, *view.nodes[1:])))
    assert {move.to for move in policy.moves(view)} == {(2,)}


def test_numbers_of_nodes_may_have_holes_and_be_large() -> None:
    numbers = (3, 70, 1023)
    bound = Space(10, allowed=frozenset({3}), nodes=3)
    free = Space(86, allowed=frozenset({3, 1023}), nodes=3)
    what = world({1: bound, 2: free}, numbers)

    assert rounds(what, AvoidOom(CONFIG)) == 12
    assert on_nodes(free) == [74, 0, 12]


def test_bytes_count_for_each_node_of_a_set() -> None:
    config = AvoidOomConfig(start=Watermark(size_bytes=10 << 20), stop=Watermark(size_bytes=20 << 20))
    sets = node_sets.of(world({1: space(97, ZERO)}).view(), config)

    assert {nodes: (each.available >> 20, each.start >> 20, each.stop >> 20) for nodes, each in sets.items()} == {
        ZERO: (6, 10, 20),
        ALL: (206, 20, 40),
    }
    assert node_sets.pressures(sets.values()) == {0: Pressure.HIGH, 1: Pressure.NONE}


def test_a_node_without_memory_is_none() -> None:
    view = world({1: space(96)}).view()
    view = replace(view, nodes=(view.nodes[0], replace(view.nodes[1], total_bytes=0, free_bytes=0)))

    assert set(node_sets.of(view, CONFIG)) == {ZERO}


def test_a_region_on_several_nodes_moves_from_all_and_counts_so() -> None:
    both = space(86)
    both.on_node[:] = [[WINDOW - 100, 100]] * 86
    what, policy = world({1: space(20, ZERO), 2: both}), AvoidOom(CONFIG)
    what = replace(what, sizes=(96 * WINDOW, SIZE))
    policy.observe(what.view())

    (move,) = policy.moves(what.view())
    assert move.size.tolist() == [(WINDOW - 100) * 4096] * len(move.size)  # what is on the target stays there


def test_the_plan_holds_until_the_next_interval_and_brakes_hold_it() -> None:
    what, policy = world({1: space(10, ZERO), 2: space(85)}), AvoidOom(CONFIG)
    policy.observe(what.view())
    (planned,) = policy.moves(what.view())

    what.spaces[2].on_node[:] = [0, WINDOW]  # moved, and the numbers may be old or new: the plan stands
    assert policy.moves(what.view()) == [planned]
    assert policy.moves(replace(what.view(), moving=frozenset())) == ()
    del what.spaces[2]
    assert policy.moves(what.view()) == []


def test_without_counts_of_pages_on_nodes_nothing_is_moved() -> None:
    what = world({1: space(10, ZERO), 2: space(85)})
    what.locates = False

    assert rounds(what, AvoidOom(CONFIG)) == 0


def test_dumps() -> None:
    what, policy = world({1: space(10, ZERO), 2: space(85)}), AvoidOom(CONFIG)
    view = what.view()
    assert policy.dump(("cands",), view) == "no candidates"
    assert policy.dump(("balance",), view) == "no pressure"
    what.spaces[2].table["start"] += np.uint64(0x7F0000000000)
    policy.observe(what.view())

    assert policy.dump(("config",), view) == (
        '{"StartFreeingMemory": "8%", "StopFreeingMemory": "16%", "Cgroups": [], "IntervalMs": 5000}'
    )
    assert policy.dump(("nodes",), view) == ("Node 0: avail 0.010G/0.195G 5.0 %\nNode 1: avail 0.195G/0.195G 100.0 %")
    assert policy.dump(("status",), view) == "online"
    assert policy.dump(("cands",), view).splitlines()[-1] == (
        "pid: 2 7f000a800000 size: 2 MB (in 4 kB pages) fromNode: 0 score: 1363968"
    )
    assert policy.dump(("nonsense",), view) == policy.dump((), view) == USAGE


@settings(max_examples=60, deadline=None)
@given(
    spaces=st.lists(
        st.tuples(
            st.integers(1, 60),
            st.sampled_from([(0, {0}), (0, {0, 1}), (1, {1}), (1, {0, 1, 2}), (2, {2}), (2, {2, 0})]),
        ),
        max_size=7,
    ),
    filled=st.tuples(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20)),
)
def test_nobody_leaves_his_cpuset_and_no_set_comes_into_need(
    spaces: list[tuple[int, tuple[int, set[int]]]], filled: tuple[int, int, int]
) -> None:
    made = {
        pid: Space(number, allowed=frozenset(allowed), home=home, nodes=3)
        for pid, (number, (home, allowed)) in enumerate(spaces, 1)
    }
    used = [sum(s.number for s in made.values() if s.home == node) for node in range(3)]
    what = World(made, sizes=tuple((a + b + 1) * WINDOW for a, b in zip(used, filled, strict=True)), numbers=(0, 1, 2))
    before, policy = node_sets.of(what.view(), CONFIG), AvoidOom(CONFIG)
    what.look()
    for _ in range(3):
        what.round(policy)  # the world asserts the cpuset
    after = node_sets.of(what.view(), CONFIG)

    assert [nodes for nodes, each in after.items() if each.pressure == Pressure.HIGH > before[nodes].pressure] == []
    assert what.round(policy) == 0
