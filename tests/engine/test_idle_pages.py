"""Which pages the tracker idlepage lists as idle for a whole interval."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from reconciler.engine import processes
from reconciler.engine.processes import Process, Surveyor
from reconciler.engine.trackers.idlepage import IdlePage
from reconciler.engine.trackers.tracker import Means, Seen
from reconciler.engineconfig import TrackerConfig
from reconciler.model import Features
from sysfs.maps import Kind
from tests.engine.fake_process import BASE, PAGE, FakeKernel, FakeProcess


@dataclass
class Bench:
    """One process of 16 pages, on frames of the same numbers, looked at every ten seconds."""

    kernel: FakeKernel
    now: float = 0.0
    lists: bool = True
    tracker: IdlePage = field(init=False)
    known: Process = field(init=False)

    def __post_init__(self) -> None:
        self.kernel.idle_bitmap()
        self.kernel.add(FakeProcess(self.kernel.root, 7).map(0, 16).present(0, 16))
        surveyor = Surveyor(self.kernel.tree, frozenset({int(Kind.ANON)}), 4, PAGE, scan=False)
        self.tracker = IdlePage(
            Means(
                tree=self.kernel.tree,
                surveyor=surveyor,
                config=TrackerConfig(scan_interval_ms=10_000),
                features=Features(kernel="fake", page_size=PAGE),
                clock=lambda: self.now,
                lists_idle=self.lists,
            )
        )
        self.known = processes.adopt((7, 100, ()))
        surveyor.refresh(self.known, 0.0, 0)
        self.tracker.begin(self.known)
        self.tracker.roster({7: self.known})

    def look(self, after: float = 10.0, used: tuple[int, ...] = ()) -> Seen:
        self.now += after
        for page in used:
            self.kernel.access(page, page + 1)
        seen = self.tracker.look(self.known)
        before = self.kernel.idle()
        self.tracker.finish()
        self.kernel.mark(before)  # zeros that are written to the real bitmap change nothing
        return seen

    def idle(self, after: float = 10.0, used: tuple[int, ...] = ()) -> list[tuple[int, int]] | None:
        if (found := self.look(after, used).idle) is None:
            return None
        return [((int(a) - BASE) // PAGE, (int(b) - BASE) // PAGE) for a, b in zip(*found, strict=True)]


@pytest.fixture
def bench(kernel: FakeKernel) -> Iterator[Bench]:
    made = Bench(kernel)
    yield made
    made.tracker.close()


def test_pages_that_were_not_used_between_two_looks(bench: Bench) -> None:
    assert bench.idle() == [(0, 16)]
    assert bench.idle(used=(0, 3, 4, 15)) == [(1, 3), (5, 15)]
    assert bench.idle(used=(3,)) == [(0, 3), (4, 16)]
    assert bench.idle(used=tuple(range(16))) == []


def test_a_look_that_comes_too_early_lists_nothing(bench: Bench) -> None:
    assert bench.idle(after=3) is None  # the process was adopted a moment ago
    assert bench.idle() == [(0, 16)]
    assert bench.idle(after=17) == [(0, 16)]  # put off
    assert bench.idle(after=3) is None  # and the next came on time
    assert bench.idle(after=9.5) == [(0, 16)]


def test_pages_that_carry_no_mark_for_long_enough_are_not_idle(bench: Bench) -> None:
    process = bench.kernel.processes[7]
    process.present(0, 2, frame=100).write()  # new pages: nobody has marked them

    assert bench.idle() == [(2, 16)]
    assert bench.idle() == [(0, 16)]


def test_who_left_and_came_again_begins_again(bench: Bench) -> None:
    bench.look()
    bench.tracker.roster({})
    bench.tracker.roster({7: bench.known})

    assert bench.idle() is None


def test_nothing_is_listed_for_policies_that_do_not_ask(kernel: FakeKernel) -> None:
    bench = Bench(kernel, lists=False)
    bench.look()

    assert bench.look().idle is None
    bench.tracker.close()
