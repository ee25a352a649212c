"""What is idle, what leaves first, and memtierd's table of it."""

import numpy as np
import pytest

from reconciler.engine import accessed, regions
from reconciler.engine.policies import age
from reconciler.engine.policies.policy import TO_SWAP, Seat, View
from reconciler.engine.regions import Regions
from reconciler.engineconfig import AgeConfig
from tests.unit.test_regions import ANON, FILE, rows

NONE_SEEN, JUST_SEEN, SEEN_BEFORE = 0b100, 0b1, 0b10
BOTH = frozenset({ANON, FILE})


@pytest.mark.parametrize(
    ("history", "changed", "looked", "swapout_ms", "idle"),
    [
        (NONE_SEEN, 0, 100, 10_000, True),
        (NONE_SEEN, 0, 99, 10_000, False),
        (JUST_SEEN, 0, 100, 10_000, False),
        (SEEN_BEFORE, 0, 100, 10_000, False),  # one empty look is no proof
        (NONE_SEEN, 0, 600, 1_000, True),  # rare looks, short swapout: idle by two whole intervals
        (JUST_SEEN, 600, 600, 1_000, False),  # the same, in use: memtierd would take it between two looks
        (NONE_SEEN, 700, 600, 0, True),
    ],
)
def test_idle_is_what_looks_have_proved(history: int, changed: int, looked: int, swapout_ms: int, idle: bool) -> None:
    table = rows({"history": history, "changed": changed, "present": 1})

    assert age.idle(table, looked, swapout_ms).tolist() == [idle]


def view(table: Regions, kinds: frozenset[int], turn: int = 1) -> View:
    seats = {7: Seat(regions=table, looked=100)}
    return View(seats=seats, now=100, turn=turn, page_size=4096, leaving=kinds, moving=kinds)


def leaving(table: Regions, after_ms: int, kinds: frozenset[int], turn: int = 1) -> list[int]:
    """Starts of what goes to swap, in the order of going."""
    moves = age.Age(AgeConfig(swapout_ms=after_ms)).moves(view(table, kinds, turn))

    assert {move.to for move in moves} <= {TO_SWAP}
    return [int(start) for move in moves for start in move.start[np.argsort(move.order, kind="stable")]]


def test_demotion_waits_its_turn_and_promotion_goes_first() -> None:
    policy = age.Age(AgeConfig(swapout_ms=8000, idle_ms=3000, idle_nodes=(2, 3), active_ms=4000, active_nodes=(0, 1)))
    table = rows(
        {"start": 0, "changed": 10, "rested": 90, "present": 1},  # idle for so long that it goes to swap
        {"start": 1, "changed": 60, "rested": 90, "present": 1},  # idle
        {"start": 2, "changed": 100, "rested": 55, "present": 1, "history": 3},  # active for 4.5 s
        {"start": 3, "changed": 100, "rested": 65, "present": 1, "history": 3},  # not for long enough
        {"start": 4, "changed": 100, "rested": 0, "present": 1, "history": 1},  # only one look proves it
    )
    moves = {move.to: (move.urgency, move.start.tolist()) for move in policy.moves(view(table, BOTH))}

    assert moves == {TO_SWAP: (1, [0]), (2, 3): (1, [1]), (0, 1): (0, [2])}


def test_the_longest_idle_leaves_first_and_only_what_can() -> None:
    table = rows(
        {"start": 0, "changed": 50, "present": 1},
        {"start": 1, "changed": 20, "present": 1},
        {"start": 2, "changed": 30, "present": 0, "swapped": 4},  # nothing in memory
        {"start": 3, "changed": 10, "present": 1, "kind": FILE},
        {"start": 4, "changed": 95, "present": 1},  # not for long enough
    )

    assert leaving(table, 5_000, BOTH) == [3, 1, 0]
    assert leaving(table, 5_000, frozenset({ANON})) == [1, 0]
    assert leaving(table, 5_000, frozenset()) == []


@pytest.mark.parametrize(("tries", "turns"), [(0, 64), (1, 32), (3, 8), (6, 1), (255, 1)])
def test_what_never_leaves_is_asked_less_and_less_often(tries: int, turns: int) -> None:
    table = rows({"present": 1, "tries": tries})
    asked = sum(len(leaving(table, 1, BOTH, turn)) for turn in range(64))

    assert asked == turns


GOLDEN = """table: time since last access
     pid lastaccs>=[s] lastaccs<[s]    pages   mem[G] pidmem[%]
     all         0.000        1.000   262144    1.000     79.99
     all         1.000       60.000       12    0.000      0.00
     all        60.000        0.000    65554    0.250     20.00
      17         0.000        1.000   262144    1.000     80.00
      17         1.000       60.000        0    0.000      0.00
      17        60.000        0.000    65536    0.250     20.00
    4711         0.000        1.000        0    0.000      0.00
    4711         1.000       60.000       12    0.000     40.00
    4711        60.000        0.000       18    0.000     60.00"""


def test_the_table_is_memtierds() -> None:
    first = rows({"present": 262_144, "changed": 1000}, {"swapped": 65_536, "changed": 100})
    second = rows({"present": 12, "changed": 900}, {"present": 10, "swapped": 8, "changed": 10})
    limits = accessed.limits_of("0,1s,1m,0")
    table = accessed.table({4711: (second, 1000), 17: (first, 1000)}, limits, 4096, "idlepage")

    assert table.text() == GOLDEN
    assert table.rows[2].swapped_pages == 65_536 + 8
    assert table.rows[2].bytes == 65_554 * 4096


def test_one_process_has_no_line_for_all_and_none_has_no_lines() -> None:
    one = accessed.table({5: (rows({"present": 1}), 0)}, (0, 0), 4096)

    assert [row.pid for row in one.rows] == [5]
    assert accessed.table({}, (0, 0), 4096).rows == ()
    assert accessed.table({5: (rows(), 0)}, (0, 0), 4096).rows[0].percent == 0


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("0,1m,30m,2h,24h,0", (0, 60, 1800, 7200, 86400, 0)),
        ("0, 0.5s,1.5", (0, 0.5, 1.5)),
        ("1ns,1us,1ms", (1e-9, 1e-6, 1e-3)),
    ],
)
def test_limits(text: str, limits: tuple[float, ...]) -> None:
    assert accessed.limits_of(text) == pytest.approx(limits)


@pytest.mark.parametrize(("text", "said"), [("0,1d", "'1d'"), ("", "too few"), ("5s", "too few"), ("0,x", "'x'")])
def test_bad_limits_are_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        accessed.limits_of(text or "0")


def test_idle_time_is_never_negative() -> None:
    assert np.all(regions.idle_time(rows({"changed": 9}), 3) == 0)
