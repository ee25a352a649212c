"""mem-agent's rules of when to compact, one row for each edge."""

import pytest

from reconciler.agent.compact_rules import Amount, Before, decide
from reconciler.agentconfig import NEVER, CompactConfig

MIB = 1 << 20
PAGE, PAGE_64K = 4096, 65536
FIRST = Before()
LONG_AGO = Before(waited=10**9)
I64_MAX = (1 << 63) - 1


def amount(free_mib: float, fragments: int) -> Amount:
    return Amount(free_bytes=int(free_mib * MIB), fragments=fragments)


def before(free_mib: int, fragments: int, waited: int = 0) -> Before:
    return Before(free_bytes=free_mib * MIB, fragments=fragments, waited=waited)


@pytest.mark.parametrize(
    ("then", "now", "page_size", "compacts"),
    [
        pytest.param(FIRST, amount(500, 1024), PAGE, False, id="first-at-the-threshold"),
        pytest.param(FIRST, amount(500, 1025), PAGE, True, id="first-above"),
        pytest.param(FIRST, amount(0, 0), PAGE, False, id="first-cannot-have-fallen"),
        pytest.param(before(500, 3000), amount(500, 4024), PAGE, False, id="grown-by-the-threshold"),
        pytest.param(before(500, 3000), amount(500, 4025), PAGE, True, id="grown-by-more"),
        pytest.param(before(500, 3000), amount(500, 2000), PAGE, False, id="fewer"),
        pytest.param(before(500, 3000), amount(496, 3000), PAGE, False, id="fallen-by-the-threshold"),
        pytest.param(before(500, 3000), amount(495.9, 3000), PAGE, True, id="fallen-by-more"),
        pytest.param(before(500, 3000), amount(900, 3000), PAGE, False, id="risen"),
        pytest.param(before(500, 3000), amount(436, 3000), PAGE_64K, False, id="pages-of-64k-fallen-by-the-threshold"),
        pytest.param(before(500, 3000), amount(435.9, 3000), PAGE_64K, True, id="pages-of-64k-fallen-by-more"),
        pytest.param(before(3, 3000), amount(0, 3000), PAGE, False, id="less-free-than-the-threshold"),
    ],
)
def test_growth_of_fragments_and_fall_of_free_memory_start_a_compaction(
    then: Before, now: Amount, page_size: int, compacts: bool
) -> None:
    found = decide(CompactConfig(), then, now, page_size)

    assert (found.compact, found.forced) == (compacts, False)


@pytest.mark.parametrize(
    ("times", "waited", "forced"),
    [
        (0, 0, True),
        (1, 0, False),
        (1, 1, True),
        (3, 2, False),
        (3, 3, True),
        (I64_MAX - 1, I64_MAX - 1, True),
        (I64_MAX, I64_MAX + 9, False),
        (NEVER, NEVER, False),
    ],
)
def test_so_many_periods_without_a_compaction_force_one(times: int, waited: int, forced: bool) -> None:
    config = CompactConfig(compact_force_times=times)

    found = decide(config, Before(waited=waited), amount(100, 0), PAGE)

    assert (found.compact, found.forced) == (forced, forced)


@pytest.mark.parametrize(
    ("config", "then", "now", "reason"),
    [
        (
            CompactConfig(compact_force_times=2),
            before(1, 1, waited=2),
            amount(1, 1),
            "forced: 2 periods without one, compact_force_times is 2",
        ),
        (CompactConfig(), before(500, 0), amount(400, 0), "free memory fell to 400.0 MiB, below 496.0 MiB"),
        (
            CompactConfig(compact_order=5, compact_threshold=10),
            before(0, 7),
            Amount(free_bytes=0, fragments=100_000, at_least=True),
            "at least 100000 free pages in blocks below order 5, more than 17",
        ),
        (
            CompactConfig(),
            LONG_AGO,
            amount(2, 3),
            "3 free pages in blocks below order 9, not more than 1024; 2.0 MiB free",
        ),
        (
            CompactConfig(),
            before(5, 3),
            amount(5, 3),
            "3 free pages in blocks below order 9, not more than 1027; 5.0 MiB free, not below 1.0 MiB",
        ),
    ],
)
def test_a_decision_says_its_numbers(config: CompactConfig, then: Before, now: Amount, reason: str) -> None:
    assert decide(config, then, now, PAGE).reason == reason


def test_a_period_more_keeps_what_to_compare_with() -> None:
    assert before(7, 5, waited=3).again() == before(7, 5, waited=4)
