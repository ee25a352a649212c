"""Which profile, when, how much, and why it stops: the memcg part's decisions as tables."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.agent import memcg_rules as rules
from reconciler.agent.memcg_rules import ALL_NODES, Oldest, Profiles, Progress, Reason, Timers
from reconciler.agent.memcg_terms import Terms
from reconciler.agentconfig import AgentTask, Kept, MemcgConfig, MemcgOverride, MemcgProfile
from reconciler.report import EvictionReport


def profile(name: int) -> MemcgProfile:
    """Profiles are told apart by their period."""
    return MemcgProfile(period_secs=name)


def entry(path: str, name: int, *nodes: int, no_subdir: bool = False) -> MemcgOverride:
    return MemcgOverride(path=path, numa_id=nodes, no_subdir=no_subdir, profile=profile(name))


CONFIG = MemcgConfig(
    profile=profile(1),
    cgroups=(
        entry("/a", 2),
        entry("/a", 3, 1),
        entry("/a/b", 4, 0),
        entry("/a/only", 5, no_subdir=True),
        entry("/a/only", 6, 1, no_subdir=True),
        entry("/n", 7, 2),
        entry("/", 8, 3),
    ),
)


@pytest.mark.parametrize(
    ("path", "node", "expected"),
    [
        ("/x", 0, 1),
        ("/", 0, 1),
        ("/", 3, 8),
        ("/x/y", 3, 8),  # from the root, for all below it
        ("/a", 0, 2),
        ("/a", 1, 3),  # an entry that names the node comes before one that names none, wherever it stands
        ("/a/deep/down", 0, 2),
        ("/a/deep/down", 1, 3),
        ("/ab", 0, 1),  # no part of a name
        ("/a/b", 0, 4),
        ("/a/b", 1, 3),  # the nearest does not name this node, the next one above does
        ("/a/b", 2, 2),
        ("/a/only", 0, 5),
        ("/a/only", 1, 6),
        ("/a/only/below", 0, 2),  # no_subdir
        ("/a/only/below", 1, 3),
        ("/n", 2, 7),
        ("/n", 0, 1),  # nodes that nobody names have the default
        ("/a", ALL_NODES, 2),
        ("/n", ALL_NODES, 1),
    ],
)
def test_the_nearest_entry_that_fits_the_node_holds(path: str, node: int, expected: int) -> None:
    assert Profiles(CONFIG).of(path, node) == profile(expected)


def test_periods_are_those_of_profiles_in_use() -> None:
    disabled = MemcgOverride(path="/d", profile=MemcgProfile(disabled=True, period_secs=99))
    config = MemcgConfig(profile=profile(600), cgroups=(entry("/a", 60), entry("/b", 0), disabled))

    assert Profiles(config).periods() == {600, 60, 1}, "a period of nothing would never rest"


def test_what_is_kept_is_so_with_all_below_it_and_so_are_we() -> None:
    task = AgentTask(kept=(Kept(cgroup="/pinned", reason="static policy"),))
    terms = Terms(task, MemcgConfig(), "/system.slice/ebbtide.service")

    assert terms.left_alone("/pinned/inner") == "static policy"
    assert terms.left_alone("/system.slice/ebbtide.service") == "it is our own"
    assert terms.left_alone("/pinned2") == terms.left_alone("/system.slice") == ""
    assert terms.profile("/pinned", 0) is None
    assert terms.profile("/other", 0) == MemcgProfile()
    assert Terms(task, MemcgConfig(), "/").left_alone("/other") == "", "of a namespace's root nothing follows"


@pytest.mark.parametrize(
    ("observe", "dry_run", "acting"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_who_observes_does_not_act(observe: bool, dry_run: bool, acting: bool) -> None:
    assert Terms(AgentTask(observe=observe), MemcgConfig(dry_run=dry_run), "").acting is acting


def test_timers_begin_at_once_and_keep_their_time() -> None:
    timers = Timers()
    assert timers.next() == math.inf
    assert timers.due(frozenset({10.0, 60.0}), 100) == {10.0, 60.0}
    timers.rest(frozenset({10.0, 60.0}), 105)
    assert (timers.next(), timers.of(60.0)) == (115, 165)
    assert timers.due(frozenset({10.0, 60.0}), 115) == {10.0}
    timers.rest(frozenset({10.0}), 116)

    assert timers.due(frozenset({60.0, 30.0}), 120) == {30.0}, "a new period begins now, the old one goes on"
    assert (timers.of(60.0), timers.of(10.0)) == (165, math.inf)
    timers.rest(frozenset({30.0}), 120, most=5)
    assert timers.next() == 125


@pytest.mark.parametrize(("age_ms", "expected"), [(0, True), (59_999, True), (60_000, False), (1 << 40, False)])
def test_a_generation_of_the_last_minute_is_too_young(age_ms: int, expected: bool) -> None:
    assert rules.too_young(age_ms, 60.0) is expected


def oldest(anon: int, file: int, number: int = 5, youngest: int = 8) -> Oldest:
    return Oldest(number=number, youngest=youngest, anon=anon, file=file)


GONE_ON = Progress(last=oldest(50, 100), commands=1)
ONLY_SWAP = Progress(last=oldest(50, 0), commands=1, only_swap=True)


@pytest.mark.parametrize(
    ("before", "seen", "swap", "reason", "released"),
    [
        # the first look
        (Progress(), oldest(5, 5), False, None, 0),
        (Progress(), oldest(5, 0), False, Reason.NO_MIN_LRU, 0),
        (Progress(), oldest(0, 0), True, Reason.NO_MIN_LRU, 0),
        (Progress(), oldest(5, 0), True, None, 0),
        (Progress(), oldest(5, 5, number=6), True, Reason.NONE, 0),  # three generations
        (Progress(), oldest(5, 5, number=4), True, Reason.NONE, 0),  # five, as no kernel has
        # later ones
        (GONE_ON, oldest(50, 60), False, None, 40),
        (GONE_ON, oldest(60, 60), False, None, 30),  # signed: anonymous memory grew
        (GONE_ON, oldest(500, 60), False, None, -410),
        (GONE_ON, oldest(50, 100), False, Reason.MIN_LRU_INC, 0),
        (GONE_ON, oldest(51, 100), True, Reason.MIN_LRU_INC, -1),
        (GONE_ON, oldest(50, 0), True, Reason.NO_MIN_LRU, 100),  # swap is for those who begin with it
        (GONE_ON, oldest(7, 7, number=6), True, Reason.NONE, 150),  # emptied
        (GONE_ON, oldest(7, 7, number=6, youngest=9), True, Reason.NONE, 0),  # merged by somebody's aging
        # anonymous memory only
        (ONLY_SWAP, oldest(20, 0), True, None, 30),
        (ONLY_SWAP, oldest(20, 0), False, Reason.NO_MIN_LRU, 30),  # swap is full now
        (ONLY_SWAP, oldest(0, 0), True, Reason.NO_MIN_LRU, 50),
        (ONLY_SWAP, oldest(50, 0), True, Reason.MIN_LRU_INC, 0),
    ],
)
def test_reasons_to_stop(before: Progress, seen: Oldest, swap: bool, reason: Reason | None, released: int) -> None:
    after, found = rules.look(before, seen, swap=swap)

    assert (found, after.released, after.last) == (reason, released, seen)


@pytest.mark.parametrize(
    ("anon", "file", "swap", "maximum", "expected"),
    [
        (0, 10, True, 50, 0),
        (10, 10, False, 50, 0),
        (1, 9, True, 50, 20),
        (1, 7, True, 50, 25),
        (1, 399, True, 50, 1),  # 0.5 is rounded up
        (1, 400, True, 50, 0),
        (10, 10, True, 50, 50),
        (10, 10, True, 200, 100),
        (10, 10, True, 0, 0),
        (10, 10, True, 255, 100),
        (10, 0, True, 50, 200),  # nothing else is left
    ],
)
def test_swappiness(anon: int, file: int, swap: bool, maximum: int, expected: int) -> None:
    progress, _ = rules.look(Progress(), oldest(anon, file), swap=swap)

    assert rules.swappiness(progress, maximum, swap=swap) == expected


@pytest.mark.parametrize(
    ("progress", "swappiness", "page_size", "most_bytes", "expected"),
    [
        (Progress(last=oldest(9999, 500)), 0, 4096, 0, 500),
        (Progress(last=oldest(0, 99_999)), 0, 4096, 0, 1024),
        (Progress(last=oldest(0, 99_999)), 0, 65536, 0, 64),
        (Progress(last=oldest(99_999, 300)), 50, 4096, 0, 300),  # of the rarer kind: none of a younger generation
        (Progress(last=oldest(99_999, 3)), 50, 4096, 0, 64),  # the kernel takes no fewer at once
        (Progress(last=oldest(5, 3)), 50, 4096, 0, 8),
        (Progress(last=oldest(700, 0), only_swap=True), 200, 4096, 0, 700),
        (Progress(last=oldest(0, 99_999)), 0, 4096, 40_960, 10),
        (Progress(last=oldest(0, 99_999), released=8), 0, 4096, 40_960, 2),
        (Progress(last=oldest(0, 99_999), released=-8), 0, 4096, 40_960, 10),
        (Progress(last=oldest(0, 99_999)), 0, 4096, 1, 1),
    ],
)
def test_amounts(progress: Progress, swappiness: int, page_size: int, most_bytes: int, expected: int) -> None:
    assert rules.amount(progress, swappiness, page_size, most_bytes) == expected


@given(anon=st.integers(0, 10**6), file=st.integers(0, 10**6), swap=st.booleans(), maximum=st.integers(0, 200))
def test_no_command_is_for_more_than_there_is(anon: int, file: int, swap: bool, maximum: int) -> None:
    progress, reason = rules.look(Progress(), oldest(anon, file), swap=swap)
    if reason is None:
        swappiness = rules.swappiness(progress, maximum, swap=swap)
        assert 0 <= swappiness <= 200
        assert swap or swappiness == 0
        assert 1 <= rules.amount(progress, swappiness, 4096) <= rules.takable(progress, swap=swap)


@pytest.mark.parametrize(
    ("taken", "back", "expected"),
    [(0, 1 << 30, ""), (100 << 20, 1 << 20, ""), (100 << 20, 5 << 20, ""), (100 << 20, (5 << 20) + 1, "refaults")],
)
def test_what_comes_back_is_a_reason(taken: int, back: int, expected: str) -> None:
    assert rules.returned(taken, back, 5.0).startswith(expected)
    assert bool(rules.returned(taken, back, 5.0)) is bool(expected)


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        (Reason.NONE, "other_error"),
        (Reason.NO_MIN_LRU, "no_min_lru_file"),
        (Reason.MIN_LRU_INC, "min_lru_inc"),
        (Reason.PSI, "psi_exceeds_limit"),
        (Reason.ERROR, "error"),
        (Reason.PASS_BYTES, "pass_bytes"),
        (Reason.PASS_SECS, "pass_secs"),
        (Reason.REFAULT, "refault"),
    ],
)
def test_each_reason_has_its_counter(reason: Reason, name: str) -> None:
    after = rules.counted(EvictionReport(page=3), reason, 7)

    assert (after.page, getattr(after, name)) == (10, 1)
    assert sum(getattr(after, each) for each in EvictionReport.__dataclass_fields__) == 11


@given(st.lists(st.tuples(st.sampled_from(Reason), st.integers(-(10**9), 10**9))))
def test_counters_never_fall(evictions: list[tuple[Reason, int]]) -> None:
    before = EvictionReport()
    for reason, pages in evictions:
        after = rules.counted(before, reason, pages)
        assert all(getattr(after, each) >= getattr(before, each) for each in EvictionReport.__dataclass_fields__)
        before = after
