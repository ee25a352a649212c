"""The heat policy: which class memory is in, where that class's memory belongs, and who gets what room there is."""

from collections.abc import Mapping
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.engine.heatmap import HEAT, Heats
from reconciler.engine.policies import catalogue
from reconciler.engine.policies.heat import Heat
from reconciler.engine.policies.policy import BACK, TO_SWAP, Move, NodeRoom, Seat, View
from reconciler.engine.policies.quota import Rooms
from reconciler.engine.regions import Regions
from reconciler.engineconfig import SWAP, ForecasterConfig, HeatConfig, HeatmapConfig, NodeSize
from tests.unit.test_regions import ANON, FILE, rows

PAGE, PAGES = 4096, 4
SIZE = PAGE * PAGES
BOTH = frozenset({ANON, FILE})
NOBODY: frozenset[int] = frozenset()
MAP = HeatmapConfig(heat_max=1.0, retention=0.5, classes=5)
NODES = ((4, (0,)), (3, (0, 1)), (2, (1,)), (1, (1,)), (0, (SWAP,)))
Lists = tuple[tuple[int, tuple[int, ...]], ...]


def node(number: int, size: int = 100 * SIZE) -> NodeRoom:
    return NodeRoom(number=number, has_cpu=number == 0, total_bytes=size, free_bytes=size)


def region(index: int, accesses: int = 0, **values: int) -> dict[str, int]:
    """The region number `index` of a row of regions; 4 accesses are the maximal heat."""
    return {"start": index * SIZE, "pages": PAGES, "present": PAGES, "accesses": accesses, **values}


def seat(table: Regions, *on_nodes: int, allowed: frozenset[int] = frozenset()) -> Seat:
    """All pages of each region are on one of the nodes 0, 1, 2."""
    located = np.zeros((len(table), 3), np.int64)
    for row, number in enumerate(on_nodes):
        located[row, number] = table["present"][row]
    return Seat(regions=table, looked=0, on_node=located, allowed=allowed)


def view(
    seats: Mapping[int, Seat], now: int = 10, *, leaving: frozenset[int] = BOTH, moving: frozenset[int] = BOTH
) -> View:
    nodes = (node(0), node(1), node(2))
    return View(seats=seats, now=now, turn=64, page_size=PAGE, leaving=leaving, moving=moving, nodes=nodes)


def make(nodes: Lists = NODES, *sizes: NodeSize) -> Heat:
    return Heat(HeatConfig(heatmap=MAP, nodes=nodes, node_sizes=sizes))


def decide(policy: Heat, seen: View) -> list[Move]:
    policy.observe(seen)
    return list(policy.moves(seen))


def destinations(moves: list[Move]) -> dict[int, list[tuple[int, ...]]]:
    """By region number, of all processes."""
    found: dict[int, list[tuple[int, ...]]] = {}
    for move in moves:
        for start in move.start.tolist():
            found.setdefault(start // SIZE, []).append(move.to)
    return found


def in_order(moves: list[Move]) -> list[int]:
    """Region numbers as the mover takes them."""
    each = [(m.urgency, int(o), int(s) // SIZE) for m in moves for o, s in zip(m.order, m.start, strict=True)]
    return [index for _, _, index in sorted(each)]


# -- places ----------------------------------------------------------------------------------------------------------


def test_five_classes_are_placed_by_class() -> None:
    table = rows(*(region(i, i, writes=0) for i in range(5)))
    everywhere = [destinations(decide(make(), view({7: seat(table, *[at] * 5)}))) for at in range(3)]

    assert everywhere == [
        {0: [TO_SWAP], 1: [(1,)], 2: [(1,)]},  # classes 0, 1, 2; 3 and 4 may be on node 0
        {0: [TO_SWAP], 4: [(0,)]},
        {0: [TO_SWAP], 1: [(1,)], 2: [(1,)], 3: [(0, 1)], 4: [(0,)]},
    ]


def test_a_move_says_what_and_how_much() -> None:
    table = rows(region(0, 4), region(1, 4, writes=4, kind=FILE, present=3))
    located = np.array([[0, 0, 4], [1, 0, 2]])
    seen = view({7: Seat(regions=table, looked=0, on_node=located)})
    (move,) = decide(make(), seen)

    assert (move.pid, move.to, move.urgency, move.only_idle) == (7, (0,), 0, False)
    assert move.start.tolist() == [0, SIZE]
    assert move.end.tolist() == [SIZE, 2 * SIZE]
    assert move.size.tolist() == [4 * PAGE, 2 * PAGE]  # one page of the second is there already


@pytest.mark.parametrize(
    ("leaving", "moving", "expected"),
    [
        (BOTH, BOTH, {0: [TO_SWAP], 1: [TO_SWAP], 2: [(0,)], 3: [(0,)]}),
        (NOBODY, BOTH, {2: [(0,)], 3: [(0,)]}),
        (BOTH, NOBODY, {0: [TO_SWAP], 1: [TO_SWAP]}),
        (frozenset({ANON}), frozenset({FILE}), {0: [TO_SWAP], 3: [(0,)]}),
        (NOBODY, NOBODY, {}),
    ],
)
def test_only_what_the_brakes_let_go(
    leaving: frozenset[int], moving: frozenset[int], expected: dict[int, list[tuple[int, ...]]]
) -> None:
    table = rows(region(0), region(1, kind=FILE), region(2, 4), region(3, 4, kind=FILE))
    seen = view({7: seat(table, 1, 1, 1, 1)}, leaving=leaving, moving=moving)

    assert destinations(decide(make(), seen)) == expected


def test_hot_memory_moves_first_and_the_hottest_of_it_before_all_while_the_coldest_leaves_first() -> None:
    lists: Lists = ((4, (0,)), (3, (0,)), (1, (SWAP,)), (0, (SWAP,)))
    table = rows(region(0, 3), region(1, 0), region(2, 4), region(3, 1, pages=5), region(4, 1), region(5, 0))
    policy = make(lists)
    policy.observe(view({7: seat(table, *[1] * 6)}, now=0))
    table["accesses"][5] = 2
    policy.observe(view({7: seat(table, *[1] * 6)}, now=1000))

    assert in_order(list(policy.moves(view({7: seat(table, *[1] * 6)}, now=1000)))) == [2, 0, 1, 3, 4]


def test_where_memory_is_must_be_known() -> None:
    table = rows(region(0, 4), region(1, 0), region(2, 1))
    seen = view({7: Seat(regions=table, looked=0)})

    assert destinations(decide(make(((4, (0,)), (1, (1, SWAP)), (0, (SWAP,)))), seen)) == {1: [TO_SWAP]}


def test_a_processs_cpuset_is_kept_to() -> None:
    lists: Lists = ((4, (0, 1)), (0, (0, SWAP)))
    table = rows(region(0, 4), region(1, 0))
    seats = {7: seat(table, 2, 2, allowed=frozenset({1, 2})), 8: seat(table, 2, 2, allowed=frozenset({2}))}
    moves = decide(make(lists), view(seats))

    assert {(move.pid, move.to): [start // SIZE for start in move.start.tolist()] for move in moves} == {
        (7, (1,)): [0],
        (7, TO_SWAP): [1],  # node 0 is forbidden to it: the last resort
        (8, TO_SWAP): [1],
    }


def test_what_never_moves_is_asked_less_often() -> None:
    seats = {7: seat(rows(region(0, 4, tries=6), region(1, 4, tries=0)), 1, 1)}
    policy = make()
    policy.observe(view(seats))
    asked = [list(destinations(list(policy.moves(_at_turn(view(seats), turn))))) for turn in (64, 65)]

    assert asked == [[0, 1], [1]]


def _at_turn(seen: View, turn: int) -> View:
    return View(
        seats=seen.seats,
        now=seen.now,
        turn=turn,
        page_size=PAGE,
        leaving=BOTH,
        moving=BOTH,
        nodes=seen.nodes,
    )


# -- heats -----------------------------------------------------------------------------------------------------------


def test_heat_adds_up_and_time_takes_it_away() -> None:
    """Retention 0.5: a second halves. Class by class as a region cools: 4 (1.0), 2 (0.5), 1 (0.25), 0 (0.125)."""
    policy, hot, cold = make(), rows(region(0, 4)), rows(region(0, 0))
    found = [destinations(decide(policy, view({7: seat(hot, 2)}, now=0)))]
    found += [destinations(decide(policy, view({7: seat(cold, 2)}, now=now))) for now in (10, 20, 30)]

    assert found == [{0: [(0,)]}, {0: [(1,)]}, {0: [(1,)]}, {0: [TO_SWAP]}]
    assert destinations(decide(policy, view({7: seat(rows(region(0, 2)), 2)}, now=40))) == {0: [(1,)]}
    assert destinations(decide(policy, view({7: seat(rows(region(0, 2)), 2)}, now=40))) == {0: [(0,)]}


def test_what_is_accessed_while_it_waits_to_leave_stays() -> None:
    policy, seats = make(), {7: seat(rows(region(0)), 0)}
    assert destinations(decide(policy, view(seats, now=10))) == {0: [TO_SWAP]}

    assert destinations(list(policy.moves(view(seats, now=15)))) == {0: [TO_SWAP]}
    assert destinations(list(policy.moves(view({7: seat(rows(region(0, 4)), 0)}, now=15)))) == {}


def test_regions_that_are_new_since_the_decision_wait_for_the_next() -> None:
    policy = make()
    policy.observe(view({7: seat(rows(region(0)), 0)}))
    later = view({7: seat(rows(region(0), region(1)), 0, 0), 8: seat(rows(region(0)), 0)}, now=15)

    assert destinations(list(policy.moves(later))) == {0: [TO_SWAP]}
    assert {move.pid for move in policy.moves(later)} == {7}


def test_who_is_gone_is_forgotten_and_so_is_what_is_not_mapped() -> None:
    policy = make()
    policy.observe(view({7: seat(rows(region(0, 4), region(1, 4)), 0, 0), 8: seat(rows(region(0, 4)), 0)}))
    policy.observe(view({7: seat(rows(region(1)), 0)}))

    assert [line.split()[1] for line in policy.dump(("heatmap",), view({})).splitlines()[1:]] == ["7:"]
    policy.observe(view({7: seat(rows(region(0), region(1)), 0, 0)}))
    assert "0.000000" in policy.dump(("heatmap",), view({})).splitlines()[1]


# -- swap ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accesses", "nodes", "expected"),
    [
        (4, ((4, (0,)),), [BACK]),
        (4, ((4, (0, SWAP)),), []),  # in swap it is on a listed node
        (4, (), []),
        (0, ((0, (0,)),), []),  # nobody uses it
        (4, ((4, (9,)),), []),  # no such node here
    ],
)
def test_hot_memory_comes_back_from_swap(accesses: int, nodes: Lists, expected: list[tuple[int, ...]]) -> None:
    table = rows(region(0, accesses, present=0, swapped=3))
    moves = decide(make(nodes), view({7: seat(table, 0)}))

    assert [move.to for move in moves] == expected
    assert [(move.size.tolist(), move.urgency) for move in moves] == [([3 * PAGE], 0)] * len(expected)


def test_what_is_swapped_already_is_not_swapped_again() -> None:
    table = rows(region(0, present=0, swapped=4), region(1, present=1, swapped=3))
    (move,) = decide(make(), view({7: seat(table, 0, 0)}))

    assert (move.start.tolist(), move.size.tolist(), move.to) == ([SIZE], [PAGE], TO_SWAP)


# -- quotas ----------------------------------------------------------------------------------------------------------


def quota(number: int, regions: int) -> NodeSize:
    return NodeSize(node=number, size_bytes=regions * SIZE)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ((), [(0,), (0,), (0,), (0,)]),
        ((quota(0, 3),), [(0,), (0,), None, None]),  # one region is there already
        ((quota(0, 1),), [None] * 4),
        ((quota(0, 0),), [None] * 4),
        ((NodeSize(node=0, percent=2.5),), [(0,), None, None, None]),
        ((quota(1, 0),), [(0,), (0,), (0,), (0,)]),
    ],
)
def test_the_hottest_get_what_room_there_is(
    sizes: tuple[NodeSize, ...], expected: list[tuple[int, ...] | None]
) -> None:
    first, second = rows(region(0, 4), region(1, 4), region(9, 0)), rows(region(2, 3), region(3, 3))
    policy = make(((4, (0,)), (3, (0,))), *sizes)
    found = destinations(decide(policy, view({7: seat(first, 1, 1, 0), 8: seat(second, 1, 1)})))

    assert [found.get(i, [None])[0] for i in range(4)] == expected


def test_a_process_that_exits_frees_its_part() -> None:
    policy = make(((4, (0,)),), quota(0, 1))
    mine, other = seat(rows(region(0, 4)), 1), seat(rows(region(1, 4)), 0)

    assert decide(policy, view({7: mine, 8: other})) == []
    assert destinations(decide(policy, view({7: mine}))) == {0: [(0,)]}


def test_a_list_is_a_list_and_swap_its_last_resort() -> None:
    """Node 0 has room for one region, node 1 for two, and node 2 is not listed."""
    table = rows(*(region(i, 4) for i in range(4)))
    policy = make(((4, (0, 1, SWAP)),), quota(0, 1), quota(1, 2))
    found = destinations(decide(policy, view({7: seat(table, 2, 2, 2, 2)})))

    assert found == {0: [(0, 1)], 1: [(1,)], 2: [TO_SWAP], 3: [TO_SWAP]}


def test_a_brake_on_moves_sends_nothing_to_swap_instead() -> None:
    policy = make(((4, (0, SWAP)),))

    assert decide(policy, view({7: seat(rows(region(0, 4)), 2)}, moving=NOBODY)) == []


def test_swap_may_have_a_quota_and_the_coldest_get_it() -> None:
    table = rows(region(0, 0, writes=1), region(1, 0), region(2, present=0, swapped=PAGES))
    policy = make(((1, (SWAP,)), (0, (SWAP,))), NodeSize(node=SWAP, size_bytes=2 * SIZE))

    assert destinations(decide(policy, view({7: seat(table, 0, 0, 0)}))) == {1: [TO_SWAP]}


@given(
    sizes=st.lists(st.integers(1, 50), max_size=12),
    left=st.dictionaries(st.integers(0, 3), st.integers(0, 120)),
    random=st.randoms(use_true_random=False),
)
def test_whichever_node_the_mover_takes_no_quota_is_exceeded(
    sizes: list[int], left: dict[int, int], random: Random
) -> None:
    moved, before = dict.fromkeys(range(4), 0), 0
    for nodes, part in Rooms(left).share((0, 1, 2, 3), np.array(sizes, np.int64)):
        assert part.start == before < part.stop
        before = part.stop
        for size in sizes[part]:
            moved[random.choice(nodes)] += size

    assert all(moved[number] <= limit for number, limit in left.items())
    assert before == len(sizes) or set(left) == {0, 1, 2, 3}


# -- forecasts -------------------------------------------------------------------------------------------------------


class Oracle:
    """A forecaster of the tests: answers what it is told to."""

    def __init__(self, *answers: Heats | None) -> None:
        self._answers = list(answers)
        self.asked: list[Heats] = []
        self.note = ""

    def forecast(self, heats: Heats) -> Heats | None:
        self.asked.append(heats)
        self.note = f"round {len(self.asked)}"
        return self._answers.pop(0)

    def dump(self, words: tuple[str, ...]) -> str:
        return f"oracle {' '.join(words)}"

    def close(self) -> None:
        """Nothing is open."""


def test_a_forecast_decides_one_round_and_is_not_remembered() -> None:
    hot = {7: np.array([(0, PAGES, 99.0, 0, 0)], HEAT)}
    oracle = Oracle(hot, None, {})
    config = HeatConfig(heatmap=MAP, nodes=NODES, forecaster=ForecasterConfig(name="stdio"))
    policy = catalogue.make(config, oracle, epoch_ns=10**18)
    assert isinstance(policy, Heat)
    seats = {7: seat(rows(region(0), region(1)), 2, 2)}

    assert destinations(decide(policy, view(seats))) == {0: [(0,)]}  # the other is unknown to the forecast
    assert policy.note == "round 1"
    assert destinations(decide(policy, view(seats))) == {0: [TO_SWAP], 1: [TO_SWAP]}
    assert decide(policy, view(seats)) == []
    assert [heats[7]["heat"].tolist() for heats in oracle.asked] == [[0.0, 0.0]] * 3
    assert oracle.asked[0][7]["created"].tolist() == [10**18 + 10**9] * 2
    assert policy.dump(("forecast", "a", "b"), view(seats)) == "oracle a b"


# -- dumps -----------------------------------------------------------------------------------------------------------

HEATMAP = """heatmap:
pid: 7: 0 {0-4000(4),0.500000,1000000000,2.500000s} (class 2)
pid: 7: 1 {4000-8000(4),0.000000,3500000000,0.000000s} (class 0)
pid: 4711: 0 {8000-c000(4),1.000000,3500000000,0.000000s} (class 4)"""

HEATGRAM = """
table: maximum heat in heatmaps
     pid  maxHeat
       7   0.5000
    4711   1.0000

table: memory in heat classes
     pid class pidmem[%] totmem[%]    mem[G]
       7     0     50.00     33.33     0.000
       7     1     50.00     33.33     0.000
     pid class pidmem[%] totmem[%]    mem[G]
    4711     0      0.00      0.00     0.000
    4711     1    100.00     33.33     0.000"""

NUMA = """node      pid pageData numaUsed numaSize
  -1        7       1M       1M       0M
   0        7       2M       5M       8M
   0     4711       3M       5M       8M
   1     4711       4M       4M       5M"""


def known() -> Heat:
    policy = Heat(HeatConfig(heatmap=HeatmapConfig(heat_max=1.0, retention=1.0, classes=5)))
    policy.observe(view({7: seat(rows(region(0)), 0)}, now=10))
    seats = {4711: seat(rows(region(2, 4)), 0), 7: seat(rows(region(0, 1, writes=1), region(1)), 0, 0)}
    policy.observe(view(seats, now=35))
    return policy


def test_the_dumps_are_memtierds() -> None:
    policy, nothing = known(), view({})

    assert policy.dump(("heatmap",), nothing) == HEATMAP
    assert policy.dump(("heatgram", "2"), nothing) == HEATGRAM
    assert policy.dump(("heatgram",), nothing).count("\n       7 ") == 1 + 5
    assert policy.dump(("forecast",), nothing) == "no forecaster"


def test_where_memory_is_as_memtierd_prints_it() -> None:
    pages = (1 << 20) // PAGE
    first = Seat(regions=rows(region(0, swapped=pages)), looked=0, on_node=np.array([[2 * pages, 0, 0]]))
    second = Seat(regions=rows(region(0)), looked=0, on_node=np.array([[3 * pages, 4 * pages, 0]]))
    policy = make((), NodeSize(node=0, size_bytes=8 << 20), NodeSize(node=1, percent=50))
    seen = View(
        seats={4711: second, 7: first},
        now=0,
        turn=0,
        page_size=PAGE,
        leaving=BOTH,
        moving=BOTH,
        nodes=(node(0), node(1, 10 << 20), node(2)),
    )

    assert policy.dump(("numa",), seen) == NUMA


@pytest.mark.parametrize("words", [(), ("accessed",), ("help",)])
def test_other_words_are_answered_with_what_there_is(words: tuple[str, ...]) -> None:
    assert "heatgram [CLASSES]" in make().dump(words, view({}))


@pytest.mark.parametrize("word", ["0", "-1", "x", "1.5", "10001", "9" * 5000, "²"])
def test_bad_numbers_of_classes_are_refused(word: str) -> None:
    assert make().dump(("heatgram", word), view({})).startswith("invalid CLASSES")


def test_nothing_is_known_at_first() -> None:
    policy = make()

    assert policy.dump(("heatmap",), view({})) == "heatmap:"
    assert policy.moves(view({7: seat(rows(region(0)), 0)})) == []
    assert policy.dump(("numa",), view({7: seat(rows(), *())})) == NUMA.splitlines()[0]
