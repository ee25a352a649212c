"""The mover on fake processes: where pages go, how fast, and what is said of those that stay."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from reconciler.engine import processes, ranges, regions, tasks
from reconciler.engine.mover import ALL_DONE, BUSY, NOT_RUNNING, PAUSED, Moved, Mover
from reconciler.engine.policies.policy import BACK, TO_SWAP, Move
from reconciler.engine.processes import Process
from reconciler.engine.ranges import Ranges
from reconciler.engine.tasks import Task
from reconciler.engineconfig import SWAP, MoverConfig
from sysfs import errors, maps, pagemap, process
from sysfs.maps import Kind
from tests.engine.fake_process import BASE, PAGE, FakeKernel, FakeProcess

MIB = 1 << 20
FAST = MoverConfig(interval_ms=10, bandwidth_mib=4096)


@dataclass
class Bench:
    """A mover with a clock of its own, which runs ahead to the next step."""

    kernel: FakeKernel
    config: MoverConfig = FAST
    now: float = 100.0
    woken: int = 0
    known: dict[int, Process] = field(default_factory=dict)
    moved: Moved = field(default_factory=Moved)

    def __post_init__(self) -> None:
        self.mover = Mover(self.kernel.doors, self.config, lambda: self.now, wake=self.wake)

    def wake(self) -> None:
        self.woken += 1

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now <= end and self.mover.pending():
            self.moved += self.mover.step(self.known, lambda: False)
            self.now += self.mover.wait()
        self.now = max(self.now, end)

    def process(self, pid: int = 50, pages: int = 1024) -> FakeProcess:
        """All of it present, and tracked in regions of 16 pages."""
        made = FakeProcess(self.kernel.root, pid, pages=np.zeros(max(pages, 4096), np.uint64)).map(0, pages)
        return self.kernel.add(made.present(0, pages))

    def track(self, pid: int = 50) -> Process:
        tree, made = self.kernel.tree, self.kernel.processes[pid]
        known = processes.adopt(process.identity(tree, pid))
        surveyor = processes.Surveyor(tree, frozenset({1, 2}), 16, PAGE, scan=False)
        surveyor.refresh(known, 0, 0)
        self.known[pid] = known
        assert len(known.regions) == sum(-(-(last - first) // 16) for first, last, _ in made.mappings)
        return known


@pytest.fixture
def bench(kernel: FakeKernel) -> Bench:
    kernel.nodes.add(0, 100_000, (10,), cpu=True)
    kernel.nodes.add(1, 50_000, (20, 10))
    return Bench(kernel)


def address(page: int) -> int:
    return BASE + page * PAGE


def span(*pages: tuple[int, int]) -> Ranges:
    low, high = (np.array([address(pair[i]) for pair in pages], np.uint64) for i in (0, 1))
    return low, high


def move(pid: int, pages: Iterable[tuple[int, int]], to: tuple[int, ...], **others: object) -> Move:
    start, end = span(*pages)
    order = np.arange(len(start)).astype(np.uint32)
    size = (end - start).astype(np.int64)
    return replace(Move(pid=pid, start=start, end=end, size=size, order=order, to=to), **others)  # type: ignore[arg-type]


def near(kernel: FakeKernel, pages: int) -> None:
    """A node 2, nearer to node 0 than node 1 is."""
    kernel.nodes.add(2, pages, (15, 20, 10))
    (kernel.root / "sys/devices/system/node/node0/distance").write_text("10 20 15\n")


def on_node(process: FakeProcess, node: int) -> set[int]:
    return set(np.flatnonzero((process.node == node) & ((process.pages & pagemap.PRESENT) != 0)).tolist())


# -- what a policy wants ---------------------------------------------------------------------------------------------


def test_pages_go_to_a_listed_node_and_those_there_stay(bench: Bench) -> None:
    made = bench.process()
    made.node[0:8] = 1
    made.present(20, 24, bits=0).write()  # shared with somebody
    known = bench.track()
    bench.mover.replace([move(50, [(0, 32)], (1,))])
    bench.run(1)

    assert on_node(made, 1) == {*range(20), *range(24, 32)}
    assert bench.moved == Moved(to_nodes=20 * PAGE, spent=20 * PAGE)
    assert known.figures.on_target == {1: 20}
    assert known.figures.requested == 20, "neither the shared ones nor those that were there"


def test_the_nearest_node_with_room_is_taken_then_the_next(bench: Bench) -> None:
    near(bench.kernel, 40)
    made = bench.process()
    bench.track()
    bench.mover.replace([move(50, [(0, 32)], (1, 2))])
    bench.run(1)
    bench.mover.replace([move(50, [(64, 96)], (1, 2))])
    bench.run(1)

    assert (on_node(made, 2), on_node(made, 1)) == (set(range(32)), set(range(64, 96)))


def test_a_node_that_is_full_though_it_said_otherwise(bench: Bench) -> None:
    made = bench.process()
    known = bench.track()
    near(bench.kernel, 40)
    bench.mover.rooms.nodes()
    bench.kernel.nodes.free[2] = 8  # somebody was faster
    bench.mover.replace([move(50, [(0, 32)], (2, 1))])
    bench.run(0.1)

    assert len(on_node(made, 2)) == 8
    assert on_node(made, 1) | on_node(made, 2) == set(range(32))
    assert bench.moved.to_nodes == 32 * PAGE
    assert known.figures.errors == {12: 24}


@pytest.mark.parametrize(
    ("to", "allowed", "why"),
    [
        ((7,), "0-63", "node 7: no such memory node here"),
        ((1,), "0", "the process's cpuset.mems allows node 0 only"),
    ],
)
def test_nowhere_to_go_is_said(bench: Bench, to: tuple[int, ...], allowed: str, why: str) -> None:
    made = bench.process()
    made.allowed = allowed
    made.write()
    known = bench.track()
    bench.mover.replace([move(50, [(0, 32)], to)])
    bench.run(1)

    assert why in bench.mover.trouble
    assert bench.moved == Moved()
    assert known.regions["tries"][:3].tolist() == [1, 1, 0], "those that did not move are asked less often"


def test_busy_pages_are_asked_twice(bench: Bench) -> None:
    made = bench.process()
    known = bench.track()
    bench.kernel.nodes.busy.update({3: 1, 5: 9})
    bench.mover.replace([move(50, [(0, 16)], (1,))])
    bench.run(1)

    assert on_node(made, 1) == set(range(16)) - {5}
    assert known.figures.errors == {16: 1}, "what became of them in the end"
    assert known.regions["tries"][0] == 0


def test_swap_is_the_last_resort_of_a_list(bench: Bench) -> None:
    made = bench.process()
    known = bench.track()
    bench.kernel.nodes.free[1] = 0
    bench.kernel.nodes.write()
    bench.mover.replace([move(50, [(0, 16)], (1, SWAP))])
    bench.run(1)

    assert np.all(made.pages[:16] == pagemap.SWAPPED)
    assert known.regions["swapped"][0] == 16


def test_page_out_is_booked(bench: Bench) -> None:
    bench.process()
    known = bench.track()
    bench.mover.replace([move(50, [(0, 16), (16, 32)], TO_SWAP)])
    bench.run(1)

    assert known.regions[["present", "swapped", "out"]][:3].tolist() == [(0, 16, 16), (0, 16, 16), (16, 0, 0)]
    assert bench.moved == Moved(advised=32 * PAGE, left=32 * PAGE, spent=32 * PAGE)


def test_memory_comes_back_from_swap_and_that_is_no_refault(bench: Bench) -> None:
    made = bench.process()
    known = bench.track()
    bench.mover.replace([move(50, [(0, 32)], TO_SWAP)])
    bench.run(1)
    bench.mover.replace([move(50, [(0, 16)], BACK)])
    bench.run(1)

    assert (bench.moved.left, bench.moved.back) == (32 * PAGE, 16 * PAGE)
    assert np.all(made.pages[:16] & pagemap.PRESENT)
    assert known.regions[["present", "swapped", "out"]][:2].tolist() == [(16, 0, 0), (0, 16, 16)]
    surveyor = processes.Surveyor(bench.kernel.tree, frozenset({1}), 16, PAGE, scan=False)
    assert surveyor.refresh(known, 1, 1) == 0


def test_what_swap_cannot_give_back_is_not_counted(bench: Bench) -> None:
    made = bench.process()
    made.swapped(0, 16).write()
    known = bench.track()
    bench.kernel.unreadable = {3}
    bench.mover.replace([move(50, [(0, 16)], BACK)])
    bench.run(1)

    assert bench.moved.back == 15 * PAGE
    assert known.regions["swapped"][0] == 1
    assert (known.figures.called_back, known.figures.came_back) == (16 * PAGE, 15 * PAGE)


def test_urgent_moves_go_first_then_the_policy_s_order(bench: Bench) -> None:
    bench.process(50, 4096)
    bench.track(50)
    slow = Bench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=1), known=bench.known)
    later = move(50, [(0, 512), (512, 1024)], (1,))
    urgent = move(50, [(2048, 2560), (1536, 2048)], (1,), urgency=0)
    slow.mover.replace([later, urgent])
    seen: list[int] = []
    while slow.mover.pending():
        slow.run(0.5)
        seen += [page for page in (0, 512, 1536, 2048) if page in on_node(bench.kernel.processes[50], 1)]

    assert list(dict.fromkeys(seen)) == [2048, 1536, 0, 512]


def test_only_idle_pages_move_where_that_is_asked(bench: Bench) -> None:
    bench.kernel.idle_bitmap()
    made = bench.process()
    bench.track()
    path = bench.kernel.root / "sys/kernel/mm/page_idle/bitmap"
    path.write_bytes(b"\xff" * len(path.read_bytes()))
    bench.kernel.access(4, 12)
    bench.mover.replace([move(50, [(0, 16)], (1,), only_idle=True), move(50, [(16, 32)], TO_SWAP, only_idle=True)])
    bench.run(1)

    assert on_node(made, 1) == {0, 1, 2, 3, 12, 13, 14, 15}
    assert np.all(made.pages[16:32] == pagemap.SWAPPED)
    bench.mover.close()


def test_only_idle_without_a_bitmap_is_refused(bench: Bench) -> None:
    made = bench.process()
    bench.track()
    bench.mover.replace([move(50, [(0, 16)], (1,), only_idle=True)])
    bench.run(1)

    assert on_node(made, 1) == set()
    assert "only move while they are idle" in bench.mover.trouble
    assert "page_idle/bitmap" in bench.mover.trouble


def test_moves_that_are_not_wanted_any_more_are_dropped(bench: Bench) -> None:
    made = bench.process()
    bench.track()
    bench.mover.replace([move(50, [(0, 16), (16, 32), (32, 48)], (1,))])
    bench.mover.keep([move(50, [(16, 32)], (1,)), move(50, [(0, 16)], TO_SWAP), move(51, [(32, 48)], (1,))])
    bench.run(1)

    assert on_node(made, 1) == set(range(16, 32))


def test_ranges_that_are_no_regions_and_reach_over_mappings(bench: Bench) -> None:
    made = FakeProcess(bench.kernel.root, 50).map(0, 20).map(30, 64).map(64, 80, "rw-s 00000000 00:01 7 /memfd:x")
    bench.kernel.add(made.present(0, 20).present(30, 80))
    known = processes.adopt(process.identity(bench.kernel.tree, 50))
    known.mapped = maps.read(bench.kernel.tree, 50)
    bench.known[50] = known
    bench.mover.replace([move(50, [(3, 77)], TO_SWAP)])
    bench.run(1)

    assert np.flatnonzero(made.pages == pagemap.SWAPPED).tolist() == [*range(3, 20), *range(30, 64)]


# -- bandwidth -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 500])
@pytest.mark.parametrize("to", [TO_SWAP, (1,)])
@pytest.mark.parametrize("interval_ms", [10, 100])
def test_the_bandwidth_is_exact_for_one_task_and_for_500(
    kernel: FakeKernel, number: int, to: tuple[int, ...], interval_ms: int
) -> None:
    kernel.nodes.add(0, 200_000, (10,), cpu=True)
    kernel.nodes.add(1, 200_000, (20, 10))
    bench = Bench(kernel, MoverConfig(interval_ms=interval_ms, bandwidth_mib=20))
    pages = 20_480 if number == 1 else 48
    for pid in range(50, 50 + number):
        bench.process(pid, pages)
        bench.mover.add(Task(pid=pid, to=to))
    begin = bench.now
    while bench.mover.state() == BUSY:
        bench.run(0.01)
    size = pages * number * PAGE / MIB

    assert bench.moved.spent / MIB == size
    assert bench.now - begin == pytest.approx(size / 20, rel=0.05)


def test_moves_of_a_policy_keep_the_bandwidth(bench: Bench) -> None:
    slow = Bench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=10), known=bench.known)
    for pid in range(50, 100):
        bench.process(pid, 512)
        bench.track(pid)
    slow.mover.replace([move(pid, [(at, at + 16) for at in range(0, 512, 16)], TO_SWAP) for pid in range(50, 100)])
    slow.run(5)

    assert slow.moved.spent / MIB == pytest.approx(50, rel=0.05)


def test_a_rest_earns_no_storm(bench: Bench) -> None:
    slow = Bench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=10))
    bench.process(50, 4096)
    slow.now += 1000
    slow.mover.add(Task(pid=50, to=(1,)))
    slow.run(0.5)

    assert slow.moved.spent / MIB == pytest.approx(5, abs=2.1), "a block of 2 MiB is not divided"


def test_a_huge_page_is_not_divided_between_two_steps(bench: Bench) -> None:
    slow = Bench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=1))
    made = bench.process(50, 4096)
    slow.mover.add(Task(pid=50, to=(1,)))
    while slow.mover.pending():
        slow.run(0.1)
        assert len(on_node(made, 1)) % 512 == 0


# -- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_on_a_process_that_nobody_tracks(bench: Bench) -> None:
    made = bench.process(pages=100)
    number = bench.mover.add(Task(pid=50, to=(1,)))
    waiting = bench.mover.tasks()[0]
    bench.run(1)

    assert (waiting.number, waiting.state, waiting.next, waiting.done, waiting.total) == (
        number,
        "waiting",
        address(0),
        0,
        100,
    )
    assert on_node(made, 1) == set(range(100))
    assert (bench.mover.tasks(), bench.mover.state(), bench.woken) == ((), ALL_DONE, 1)
    assert bench.mover.book.all()[50].on_target == {1: 100}


def test_a_task_for_some_ranges_only(bench: Bench) -> None:
    made = bench.process(pages=100)
    bench.mover.add(Task(pid=50, to=TO_SWAP, ranges=span((10, 20), (90, 4000))))

    assert bench.mover.tasks()[0].total == 20

    bench.run(1)

    assert np.flatnonzero(made.pages == pagemap.SWAPPED).tolist() == [*range(10, 20), *range(90, 100)]


def test_a_task_tells_how_far_it_is(bench: Bench) -> None:
    slow = Bench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=2))
    bench.process(pages=2048)
    slow.mover.add(Task(pid=50, to=(1,)))
    slow.run(1.5)
    said = slow.mover.tasks()[0]

    assert (said.state, said.done, said.moved, said.total) == ("moving", 1024, 1024, 2048)
    assert said.next == address(1024)


def test_tasks_book_into_the_regions_of_a_tracked_process(bench: Bench) -> None:
    bench.process(pages=64)
    known = bench.track()
    bench.mover.add(Task(pid=50, to=TO_SWAP))
    bench.run(1)
    swapped = known.regions[["present", "swapped", "out"]].tolist()
    bench.mover.add(Task(pid=50, to=BACK))
    bench.run(1)

    assert swapped == [(0, 16, 16)] * 4
    assert known.regions[["present", "swapped", "out"]].tolist() == [(16, 0, 0)] * 4


def test_tasks_go_before_the_policy(bench: Bench) -> None:
    slow = Bench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=1), known=bench.known)
    first, second = bench.process(50, 512), bench.process(51, 512)
    bench.track(50)
    slow.mover.replace([move(50, [(0, 512)], (1,))])
    slow.mover.add(Task(pid=51, to=(1,)))
    slow.run(0.01)

    assert (len(on_node(first, 1)), len(on_node(second, 1))) == (0, 512)

    slow.run(5)

    assert len(on_node(first, 1)) == 512


def test_pages_that_are_busy_are_tried_again_later(bench: Bench) -> None:
    made = bench.process(pages=100)
    bench.kernel.nodes.busy[7] = 3
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(0.1)
    said = bench.mover.tasks()[0]
    bench.run(5)

    assert (said.state, said.why) == ("retrying", "1 of 100 pages stayed: 1 pinned or in use by the kernel just now")
    assert on_node(made, 1) == set(range(100))
    assert bench.mover.tasks() == ()


def test_pages_that_stay_are_explained_and_the_task_is_not_dropped(bench: Bench) -> None:
    bench.process(pages=100).present(90, 95, bits=0).write()
    bench.kernel.nodes.pinned = {7, 8}
    number = bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(60)
    said = bench.mover.tasks()[0]

    assert (said.state, said.moved) == ("failed", 93)
    assert said.why == (
        "7 of 100 pages stayed: 2 pinned or in use by the kernel just now; 5 shared with other processes"
    )
    assert bench.mover.state() == ALL_DONE
    assert bench.mover.remove(number)
    assert (bench.mover.tasks(), bench.mover.remove(number)) == ((), False)


@pytest.mark.parametrize(
    ("total", "used", "why"),
    [(0, 0, "no swap on this node"), (MIB, MIB, "swap is full"), (MIB, 0, "locked, being written, or used again")],
)
def test_why_memory_does_not_leave(bench: Bench, total: int, used: int, why: str) -> None:
    bench.process(pages=10)
    bench.kernel.swap(total, used)
    bench.kernel.effect = False
    bench.mover.add(Task(pid=50, to=TO_SWAP))
    bench.run(60)

    assert why in bench.mover.tasks()[0].why
    assert bench.mover.tasks()[0].why.startswith("10 of 10 pages stayed")


def test_nowhere_to_go_is_the_reason_of_a_task(bench: Bench) -> None:
    bench.process(pages=10)
    bench.mover.add(Task(pid=50, to=(5,)))
    bench.run(60)

    assert "nowhere to go: node 5: no such memory node here" in bench.mover.tasks()[0].why


def test_what_swap_cannot_give_back_is_explained(bench: Bench) -> None:
    bench.process(pages=10).swapped(0, 8).write()
    bench.kernel.unreadable = {3}
    bench.mover.add(Task(pid=50, to=BACK))

    assert bench.mover.tasks()[0].total == 8

    bench.run(60)
    said = bench.mover.tasks()[0]

    assert (said.state, said.moved, said.done) == ("failed", 7, 8)
    assert "1 do not come back" in said.why


def test_a_process_that_exits_ends_its_task_with_a_reason(bench: Bench) -> None:
    made = bench.process()
    bench.mover.add(Task(pid=50, to=(1,)))
    made.exit()
    bench.run(1)

    assert [(each.state, each.why) for each in bench.mover.tasks()] == [
        ("failed", "process 50 has ended, or is another program now")
    ]


def test_a_pid_that_is_somebody_else_now_is_left_alone(bench: Bench) -> None:
    made = bench.process()
    bench.mover.add(Task(pid=50, to=(1,)))
    made.start_time += 1
    made.write()
    bench.run(1)

    assert on_node(made, 1) == set()
    assert "another program" in bench.mover.tasks()[0].why


def test_a_task_for_nobody_is_refused_at_once(bench: Bench) -> None:
    with pytest.raises(errors.Gone):
        bench.mover.add(Task(pid=99, to=(1,)))

    assert (bench.mover.tasks(), bench.woken) == ((), 0)


@pytest.mark.parametrize(("error", "attempts"), [(errors.Busy, tasks.ATTEMPTS), (errors.Refused, 1)])
def test_errors_are_tried_again_if_waiting_may_help(
    bench: Bench, error: type[errors.KernelError], attempts: int
) -> None:
    bench.process()
    tried: list[float] = []

    def refuse() -> None:
        tried.append(bench.now)
        raise error(1, "not today", "process 50")

    bench.kernel.before = refuse
    bench.mover.add(Task(pid=50, to=TO_SWAP))
    bench.run(60)

    assert len(tried) == attempts
    assert "not today" in bench.mover.tasks()[0].why


def test_a_task_without_anything_to_move_is_done(bench: Bench) -> None:
    bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 10))
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(1)

    assert (bench.mover.tasks(), bench.mover.state()) == ((), ALL_DONE)


def test_pausing(bench: Bench) -> None:
    """Moves of a policy that are added meanwhile do not end it."""
    made = bench.process()
    bench.track()
    bench.mover.pause()
    bench.mover.add(Task(pid=50, to=(1,), ranges=span((0, 16))))
    bench.mover.replace([move(50, [(16, 32)], (1,))])
    bench.run(10)

    assert (bench.mover.state(), bench.mover.pending(), on_node(made, 1)) == (PAUSED, 0, set())

    bench.mover.proceed()
    assert bench.mover.state() == BUSY
    bench.run(1)

    assert (bench.mover.state(), on_node(made, 1)) == (ALL_DONE, set(range(32)))

    bench.mover.running = False
    assert bench.mover.state() == NOT_RUNNING


def test_a_removed_task_stops(bench: Bench) -> None:
    slow = Bench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=2))
    made = bench.process(pages=2048)
    number = slow.mover.add(Task(pid=50, to=(1,)))
    slow.run(0.5)
    slow.mover.remove(number)
    slow.run(5)

    assert len(on_node(made, 1)) == 512


def test_file_pages_move_only_if_asked(bench: Bench) -> None:
    made = FakeProcess(bench.kernel.root, 50).map(0, 16).map(16, 32, "r--s 00000000 08:01 77 /data/file")
    bench.kernel.add(made.present(0, 16).present(16, 32, bits=1 << 56 | 1 << 61))
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(1)
    without = on_node(made, 1)
    bench.mover.add(Task(pid=50, to=(1,), kinds=frozenset({Kind.ANON, Kind.FILE})))
    bench.run(1)

    assert (without, on_node(made, 1)) == (set(range(16)), set(range(32)))


def test_a_sparse_process_is_handled_in_a_few_steps(bench: Bench) -> None:
    window = 1 << 17
    made = FakeProcess(bench.kernel.root, 50, pages=np.zeros(window * 4, np.uint64)).map(0, window * 4)
    for i in range(4):
        made.present(i * window, i * window + 2)
    bench.kernel.add(made)
    bench.mover.add(Task(pid=50, to=(1,)))

    assert bench.mover.tasks()[0].total == 8

    bench.run(0.1)

    assert (len(on_node(made, 1)), bench.mover.state()) == (8, ALL_DONE)


def test_empty_ranges() -> None:
    assert ranges.size(ranges.none()) == 0
    assert len(regions.none()) == 0
