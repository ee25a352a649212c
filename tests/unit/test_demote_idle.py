"""Single pages whose mark stood for one interval, where somebody is interested in them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine import regions
from reconciler.engine.policies.demote_idle import DemoteIdle
from reconciler.engine.policies.policy import TO_SWAP, Move, NodeRoom, Seat, View
from reconciler.engineconfig import SWAP, DemoteIdleConfig
from tests.unit.test_regions import ANON, PAGE, Ranges, columns, rows

ANY = frozenset({ANON})
NODES = tuple(NodeRoom(number=n, has_cpu=n == 0, total_bytes=1 << 30, free_bytes=1 << 30) for n in (0, 2))
# Three windows of four pages, the last apart.
TABLE = rows(
    {"start": 0, "present": 4, "changed": 30},
    {"start": 4 * PAGE, "present": 4, "changed": 20},
    {"start": 12 * PAGE, "present": 4, "changed": 10},
)


def view(idle: Ranges | None, interest: Ranges | None = None) -> View:
    seat = Seat(regions=TABLE, looked=100, idle=None if idle is None else columns(idle))
    wanted = None if interest is None else {7: columns(interest)}
    return View(seats={7: seat}, now=100, turn=1, page_size=PAGE, leaving=ANY, moving=ANY, nodes=NODES, interest=wanted)


def pages(moves: list[Move]) -> Ranges:
    found = [(int(a) // PAGE, int(b) // PAGE) for m in moves for a, b in zip(m.start, m.end, strict=True)]
    assert [int(size) for m in moves for size in m.size] == [(b - a) * PAGE for a, b in found]
    return found


POLICY = DemoteIdle(DemoteIdleConfig(idle_nodes=(2,)))


@pytest.mark.parametrize(
    ("idle", "interest", "expected"),
    [
        pytest.param(None, None, [], id="no whole interval has passed"),
        pytest.param([], None, [], id="all were used"),
        pytest.param([(1, 2), (3, 4)], None, [(1, 2), (3, 4)], id="single pages"),
        pytest.param([(2, 7)], None, [(2, 4), (4, 7)], id="cut where regions end"),
        pytest.param([(6, 14)], None, [(6, 8), (12, 14)], id="where no region is nothing is moved"),
        pytest.param([(0, 16)], [(1, 2), (7, 13)], [(1, 2), (7, 8), (12, 13)], id="of interest"),
        pytest.param([(0, 16)], [], [], id="nothing is of interest"),
        pytest.param([(0, 2)], [(2, 4)], [], id="what is of interest is used"),
    ],
)
def test_pages_that_move(idle: Ranges | None, interest: Ranges | None, expected: Ranges) -> None:
    assert pages(list(POLICY.moves(view(idle, interest)))) == expected


def test_a_process_that_no_file_names_is_left_alone() -> None:
    assert list(POLICY.moves(replace(view([(0, 16)]), interest={8: columns([(0, 16)])}))) == []


def test_the_mover_is_told_to_ask_for_the_mark_again_and_what_is_first() -> None:
    (move,) = POLICY.moves(view([(1, 3), (5, 6)]))

    assert (move.only_idle, move.to) == (True, (2,))
    assert move.start[np.argsort(move.order)].tolist() == [5 * PAGE, PAGE]


@pytest.mark.parametrize(
    ("nodes", "seat", "expected"),
    [
        ((SWAP,), {}, [TO_SWAP]),
        ((2, SWAP), {}, [(2,)]),
        ((2, SWAP), {"allowed": frozenset({0})}, [TO_SWAP]),
        ((2,), {"allowed": frozenset({0})}, []),
        ((2,), {"on_node": np.array([[0, 4]] * 3)}, []),  # there already
        ((2,), {"on_node": np.array([[0, 4], [4, 0], [0, 4]])}, [(2,)]),
    ],
)
def test_where_to(nodes: tuple[int, ...], seat: dict[str, object], expected: list[tuple[int, ...]]) -> None:
    what = view([(0, 16)])
    what = replace(what, seats={7: replace(what.seats[7], **seat)})  # type: ignore[arg-type]

    assert [move.to for move in DemoteIdle(DemoteIdleConfig(idle_nodes=nodes)).moves(what)] == expected


@pytest.mark.parametrize("kind", ["leaving", "moving"])
def test_brakes(kind: str) -> None:
    policy = DemoteIdle(DemoteIdleConfig(idle_nodes=(SWAP,) if kind == "leaving" else (2,)))
    braked = replace(view([(0, 16)]), **{kind: frozenset()})  # type: ignore[arg-type]

    assert list(policy.moves(braked)) == []


@pytest.mark.parametrize(
    ("interest", "said"),
    [
        (None, "pids: 1, ranges: 2, pages: 12 (0 MiB)"),
        ([(0, 512), (1024, 1280)], "pids: 1, ranges: 2, pages: 768 (3 MiB)"),
        ([], "pids: 1, ranges: 0, pages: 0 (0 MiB)"),
    ],
)
def test_dump(interest: Ranges | None, said: str) -> None:
    assert POLICY.dump(("anything",), view(None, interest)) == said


# -- the arithmetic of ranges ----------------------------------------------------------------------------------------

PAGES_SET = st.frozensets(st.integers(0, 40))


def ranges(of: frozenset[int]) -> Ranges:
    starts = sorted(page for page in of if page - 1 not in of)
    return [(page, next(last for last in range(page, 99) if last not in of)) for page in starts]


@given(one=PAGES_SET, other=PAGES_SET)
def test_overlaps_are_the_pages_in_both(one: frozenset[int], other: frozenset[int]) -> None:
    start, end, index = regions.overlaps(columns(ranges(one)), columns(ranges(other)))
    found = [(int(a) // PAGE, int(b) // PAGE) for a, b in zip(start, end, strict=True)]

    assert [page for a, b in found for page in range(a, b)] == sorted(one & other)
    assert all(ranges(other)[i][0] <= a < b <= ranges(other)[i][1] for (a, b), i in zip(found, index, strict=True))


@given(parts=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=12))
def test_merged_are_the_same_pages_in_order(parts: list[tuple[int, int]]) -> None:
    start, end = regions.merged(*columns([(low, low + size) for low, size in parts]))
    found = [(int(a) // PAGE, int(b) // PAGE) for a, b in zip(start, end, strict=True)]

    assert found == ranges(frozenset(page for low, size in parts for page in range(low, low + size)))
