"""Where the age policy sends what, when nodes, swap, brakes and several durations meet."""

import numpy as np
import pytest

from reconciler.engine.policies.age import Age
from reconciler.engine.policies.policy import TO_SWAP, NodeRoom, Seat, View
from reconciler.engine.regions import Regions
from reconciler.engineconfig import SWAP, AgeConfig
from tests.unit.test_regions import ANON, FILE, rows

PAGE, MIB = 4096, 1 << 20
BOTH, NOTHING = frozenset({ANON, FILE}), frozenset[int]()
PAGES = 512  # of each region, 2 MiB

IDLE_1_S = {"changed": 90, "rested": 100, "present": PAGES, "pages": PAGES}
IDLE_5_S = {**IDLE_1_S, "changed": 50}
IDLE_9_S = {**IDLE_1_S, "changed": 10}
ACTIVE_5_S = {**IDLE_1_S, "changed": 100, "rested": 50, "history": 3}

Sent = dict[tuple[int, ...], list[int]]


def table(*values: dict[str, int]) -> Regions:
    return rows(*({"start": i * PAGES * PAGE, **value} for i, value in enumerate(values)))


def node(number: int, free_mib: int = 1000) -> NodeRoom:
    return NodeRoom(number=number, has_cpu=number == 0, total_bytes=1000 * MIB, free_bytes=free_mib * MIB)


def view(
    mine: Regions,
    nodes: tuple[NodeRoom, ...] = (node(0), node(1), node(2)),
    on_node: list[list[int]] | None = None,
    allowed: frozenset[int] = NOTHING,
    leaving: frozenset[int] = BOTH,
    moving: frozenset[int] = BOTH,
) -> View:
    located = None if on_node is None else np.array(on_node, np.int64)
    seats = {7: Seat(regions=mine, looked=100, on_node=located, allowed=allowed)}
    return View(seats=seats, now=100, turn=1, page_size=PAGE, leaving=leaving, moving=moving, nodes=nodes)


def sent(config: AgeConfig, what: View) -> Sent:
    """Indexes of regions by destination."""
    found: Sent = {}
    for move in Age(config).moves(what):
        found.setdefault(move.to, []).extend(int(start) // (PAGES * PAGE) for start in move.start)
    return found


DEMOTING = AgeConfig(idle_ms=3000, idle_nodes=(2,))
TO_BOTH = AgeConfig(idle_ms=3000, idle_nodes=(2, SWAP))


@pytest.mark.parametrize(
    ("config", "where", "expected"),
    [
        pytest.param(DEMOTING, view(table(IDLE_5_S, IDLE_1_S)), {(2,): [0]}, id="idle"),
        pytest.param(
            DEMOTING,
            view(table(IDLE_5_S, IDLE_5_S), on_node=[[0, 0, PAGES], [12, 0, PAGES - 12]]),
            {(2,): [1]},
            id="what is there stays there",
        ),
        pytest.param(DEMOTING, view(table(IDLE_5_S), allowed=frozenset({0, 1})), {}, id="not in the cpuset"),
        pytest.param(DEMOTING, view(table(IDLE_5_S), nodes=(node(0),)), {}, id="no such node"),
        pytest.param(DEMOTING, view(table(IDLE_5_S), nodes=()), {(2,): [0]}, id="nobody has looked at nodes"),
        pytest.param(DEMOTING, view(table(IDLE_5_S), moving=NOTHING), {}, id="brake"),
        pytest.param(TO_BOTH, view(table(IDLE_5_S)), {(2,): [0]}, id="a node before swap"),
        pytest.param(
            TO_BOTH,
            view(table(IDLE_5_S, IDLE_9_S, IDLE_5_S), nodes=(node(0), node(2, free_mib=13))),
            {(2,): [1], TO_SWAP: [0, 2]},
            id="a node while it has room, a hundredth of it kept free",
        ),
        pytest.param(TO_BOTH, view(table(IDLE_5_S), allowed=frozenset({0})), {TO_SWAP: [0]}, id="swap instead"),
        pytest.param(TO_BOTH, view(table(IDLE_5_S), moving=NOTHING), {}, id="a brake is no full node"),
        pytest.param(
            AgeConfig(idle_ms=3000, idle_nodes=(SWAP,)), view(table(IDLE_5_S)), {TO_SWAP: [0]}, id="swap alone"
        ),
        pytest.param(
            AgeConfig(idle_ms=3000, idle_nodes=(SWAP,)), view(table(IDLE_5_S), leaving=NOTHING), {}, id="swap full"
        ),
        pytest.param(AgeConfig(idle_ms=3000), view(table(IDLE_5_S)), {}, id="nowhere to go"),
        pytest.param(AgeConfig(idle_nodes=(2,)), view(table(IDLE_5_S)), {}, id="0 is off"),
    ],
)
def test_demotion(config: AgeConfig, where: View, expected: Sent) -> None:
    assert sent(config, where) == expected


BOTH_WAYS = AgeConfig(swapout_ms=8000, idle_ms=3000, idle_nodes=(2,))


@pytest.mark.parametrize(
    ("config", "where", "expected"),
    [
        pytest.param(
            BOTH_WAYS, view(table(IDLE_1_S, IDLE_5_S, IDLE_9_S)), {(2,): [1], TO_SWAP: [2]}, id="each its own"
        ),
        pytest.param(
            BOTH_WAYS, view(table(IDLE_5_S, IDLE_9_S), leaving=NOTHING), {(2,): [0, 1]}, id="swap is full: demoted"
        ),
        pytest.param(
            BOTH_WAYS,
            view(table(IDLE_9_S, {**IDLE_9_S, "kind": FILE}), leaving=frozenset({FILE})),
            {(2,): [0], TO_SWAP: [1]},
            id="swap is full: files go back all the same",
        ),
        pytest.param(
            AgeConfig(swapout_ms=3000, idle_ms=8000, idle_nodes=(2,)),
            view(table(IDLE_5_S, IDLE_9_S)),
            {TO_SWAP: [0, 1]},
            id="swap-out is the shorter: nothing is left to demote",
        ),
        pytest.param(
            BOTH_WAYS,
            view(table(IDLE_9_S), on_node=[[0, 0, PAGES]]),
            {TO_SWAP: [0]},
            id="demoted memory goes to swap in the end",
        ),
    ],
)
def test_two_ways_of_leaving(config: AgeConfig, where: View, expected: Sent) -> None:
    assert sent(config, where) == expected


PROMOTING = AgeConfig(active_ms=4000, active_nodes=(0, 1))


@pytest.mark.parametrize(
    ("config", "where", "expected"),
    [
        pytest.param(PROMOTING, view(table(ACTIVE_5_S, IDLE_5_S)), {(0, 1): [0]}, id="active"),
        pytest.param(
            PROMOTING,
            view(table(ACTIVE_5_S, ACTIVE_5_S), on_node=[[100, PAGES - 100, 0], [0, 0, PAGES]]),
            {(0, 1): [1]},
            id="what is near stays there",
        ),
        pytest.param(
            PROMOTING,
            view(table({**ACTIVE_5_S, "present": 0, "swapped": PAGES})),
            {},
            id="swap: comes back by itself when it is used",
        ),
        pytest.param(PROMOTING, view(table(ACTIVE_5_S), leaving=NOTHING), {(0, 1): [0]}, id="swap is full: no matter"),
        pytest.param(PROMOTING, view(table(ACTIVE_5_S), moving=NOTHING), {}, id="brake"),
        pytest.param(
            AgeConfig(active_ms=4000, active_nodes=(SWAP, 1)), view(table(ACTIVE_5_S)), {(1,): [0]}, id="never to swap"
        ),
        pytest.param(AgeConfig(active_nodes=(1,)), view(table(ACTIVE_5_S)), {}, id="0 is off"),
        pytest.param(
            AgeConfig(active_ms=1, active_nodes=(1,)),
            view(table({**ACTIVE_5_S, "rested": 99, "history": 1}, {**ACTIVE_5_S, "rested": 99})),
            {(1,): [1]},
            id="shorter than looks are apart: two looks are needed",
        ),
    ],
)
def test_promotion(config: AgeConfig, where: View, expected: Sent) -> None:
    assert sent(config, where) == expected


def test_only_what_is_not_there_counts_as_moving() -> None:
    (move,) = Age(DEMOTING).moves(view(table(IDLE_5_S), on_node=[[12, 0, PAGES - 12]]))

    assert move.size.tolist() == [12 * PAGE]


def test_swap_out_and_demotion_share_the_bandwidth() -> None:
    what = view(table(*[IDLE_9_S] * 4, *[IDLE_5_S] * 4))
    queue = sorted((int(order), move.to) for move in Age(BOTH_WAYS).moves(what) for order in move.order)

    assert queue == sorted((i * PAGES, to) for i in range(4) for to in (TO_SWAP, (2,)))


@pytest.mark.parametrize(
    ("config", "locates"),
    [
        (AgeConfig(swapout_ms=1), False),
        (AgeConfig(idle_ms=1, idle_nodes=(SWAP,)), False),
        (AgeConfig(idle_nodes=(2,)), False),
        (DEMOTING, True),
        (PROMOTING, True),
    ],
)
def test_pages_are_located_only_if_it_matters(config: AgeConfig, locates: bool) -> None:
    assert Age(config).locates == locates
