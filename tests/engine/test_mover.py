"""The mover on fake processes: where pages go, in what order, and how fast."""

import numpy as np
import pytest

from reconciler.engine import processes
from reconciler.engine.mover import BUSY, Moved
from reconciler.engine.policies.policy import BACK, TO_SWAP
from reconciler.engine.tasks import Task
from reconciler.engineconfig import SWAP, MoverConfig
from sysfs import maps, pagemap, process
from tests.engine.fake_process import PAGE, FakeKernel, FakeProcess
from tests.engine.mover_bench import MIB, MoverBench, move, near, on_node


@pytest.fixture
def bench(mover: MoverBench) -> MoverBench:
    return mover


# -- what a policy wants ---------------------------------------------------------------------------------------------


def test_pages_go_to_a_listed_node_and_those_there_stay(bench: MoverBench) -> None:
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


def test_the_nearest_node_with_room_is_taken_then_the_next(bench: MoverBench) -> None:
    near(bench.kernel, 40)
    made = bench.process()
    bench.track()
    bench.mover.replace([move(50, [(0, 32)], (1, 2))])
    bench.run(1)
    bench.mover.replace([move(50, [(64, 96)], (1, 2))])
    bench.run(1)

    assert (on_node(made, 2), on_node(made, 1)) == (set(range(32)), set(range(64, 96)))


def test_a_node_that_is_full_though_it_said_otherwise(bench: MoverBench) -> None:
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
def test_nowhere_to_go_is_said(bench: MoverBench, to: tuple[int, ...], allowed: str, why: str) -> None:
    made = bench.process()
    made.allowed = allowed
    made.write()
    known = bench.track()
    bench.mover.replace([move(50, [(0, 32)], to)])
    bench.run(1)

    assert why in bench.mover.trouble
    assert bench.moved == Moved()
    assert known.regions["tries"][:3].tolist() == [1, 1, 0], "those that did not move are asked less often"


def test_busy_pages_are_asked_twice(bench: MoverBench) -> None:
    made = bench.process()
    known = bench.track()
    bench.kernel.nodes.busy.update({3: 1, 5: 9})
    bench.mover.replace([move(50, [(0, 16)], (1,))])
    bench.run(1)

    assert on_node(made, 1) == set(range(16)) - {5}
    assert known.figures.errors == {16: 1}, "what became of them in the end"
    assert known.regions["tries"][0] == 0


def test_swap_is_the_last_resort_of_a_list(bench: MoverBench) -> None:
    made = bench.process()
    known = bench.track()
    bench.kernel.nodes.free[1] = 0
    bench.kernel.nodes.write()
    bench.mover.replace([move(50, [(0, 16)], (1, SWAP))])
    bench.run(1)

    assert np.all(made.pages[:16] == pagemap.SWAPPED)
    assert known.regions["swapped"][0] == 16


def test_page_out_is_booked(bench: MoverBench) -> None:
    bench.process()
    known = bench.track()
    bench.mover.replace([move(50, [(0, 16), (16, 32)], TO_SWAP)])
    bench.run(1)

    assert known.regions[["present", "swapped", "out"]][:3].tolist() == [(0, 16, 16), (0, 16, 16), (16, 0, 0)]
    assert bench.moved == Moved(advised=32 * PAGE, left=32 * PAGE, spent=32 * PAGE)


def test_memory_comes_back_from_swap_and_that_is_no_refault(bench: MoverBench) -> None:
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


def test_what_swap_cannot_give_back_is_not_counted(bench: MoverBench) -> None:
    made = bench.process()
    made.swapped(0, 16).write()
    known = bench.track()
    bench.kernel.unreadable = {3}
    bench.mover.replace([move(50, [(0, 16)], BACK)])
    bench.run(1)

    assert bench.moved.back == 15 * PAGE
    assert known.regions["swapped"][0] == 1
    assert (known.figures.called_back, known.figures.came_back) == (16 * PAGE, 15 * PAGE)


def test_urgent_moves_go_first_then_the_policy_s_order(bench: MoverBench) -> None:
    bench.process(50, 4096)
    bench.track(50)
    slow = MoverBench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=1), known=bench.known)
    later = move(50, [(0, 512), (512, 1024)], (1,))
    urgent = move(50, [(2048, 2560), (1536, 2048)], (1,), urgency=0)
    slow.mover.replace([later, urgent])
    seen: list[int] = []
    while slow.mover.pending():
        slow.run(0.5)
        seen += [page for page in (0, 512, 1536, 2048) if page in on_node(bench.kernel.processes[50], 1)]

    assert list(dict.fromkeys(seen)) == [2048, 1536, 0, 512]


def test_only_idle_pages_move_where_that_is_asked(bench: MoverBench) -> None:
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


def test_only_idle_without_a_bitmap_is_refused(bench: MoverBench) -> None:
    made = bench.process()
    bench.track()
    bench.mover.replace([move(50, [(0, 16)], (1,), only_idle=True)])
    bench.run(1)

    assert on_node(made, 1) == set()
    assert "only move while they are idle" in bench.mover.trouble
    assert "page_idle/bitmap" in bench.mover.trouble


def test_moves_that_are_not_wanted_any_more_are_dropped(bench: MoverBench) -> None:
    made = bench.process()
    bench.track()
    bench.mover.replace([move(50, [(0, 16), (16, 32), (32, 48)], (1,))])
    bench.mover.keep([move(50, [(16, 32)], (1,)), move(50, [(0, 16)], TO_SWAP), move(51, [(32, 48)], (1,))])
    bench.run(1)

    assert on_node(made, 1) == set(range(16, 32))


def test_ranges_that_are_no_regions_and_reach_over_mappings(bench: MoverBench) -> None:
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
    bench = MoverBench(kernel, MoverConfig(interval_ms=interval_ms, bandwidth_mib=20))
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


def test_moves_of_a_policy_keep_the_bandwidth(bench: MoverBench) -> None:
    slow = MoverBench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=10), known=bench.known)
    for pid in range(50, 100):
        bench.process(pid, 512)
        bench.track(pid)
    slow.mover.replace([move(pid, [(at, at + 16) for at in range(0, 512, 16)], TO_SWAP) for pid in range(50, 100)])
    slow.run(5)

    assert slow.moved.spent / MIB == pytest.approx(50, rel=0.05)


def test_a_rest_earns_no_storm(bench: MoverBench) -> None:
    slow = MoverBench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=10))
    bench.process(50, 4096)
    slow.now += 1000
    slow.mover.add(Task(pid=50, to=(1,)))
    slow.run(0.5)

    assert slow.moved.spent / MIB == pytest.approx(5, abs=2.1), "a block of 2 MiB is not divided"


def test_a_huge_page_is_not_divided_between_two_steps(bench: MoverBench) -> None:
    slow = MoverBench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=1))
    made = bench.process(50, 4096)
    slow.mover.add(Task(pid=50, to=(1,)))
    while slow.mover.pending():
        slow.run(0.1)
        assert len(on_node(made, 1)) % 512 == 0
