"""The trackers that are made of others, or look at nothing: multi, finder, stub; and what a recording keeps."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from reconciler.engine import processes, regions
from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.recording import HEAD, Recording
from reconciler.engine.trackers.finder import Finder
from reconciler.engine.trackers.idlepage import IdlePage
from reconciler.engine.trackers.multi import Multi
from reconciler.engine.trackers.stub import Stub
from reconciler.engine.trackers.tracker import Means, Seen, counts, nothing
from reconciler.engineconfig import FinderConfig, TrackerConfig
from reconciler.model import Features
from reconciler.report import AgeBin
from sysfs import pagemap
from tests.engine.fake_process import PAGE, FakeKernel, FakeProcess

FEATURES = Features(kernel="fake", page_size=PAGE)


@dataclass
class Scripted:
    """A tracker that sees what it is told to."""

    means: Means
    used: list[int] = field(default_factory=list)  # regions of its next look
    looks: int = 0
    rounds: int = 0
    closed: bool = False
    note: str = "scripted"

    def roster(self, known: Mapping[int, Process]) -> None:
        pass

    def begin(self, known: Process) -> None:
        pass

    def look(self, known: Process) -> Seen:
        self.looks += 1
        mask = np.isin(np.arange(len(known.regions)), self.used)
        unused = np.where(mask, 0, 10 * len(self.means.config.name)).astype(np.uint32)
        return Seen(accesses=counts(mask), writes=nothing(len(mask)), unused=unused)

    def finish(self) -> None:
        self.rounds += 1

    def amounts(self) -> tuple[AgeBin, ...]:
        return ()

    def close(self) -> None:
        self.closed = True


@dataclass
class Pair:
    """A multi tracker of a fast and a slow one, on a clock that the test sets."""

    kernel: FakeKernel
    now: float = 0.0

    def __post_init__(self) -> None:
        self.fast, self.slow = list[Scripted](), list[Scripted]()
        config = TrackerConfig(
            name="multi",
            trackers=(
                TrackerConfig(name="fast", scan_interval_ms=1000),
                TrackerConfig(name="slowly", scan_interval_ms=3000),
            ),
        )
        self.multi = Multi(means(self.kernel, config, clock=lambda: self.now, makers=self))

    def __getitem__(self, name: str) -> object:
        return lambda given: self.made(name, given)

    def made(self, name: str, given: Means) -> Scripted:
        (self.fast if name == "fast" else self.slow).append(made := Scripted(given))
        return made

    def round(self, known: Process, fast: list[int], slow: list[int]) -> Seen:
        self.fast[0].used, self.slow[0].used = fast, slow
        seen = self.multi.look(known)
        self.multi.finish()
        self.now += 1
        return seen


def means(kernel: FakeKernel, config: TrackerConfig, **more: object) -> Means:
    surveyor = Surveyor(kernel.tree, frozenset({1}), config.pages_in_region, PAGE, scan=False)
    given: dict[str, object] = {"clock": lambda: 0.0, **more}
    return Means(tree=kernel.tree, surveyor=surveyor, config=config, features=FEATURES, **given)  # type: ignore[arg-type]


def known_process(kernel: FakeKernel, number: int = 3, size: int = 16) -> Process:
    kernel.add(FakeProcess(kernel.root, 50).map(0, number * size).present(0, number * size))
    known = processes.adopt((50, 100, ()))
    Surveyor(kernel.tree, frozenset({1}), size, PAGE, scan=False).refresh(known, 0.0, 0)
    return known


def test_each_looks_at_its_own_interval_and_counts_add_up(kernel: FakeKernel) -> None:
    pair, known = Pair(kernel), known_process(kernel)
    pair.multi.begin(known)
    first = pair.round(known, [0], [0, 1])
    second = pair.round(known, [], [2])

    assert (first.accesses.tolist(), first.accessed.tolist()) == ([2, 1, 0], [True, True, False])
    assert second.accesses.tolist() == [0, 0, 0], "nothing is counted twice"
    assert second.accessed.tolist() == [True, True, False], "what the slow one saw stays in use until it looks again"
    pair.round(known, [], [])
    fourth = pair.round(known, [], [2])
    assert fourth.accessed.tolist() == [False, False, True]
    assert ([each.looks for each in (*pair.fast, *pair.slow)]) == [4, 2]
    assert ([each.rounds for each in (*pair.fast, *pair.slow)]) == [4, 2]


def test_a_process_that_a_slow_one_never_looked_at_is_in_use(kernel: FakeKernel) -> None:
    pair, known = Pair(kernel), known_process(kernel)
    pair.round(processes.adopt((51, 1, ())), [], [])
    pair.multi.begin(known)

    assert pair.round(known, [], []).accessed.all()


def test_memory_that_a_slow_one_has_not_seen_yet_is_in_use(kernel: FakeKernel) -> None:
    pair, known = Pair(kernel), known_process(kernel)
    whole = known.regions
    known.regions = whole[:2]
    pair.multi.begin(known)
    pair.round(known, [], [])
    known.regions = whole  # it grew, and the slow one looks in two seconds

    assert pair.round(known, [], []).accessed.tolist() == [False, False, True]


def test_only_what_nobody_doubts_is_vouched_for(kernel: FakeKernel) -> None:
    pair, known = Pair(kernel), known_process(kernel)
    seen = pair.round(known, [0], [])

    assert seen.unused is not None
    assert seen.unused.tolist() == [0, 40, 40], "the lesser of 40 and 60 deciseconds"


def test_children_are_closed_when_one_cannot_be_made(kernel: FakeKernel) -> None:
    made: list[Scripted] = []

    def good(given: Means) -> Scripted:
        made.append(Scripted(given))
        return made[-1]

    def bad(given: Means) -> Scripted:
        raise OSError("no such file")

    config = TrackerConfig(name="multi", trackers=(TrackerConfig(name="good"), TrackerConfig(name="bad")))
    with pytest.raises(OSError, match="no such file"):
        Multi(means(kernel, config, makers={"good": good, "bad": bad}))
    assert made[0].closed


@pytest.mark.parametrize(
    ("config", "accesses"),
    [
        (FinderConfig(), [0, 0, 0]),
        (FinderConfig(accesses=5), [5, 5, 5]),
        (FinderConfig(accesses=5, present=True), [5, 5, 0]),
        (FinderConfig(accesses=5, exclusive=True), [5, 0, 0]),
        (FinderConfig(accesses=5, present=False), [5, 0, 5]),  # the first region has one page that is not
        (FinderConfig(accesses=5, present=True, soft_dirty=True), [0, 5, 0]),
    ],
)
def test_finder_reports_all_memory_or_that_with_certain_bits(
    kernel: FakeKernel, config: FinderConfig, accesses: list[int]
) -> None:
    known = known_process(kernel)
    process = kernel.processes[50]
    process.present(1, 16).present(16, 32, bits=1 << 55).swapped(32, 48)
    process.pages[0] = 0
    process.write()

    seen = Finder(means(kernel, TrackerConfig(name="finder", finder=config))).look(known)

    assert seen.accesses.tolist() == accesses


def test_the_stub_sees_nothing(kernel: FakeKernel) -> None:
    seen = Stub(means(kernel, TrackerConfig(name="stub"))).look(known_process(kernel))

    assert not seen.accessed.any()


@pytest.mark.parametrize(("most", "counted"), [(0, [16, 1, 1]), (1, [1, 1, 1]), (4, [4, 1, 1])])
def test_a_huge_page_counts_once_also_where_only_its_tails_are(
    kernel: FakeKernel, most: int, counted: list[int]
) -> None:
    flags = np.full(8192, 1 << 5, np.uint64)
    flags[17:48] |= np.uint64(1 << 16)  # tails; their head is page 16
    kernel.idle_bitmap(flags)
    known = known_process(kernel)
    tracker = IdlePage(means(kernel, TrackerConfig(name="idlepage", max_count_per_region=most)))
    with contextlib.closing(tracker):
        tracker.begin(known)
        kernel.access(0, 17)

        assert tracker.look(known).accesses.tolist() == counted


def seen_of(known: Process, *accesses: int) -> Seen:
    return Seen(accesses=np.array(accesses, np.uint32), writes=nothing(len(accesses)))


def test_a_recording_gives_what_is_new_once(kernel: FakeKernel) -> None:
    known, recording = known_process(kernel), Recording(wall_clock_ns=lambda: 1_700_000_000_000_000_000)
    recording.add(known, seen_of(known, 9, 9, 9))
    assert recording.answer("new").startswith("nothing is recorded")

    recording.answer("start")
    recording.add(known, seen_of(known, 1, 0, 16))
    rows = [
        " 1700000000000000000        50           400000       16        1        0",
        " 1700000000000000000        50           410000       16        0        0",
        " 1700000000000000000        50           420000       16       16        0",
    ]
    assert recording.answer("new").splitlines() == [HEAD, *rows]
    assert recording.answer("new").splitlines() == [HEAD]
    recording.answer("stop")
    recording.add(known, seen_of(known, 1, 0, 16))
    assert recording.answer("new").startswith("nothing is recorded")


def test_a_recording_that_nobody_reads_stays_small(kernel: FakeKernel) -> None:
    known, recording = known_process(kernel), Recording()
    known.regions = np.resize(regions.look(known.regions, np.zeros(3, np.bool_), (nothing(3), nothing(3)), 1), 600_000)
    recording.answer("start")
    for _ in range(3):
        recording.add(known, Seen(accesses=nothing(600_000), writes=nothing(600_000)))

    assert recording.answer("new").splitlines()[0] == "1200000 older rows were dropped: ask more often"


def test_pagemap_bits_are_those_of_the_kernel() -> None:
    assert [int(bit).bit_length() - 1 for bit in (pagemap.PRESENT, pagemap.EXCLUSIVE, pagemap.SOFT_DIRTY)] == [
        63,
        56,
        55,
    ]
