"""Which node of a list pages go to."""

import pytest

from reconciler.engine.destinations import choose
from reconciler.engine.policies.policy import NodeRoom

MIB = 1 << 20


def node(number: int, free_mib: int, *distances: tuple[int, int], total_mib: int = 1000) -> NodeRoom:
    return NodeRoom(
        number=number, has_cpu=True, total_bytes=total_mib * MIB, free_bytes=free_mib * MIB, distances=dict(distances)
    )


HOME = node(0, 500, (0, 10), (2, 17), (3, 28), (7, 17))  # node numbers have holes
NEAR, FAR, TWIN = node(2, 100), node(3, 900), node(7, 300)


@pytest.mark.parametrize(
    ("listed", "allowed", "size_mib", "expected", "because"),
    [
        ((2, 3), (), 50, 2, "nearest, though the other has more room"),
        ((2, 7), (), 50, 7, "equally near: the one with more room"),
        ((2, 3), (), 200, 3, "the nearest has no room"),
        ((2, 3), (0, 3), 50, 3, "cpuset.mems does not allow the nearest"),
        ((3, 99), (), 1, 3, "a node that is not here does not count"),
        ((2,), (), 90, 2, "a hundredth of the node stays free: 10 MiB"),
    ],
)
def test_the_first_node_with_room(
    listed: tuple[int, ...], allowed: tuple[int, ...], size_mib: int, expected: int, because: str
) -> None:
    found = choose(0, listed, allowed, (HOME, NEAR, FAR, TWIN), size_mib * MIB)

    assert (found.node, found.why) == (expected, ""), because


@pytest.mark.parametrize(
    ("listed", "allowed", "size_mib", "why"),
    [
        ((4, 5), (), 1, "nodes 4, 5: no such memory node here, only nodes 0, 2, 3, 7"),
        ((2, 3), (0,), 1, "nodes 2, 3: the process's cpuset.mems allows node 0 only"),
        ((2, 7), (), 400, "no room for 400 MiB: node 2 has room for 90 MiB, node 7 has room for 290 MiB"),
        ((2,), (), 91, "no room for 91 MiB: node 2 has room for 90 MiB"),
    ],
)
def test_no_node_and_why(listed: tuple[int, ...], allowed: tuple[int, ...], size_mib: int, why: str) -> None:
    found = choose(0, listed, allowed, (HOME, NEAR, FAR, TWIN), size_mib * MIB)

    assert (found.node, found.why) == (None, why)


def test_from_an_unknown_node_room_alone_decides() -> None:
    assert choose(-1, (2, 3), (), (HOME, NEAR, FAR), MIB).node == 3


def test_without_numa_there_is_nowhere_to_go() -> None:
    assert choose(0, (1,), (), (), MIB).why == "node 1: this kernel shows no memory nodes"
