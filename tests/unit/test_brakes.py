"""Page-out stops when it hurts, and says why."""

import pytest

from reconciler import brakes
from reconciler.brakes import Hold, Signals
from reconciler.model import BrakeLimits

MIB = 1 << 20
LIMITS = BrakeLimits()
NEVER = BrakeLimits(pressure_percent=100, refault_percent=100, swap_used_percent=100)
SWAP = {"swap_total_bytes": 100 * MIB, "swap_free_bytes": 50 * MIB}


@pytest.mark.parametrize(
    ("limits", "signals", "said"),
    [
        (LIMITS, Signals(), ""),
        (LIMITS, Signals(stall_percent=9.9), ""),
        (LIMITS, Signals(stall_percent=12.34), "memory pressure: tasks waited for memory 12.3 %"),
        (NEVER, Signals(stall_percent=100), ""),
        (LIMITS, Signals(out_bytes=90 * MIB, came_back_bytes=10 * MIB), "refaults: 10.0 % of what was out"),
        (LIMITS, Signals(out_bytes=990 * MIB, came_back_bytes=10 * MIB), ""),
        (LIMITS, Signals(out_bytes=0, came_back_bytes=4096), ""),  # one stray page
        (NEVER, Signals(out_bytes=1, came_back_bytes=10 * MIB), ""),
        (BrakeLimits(refault_percent=0), Signals(), "nothing is ever paged out"),
        (BrakeLimits(pressure_percent=0), Signals(), "memory pressure"),
    ],
)
def test_hurts(limits: BrakeLimits, signals: Signals, said: str) -> None:
    reason = brakes.hurts(limits, signals)

    assert said in reason
    assert bool(said) == bool(reason)


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        (Signals(), "no swap on this node"),
        (Signals(**SWAP), ""),
        (Signals(**SWAP, swap_limit_bytes=0), "memory.swap.max is 0"),
        (Signals(**SWAP, swap_limit_bytes=MIB, swap_used_bytes=MIB - 1), ""),
        (Signals(**SWAP, swap_limit_bytes=MIB, swap_used_bytes=MIB), "memory.swap.max is reached"),
        (Signals(swap_total_bytes=100 * MIB, swap_free_bytes=10 * MIB), "swap is 90 % full"),
    ],
)
def test_swap_closed(signals: Signals, said: str) -> None:
    reason = brakes.swap_closed(LIMITS, signals)

    assert said in reason
    assert bool(said) == bool(reason)


def test_a_full_swap_is_used_where_the_limit_is_off() -> None:
    assert brakes.swap_closed(NEVER, Signals(swap_total_bytes=MIB, swap_free_bytes=0)) == ""


def test_rests_grow_while_it_keeps_hurting_and_shrink_after_peace() -> None:
    first = brakes.hold(Hold(), "refaults", 100)
    kept = brakes.hold(first, "", 130)
    again = brakes.hold(first, "refaults", 161)
    later = brakes.hold(again, "", 300)
    peace = brakes.hold(later, "refaults", 1000)

    assert (first.until, first.reason) == (160, "refaults")
    assert kept == first
    assert (again.until, again.seconds) == (281, 120)
    assert later.reason == ""
    assert peace.seconds == 60


def test_no_rest_is_longer_than_an_hour() -> None:
    hold, now = Hold(), 0.0
    for _ in range(20):
        now = hold.until + 1
        hold = brakes.hold(hold, "refaults", now)

    assert hold.seconds == 3600
