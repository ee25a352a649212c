"""A share of the data is kept elsewhere: the right amount, the right regions, both ways, and then nothing more."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.engine.policies.policy import BACK, TO_SWAP
from reconciler.engine.policies.ratio import Ratio, nearest
from reconciler.engineconfig import SWAP, RatioConfig
from tests.engine.world import BOTH, FILE, WINDOW, Space, World

NOTHING = frozenset[int]()


def policy(ratio: float, *targets: int) -> Ratio:
    return Ratio(RatioConfig(ratio=ratio, targets=targets or (SWAP,)))


@pytest.mark.parametrize(
    ("sums", "need", "number"),
    [
        ([10, 20, 30], 20, 2),
        ([10, 20, 30], 24, 2),
        ([10, 20, 30], 25, 2),  # as near: fewer
        ([10, 20, 30], 26, 3),
        ([10, 20, 30], 100, 3),
        ([10, 20, 30], 4, 0),
        ([10, 20, 30], 6, 1),
        ([], 6, 0),
    ],
)
def test_the_last_region_goes_only_if_that_is_nearer(sums: list[int], need: int, number: int) -> None:
    assert nearest(np.array(sums, np.int64), need) == number


def test_the_least_recently_used_go_of_all_processes_together() -> None:
    world = World({1: Space(6), 2: Space(4)})
    world.look({1: range(6), 2: range(4)})
    world.look({1: [0, 2, 4], 2: [0]})
    world.look({1: [0, 2, 4], 2: [1]})

    world.round(policy(0.4))

    assert np.flatnonzero(world.spaces[1].table["swapped"]).tolist() == [1, 3, 5]
    assert world.spaces[2].swapped == WINDOW
    assert world.spaces[2].table["swapped"][:2].tolist() == [0, 0]


def test_of_the_same_age_what_fewer_looks_saw_goes_first() -> None:
    world = World({1: Space(4)})
    for used in ([0, 1, 2, 3], [0, 2, 3], [0, 3], [0, 1, 2, 3]):
        world.look({1: used})

    world.round(policy(0.25))

    assert np.flatnonzero(world.spaces[1].table["swapped"]).tolist() == [1]


@pytest.mark.parametrize(("ratio", "swapped"), [(0.0, 0), (0.3, 3), (0.5, 5), (1.0, 10)])
def test_where_all_memory_is_alike_the_amount_is_right(ratio: float, swapped: int) -> None:
    world = World({1: Space(10)})
    world.look({1: range(10)})  # what the tracker finder says

    world.round(policy(ratio))

    assert world.spaces[1].swapped == swapped * WINDOW


def test_untouched_address_space_is_no_data() -> None:
    world = World({1: Space(10, pages=16)})
    world.look()

    world.round(policy(0.5))

    assert world.spaces[1].swapped == 5 * 16


def test_what_is_used_comes_back_and_others_go_instead() -> None:
    world, keeps = World({1: Space(10)}), policy(0.3)
    world.look({1: range(5, 10)})
    world.round(keeps)
    world.look({1: [0, 1, 5, 6, 7, 8, 9]})

    world.round(keeps)

    assert np.flatnonzero(world.spaces[1].table["swapped"]).tolist() == [2, 3, 4]


def test_what_is_too_much_comes_back_the_most_recently_used_first() -> None:
    world = World({1: Space(20)})
    for used in range(20):
        world.look({1: [used]})
    world.round(policy(0.9))

    world.round(policy(0.5))

    assert np.flatnonzero(world.spaces[1].table["swapped"]).tolist() == list(range(10))


@pytest.mark.parametrize(("swapped", "after"), [(31, 31), (32, 32), (33, 30), (29, 30), (40, 30)])
def test_a_little_too_much_is_left_alone_and_more_comes_back_until_the_goal(swapped: int, after: int) -> None:
    world = World({1: Space(100)})
    world.look()
    world.round(policy(swapped / 100))

    world.round(policy(0.3))

    assert world.spaces[1].swapped == after * WINDOW


def test_coming_back_goes_on_over_several_intervals() -> None:
    world, keeps = World({1: Space(100)}), policy(0.3)
    world.look()
    world.round(policy(0.6))

    for _ in range(10):
        world.round(keeps, pages=4 * WINDOW)

    assert world.spaces[1].swapped == 30 * WINDOW


def test_to_nodes_and_back_to_the_others_that_are_allowed() -> None:
    space = Space(10, allowed=frozenset({0, 2}), nodes=3)
    world = World({1: space}, sizes=(1 << 20,) * 3, numbers=(0, 2, 5))
    world.look()

    world.round(policy(0.3, 2, 5))
    assert space.on_node.sum(axis=0).tolist() == [7 * WINDOW, 3 * WINDOW, 0]

    world.round(policy(0.1, 2, 5))
    assert space.on_node.sum(axis=0).tolist() == [9 * WINDOW, 1 * WINDOW, 0]


def test_nodes_that_are_not_in_the_cpuset_are_said() -> None:
    world, keeps = World({7: Space(10, nodes=2)}, sizes=(1 << 20,) * 2, numbers=(0, 2)), policy(0.3, 2)
    world.look()

    assert world.round(keeps) == 0
    assert keeps.note == "nodes 2 are no memory of processes 7: not there, or not in their cpuset"


def test_when_the_node_is_full_the_rest_goes_to_swap() -> None:
    space = Space(100, allowed=frozenset({0, 1}), nodes=2)
    world = World({1: space}, sizes=(1 << 20, 16 * WINDOW), numbers=(0, 1))
    world.look()

    world.round(policy(0.5, 1, SWAP))

    assert (space.on_node[:, 1].sum(), space.swapped) == (15 * WINDOW, 35 * WINDOW)


@pytest.mark.parametrize(
    ("leaving", "moving", "swapped"), [(BOTH, NOTHING, 50), (frozenset({FILE}), BOTH, 20), (NOTHING, NOTHING, 20)]
)
def test_brakes_hold_what_goes(leaving: frozenset[int], moving: frozenset[int], swapped: int) -> None:
    world = World({1: Space(100)})
    world.look()
    world.round(policy(0.2))
    world.leaving, world.moving = leaving, moving

    world.round(policy(0.5))

    assert world.spaces[1].swapped == swapped * WINDOW


def test_brakes_hold_what_comes_back() -> None:
    world = World({1: Space(10)})
    world.look()
    world.round(policy(0.8))
    world.moving = NOTHING

    assert world.round(policy(0.2)) == 0


def test_what_never_leaves_does_not_stand_in_the_way_of_others() -> None:
    world, keeps = World({1: Space(10)}), policy(0.3)
    world.look({1: range(5, 10)})
    world.spaces[1].table["tries"][:5] = 200  # locked, say
    world.turn = 1

    world.round(keeps)

    assert np.flatnonzero(world.spaces[1].table["swapped"]).tolist() == [5, 6, 7]


def test_moves_say_where_to_and_what_is_first() -> None:
    world, keeps = World({1: Space(4)}), policy(0.5)
    for used in ([3], [2], [1], [0]):
        world.look({1: used})
    keeps.observe(world.view())
    (move,) = keeps.moves(world.view())

    assert (move.to, move.urgency) == (TO_SWAP, 1)
    assert [int(start) // (WINDOW * 4096) for start in move.start[np.argsort(move.order)]] == [3, 2]

    world.round(policy(1.0))
    keeps.observe(world.view())
    (move,) = keeps.moves(world.view())

    assert (move.to, move.urgency) == (BACK, 0)
    assert [int(start) // (WINDOW * 4096) for start in move.start[np.argsort(move.order)]] == [0, 1]


def test_nobody_there() -> None:
    world, keeps = World({}), policy(0.5)

    assert world.round(keeps) == 0
    assert keeps.dump((), world.view()) == "swap: 0.0 MiB of 0.0 MiB, 0.0 %; wanted: 50.0 %"


def test_dump() -> None:
    world, keeps = World({1: Space(10)}), policy(0.3, 2, SWAP)
    world.look()
    world.round(keeps)

    assert keeps.dump((), world.view()) == "node 2, swap: 6.0 MiB of 20.0 MiB, 30.0 %; wanted: 30.0 %"


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    ratio=st.floats(0, 1),
    before=st.floats(0, 1),
    nodes=st.booleans(),
    use=st.lists(st.integers(0, 59), max_size=30),
)
def test_the_share_converges_and_stays(
    sizes: list[int], ratio: float, before: float, nodes: bool, use: list[int]
) -> None:
    spaces = {pid: Space(size, allowed=frozenset({0, 1}), nodes=2) for pid, size in enumerate(sizes, 1)}
    world, targets = World(spaces, sizes=(1 << 20,) * 2, numbers=(0, 1)), (1,) if nodes else (SWAP,)
    world.look({1: {i % sizes[0] for i in use}})
    world.round(policy(before, *targets))
    keeps = policy(ratio, *targets)

    for _ in range(4):
        world.round(keeps, pages=40 * WINDOW)
    while world.round(keeps, pages=40 * WINDOW):
        pass

    there = sum(int(s.on_node[:, 1].sum()) if nodes else s.swapped for s in spaces.values())
    total = sum(sizes) * WINDOW
    assert abs(there - ratio * total) <= max(WINDOW / 2, 0.02 * total) + 1
    assert world.round(keeps) == 0
