"""Tasks by hand: on whose memory, how far they are, and what is said of pages that stay."""

import numpy as np
import pytest

from reconciler.engine import tasks
from reconciler.engine.mover import ALL_DONE, BUSY, NOT_RUNNING, PAUSED
from reconciler.engine.policies.policy import BACK, TO_SWAP
from reconciler.engine.tasks import Task
from reconciler.engineconfig import MoverConfig
from sysfs import errors, pagemap
from sysfs.maps import Kind
from tests.engine.fake_process import FakeKernel, FakeProcess
from tests.engine.mover_bench import MIB, MoverBench, address, move, on_node, span
from tests.engine.standalone import Standalone


@pytest.fixture
def bench(mover: MoverBench) -> MoverBench:
    return mover


# -- tasks -----------------------------------------------------------------------------------------------------------


def test_a_task_on_a_process_that_nobody_tracks(bench: MoverBench) -> None:
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


def test_a_task_for_some_ranges_only(bench: MoverBench) -> None:
    made = bench.process(pages=100)
    bench.mover.add(Task(pid=50, to=TO_SWAP, ranges=span((10, 20), (90, 4000))))

    assert bench.mover.tasks()[0].total == 20

    bench.run(1)

    assert np.flatnonzero(made.pages == pagemap.SWAPPED).tolist() == [*range(10, 20), *range(90, 100)]


def test_a_task_tells_how_far_it_is(bench: MoverBench) -> None:
    slow = MoverBench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=2))
    bench.process(pages=2048)
    slow.mover.add(Task(pid=50, to=(1,)))
    slow.run(1.5)
    said = slow.mover.tasks()[0]

    assert (said.state, said.done, said.moved, said.total) == ("moving", 1024, 1024, 2048)
    assert said.next == address(1024)


def test_tasks_book_into_the_regions_of_a_tracked_process(bench: MoverBench) -> None:
    bench.process(pages=64)
    known = bench.track()
    bench.mover.add(Task(pid=50, to=TO_SWAP))
    bench.run(1)
    swapped = known.regions[["present", "swapped", "out"]].tolist()
    bench.mover.add(Task(pid=50, to=BACK))
    bench.run(1)

    assert swapped == [(0, 16, 16)] * 4
    assert known.regions[["present", "swapped", "out"]].tolist() == [(16, 0, 0)] * 4


def test_tasks_go_before_the_policy(bench: MoverBench) -> None:
    slow = MoverBench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=1), known=bench.known)
    first, second = bench.process(50, 512), bench.process(51, 512)
    bench.track(50)
    slow.mover.replace([move(50, [(0, 512)], (1,))])
    slow.mover.add(Task(pid=51, to=(1,)))
    slow.run(0.01)

    assert (len(on_node(first, 1)), len(on_node(second, 1))) == (0, 512)

    slow.run(5)

    assert len(on_node(first, 1)) == 512


def test_pages_that_are_busy_are_tried_again_later(bench: MoverBench) -> None:
    made = bench.process(pages=100)
    bench.kernel.nodes.busy[7] = 3
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(0.1)
    said = bench.mover.tasks()[0]
    bench.run(5)

    assert (said.state, said.why) == ("retrying", "1 of 100 pages stayed: 1 pinned or in use by the kernel just now")
    assert on_node(made, 1) == set(range(100))
    assert bench.mover.tasks() == ()


def test_pages_that_stay_are_explained_and_the_task_is_not_dropped(bench: MoverBench) -> None:
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
def test_why_memory_does_not_leave(bench: MoverBench, total: int, used: int, why: str) -> None:
    bench.process(pages=10)
    bench.kernel.swap(total, used)
    bench.kernel.effect = False
    bench.mover.add(Task(pid=50, to=TO_SWAP))
    bench.run(60)

    assert why in bench.mover.tasks()[0].why
    assert bench.mover.tasks()[0].why.startswith("10 of 10 pages stayed")


def test_nowhere_to_go_is_the_reason_of_a_task(bench: MoverBench) -> None:
    bench.process(pages=10)
    bench.mover.add(Task(pid=50, to=(5,)))
    bench.run(60)

    assert "nowhere to go: node 5: no such memory node here" in bench.mover.tasks()[0].why


def test_what_swap_cannot_give_back_is_explained(bench: MoverBench) -> None:
    bench.process(pages=10).swapped(0, 8).write()
    bench.kernel.unreadable = {3}
    bench.mover.add(Task(pid=50, to=BACK))

    assert bench.mover.tasks()[0].total == 8

    bench.run(60)
    said = bench.mover.tasks()[0]

    assert (said.state, said.moved, said.done) == ("failed", 7, 8)
    assert "1 do not come back" in said.why


def test_a_process_that_exits_ends_its_task_with_a_reason(bench: MoverBench) -> None:
    made = bench.process()
    bench.mover.add(Task(pid=50, to=(1,)))
    made.exit()
    bench.run(1)

    assert [(each.state, each.why) for each in bench.mover.tasks()] == [
        ("failed", "process 50 has ended, or is another program now")
    ]


def test_a_pid_that_is_somebody_else_now_is_left_alone(bench: MoverBench) -> None:
    made = bench.process()
    bench.mover.add(Task(pid=50, to=(1,)))
    made.start_time += 1
    made.write()
    bench.run(1)

    assert on_node(made, 1) == set()
    assert "another program" in bench.mover.tasks()[0].why


def test_a_task_for_nobody_is_refused_at_once(bench: MoverBench) -> None:
    with pytest.raises(errors.Gone):
        bench.mover.add(Task(pid=99, to=(1,)))

    assert (bench.mover.tasks(), bench.woken) == ((), 0)


@pytest.mark.parametrize(("error", "attempts"), [(errors.Busy, tasks.ATTEMPTS), (errors.Refused, 1)])
def test_errors_are_tried_again_if_waiting_may_help(
    bench: MoverBench, error: type[errors.KernelError], attempts: int
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


def test_a_task_without_anything_to_move_is_done(bench: MoverBench) -> None:
    bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 10))
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(1)

    assert (bench.mover.tasks(), bench.mover.state()) == ((), ALL_DONE)


def test_pausing(bench: MoverBench) -> None:
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


def test_a_removed_task_stops(bench: MoverBench) -> None:
    slow = MoverBench(bench.kernel, MoverConfig(interval_ms=10, bandwidth_mib=2))
    made = bench.process(pages=2048)
    number = slow.mover.add(Task(pid=50, to=(1,)))
    slow.run(0.5)
    slow.mover.remove(number)
    slow.run(5)

    assert len(on_node(made, 1)) == 512


def test_file_pages_move_only_if_asked(bench: MoverBench) -> None:
    made = FakeProcess(bench.kernel.root, 50).map(0, 16).map(16, 32, "r--s 00000000 08:01 77 /data/file")
    bench.kernel.add(made.present(0, 16).present(16, 32, bits=1 << 56 | 1 << 61))
    bench.mover.add(Task(pid=50, to=(1,)))
    bench.run(1)
    without = on_node(made, 1)
    bench.mover.add(Task(pid=50, to=(1,), kinds=frozenset({Kind.ANON, Kind.FILE})))
    bench.run(1)

    assert (without, on_node(made, 1)) == (set(range(16)), set(range(32)))


def test_a_sparse_process_is_handled_in_a_few_steps(bench: MoverBench) -> None:
    window = 1 << 17
    made = FakeProcess(bench.kernel.root, 50, pages=np.zeros(window * 4, np.uint64)).map(0, window * 4)
    for i in range(4):
        made.present(i * window, i * window + 2)
    bench.kernel.add(made)
    bench.mover.add(Task(pid=50, to=(1,)))

    assert bench.mover.tasks()[0].total == 8

    bench.run(0.1)

    assert (len(on_node(made, 1)), bench.mover.state()) == (8, ALL_DONE)


# -- a mover with a thread of its own --------------------------------------------------------------------------------


def test_a_mover_of_its_own(kernel: FakeKernel) -> None:
    made = kernel.add(FakeProcess(kernel.root, 50).map(0, 16).present(0, 16))
    now = 0.0
    alone = Standalone(kernel.doors, MoverConfig(), lambda: now, workers=0)
    alone.mover.add(Task(pid=50, to=TO_SWAP))

    assert (alone.mover.state(), alone.scheduler.turn()) == (NOT_RUNNING, False)

    alone.start()
    while alone.scheduler.turn():
        now = max(now, min(alone.scheduler.next_deadline(), now + 1))

    assert np.all(made.pages[:16] == pagemap.SWAPPED)
    assert alone.mover.state() == ALL_DONE

    kernel.before = lambda: 1 // 0  # type: ignore[assignment]
    alone.mover.add(Task(pid=50, to=BACK))
    while alone.scheduler.turn():
        now = max(now, min(alone.scheduler.next_deadline(), now + 1))

    assert alone.mover.state() == ALL_DONE

    kernel.add(FakeProcess(kernel.root, 51).map(0, 16).present(0, 16))
    alone.mover.add(Task(pid=51, to=TO_SWAP))
    while alone.scheduler.turn():
        now += 1

    assert (alone.mover.state(), "ZeroDivisionError" in alone.error) == (NOT_RUNNING, True)
    alone.close()
