"""What reclaim keeps to (swap, disks, floors of others, a task that changes), and what goes wrong."""

import errno
from dataclasses import replace

import pytest

from reconciler.agentconfig import AgentTask, Kept, PsiConfig, Slo
from reconciler.model import BrakeLimits
from sysfs import errors
from tests.agent.fake_workload import MIB, Disk, FakeWorkload, Part
from tests.agent.reclaim_run import HOUR, TASK, a_gigabyte, configured, started

# -- swap --------------------------------------------------------------------------------------------------------------


def test_a_disk_is_written_to_no_faster_than_it_may_be() -> None:
    fake = FakeWorkload(disk=Disk(name="/dev/vdb"))
    fake.add(Part(100 * MIB, every=3))
    fake.add(Part(1500 * MIB))
    run = started(fake, configured(write_bytes_per_sec=256 << 10))
    begun, worst = {0: fake.swapped_out}, 0
    for minute in range(1, 61):
        run.pass_by(60)
        begun[minute] = fake.swapped_out
        worst = max(worst, begun[minute] - begun[minute - 1])

    assert 0 < worst * 4096 <= 60 * (256 << 10) + 1 * MIB
    assert fake.swapped_out * 4096 > 400 * MIB, "the limit slows it down, it does not stop it"


def test_others_that_write_to_swap_count() -> None:
    fake = FakeWorkload(disk=Disk(name="/dev/vdb"))
    fake.add(Part(500 * MIB))
    run = started(fake)
    for _ in range(300):
        fake.foreign_out += 1024
        run.pass_by(1)
    begun = fake.swapped_out
    for _ in range(300):
        fake.foreign_out += 1024
        run.pass_by(1)

    assert fake.swapped_out == begun
    assert "the node writes 4M/s to swap (limit 1M/s)" in run.now.reason


def test_where_swap_is_full_page_cache_alone_leaves() -> None:
    fake = a_gigabyte()
    fake.swap_taken = int(0.85 * fake.disk.size)
    run = started(fake)
    run.pass_by(2 * HOUR)

    assert fake.swapped_out == 0
    assert run.now.taken_file_bytes > 190 * MIB
    assert {text.split()[-1] for _, text in fake.asked} == {"swappiness=0"}


def test_swap_is_not_filled_above_its_share() -> None:
    fake = a_gigabyte()
    fake.disk.size = 400 * MIB
    run = started(fake)
    run.pass_by(3 * HOUR)

    assert 100 * MIB < fake.swap <= 0.8 * fake.disk.size + MIB


def test_a_kernel_that_takes_no_swappiness() -> None:
    fake = a_gigabyte()
    fake.takes_swappiness = False
    run = started(fake)
    run.pass_by(HOUR)
    assert fake.usage < 1.1 * fake.working_set()

    fake.swap_taken = int(0.85 * fake.disk.size)
    begun = fake.swapped_out
    fake.add(Part(200 * MIB))
    run.pass_by(HOUR)
    assert fake.swapped_out == begun
    assert "cannot be told to take page cache only" in run.now.reason


# -- what is not done --------------------------------------------------------------------------------------------------


def test_without_cgroup_v2_that_is_said() -> None:
    run = started(a_gigabyte(), mount="")
    run.pass_by(10)

    assert run.now.error == "/shop: cgroup v2 is not mounted with a memory controller"


@pytest.mark.parametrize(
    "task",
    [
        AgentTask(reclaims=(TASK,), observe=True),
        AgentTask(reclaims=(replace(TASK, observe=True),), kept=(Kept(cgroup="/shop", reason="only observes"),)),
    ],
    ids=["all", "one"],
)
def test_observing_counts_and_takes_nothing(task: AgentTask) -> None:
    fake = a_gigabyte()
    run = started(fake, task)
    before = fake.usage
    run.pass_by(2 * HOUR)

    assert (fake.usage, fake.asked) == (before, [])
    assert run.now.would_take_bytes > 100 * MIB
    assert (run.now.steps, run.now.taken_bytes) == (0, 0)

    run.part.change(AgentTask(reclaims=(TASK,)))
    run.due = 0
    run.pass_by(HOUR)
    assert fake.usage < 1.1 * fake.working_set()


@pytest.mark.parametrize(
    ("cgroup", "kept"), [("/shop", True), ("/", True), ("/shop/db", True), ("/shop2", False), ("/other", False)]
)
def test_what_is_kept_is_left_alone(cgroup: str, kept: bool) -> None:
    task = replace(AgentTask(reclaims=(TASK,)), kept=(Kept(cgroup=cgroup, reason="pinned by the kubelet"),))
    run = started(a_gigabyte(), task)
    run.pass_by(100)

    assert bool(run.fake.asked) is not kept
    if kept:
        assert (run.now.state, run.now.reason) == ("waiting", f"nothing is taken from {cgroup}: pinned by the kubelet")


def test_where_something_below_is_kept_nothing_at_all_is_written() -> None:
    """Neither is it aged, nor is its memory.reclaim asked what it takes."""
    fake, written = a_gigabyte(), list[str]()
    fake.write = lambda path, text: written.append(f"{path}: {text}")  # type: ignore[method-assign]
    task = replace(configured(slo=Slo.PROMOTION), kept=(Kept(cgroup="/shop/db", reason="pinned by the kubelet"),))
    started(fake, task).pass_by(200)

    assert written == []


def test_brakes_are_asked_each_time() -> None:
    limits = [BrakeLimits()]
    run = started(a_gigabyte(), brakes=lambda: limits[0])
    run.pass_by(60)
    limits[0] = BrakeLimits(pressure_percent=0)
    run.pass_by(20)
    before = len(run.fake.asked)
    run.pass_by(600)

    assert len(run.fake.asked) == before > 0


@pytest.mark.parametrize("required", [True, False])
def test_a_kernel_without_psi(required: bool) -> None:
    fake = a_gigabyte()
    fake.psi = False
    run = started(fake, replace(AgentTask(reclaims=(TASK,)), psi=PsiConfig(required=required)))
    run.pass_by(2 * HOUR)

    assert (fake.usage < 1.1 * fake.working_set()) is not required


# -- it goes wrong -----------------------------------------------------------------------------------------------------


def test_a_cgroup_that_goes_and_one_that_takes_its_place() -> None:
    run = started(a_gigabyte())
    run.pass_by(300)
    run.fake.gone = True
    run.pass_by(20)
    assert (run.now.state, run.now.reason) == ("gone", "the cgroup is gone")

    run.fake.gone, run.fake.inode_number = False, 8
    run.pass_by(120)
    assert run.now.state == "probing"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOENT, "this kernel has no memory.reclaim (Linux 5.19)"),
        (errno.EACCES, "Permission denied"),
        (errno.EINTR, "Interrupted"),
    ],
)
def test_what_the_kernel_refuses_is_said_and_tried_again(number: int, said: str) -> None:
    fake = a_gigabyte()
    working, broken = fake.write, [True]

    def write(path: str, text: str) -> None:
        if broken[0]:
            raise errors.of(OSError(number, {errno.EACCES: "Permission denied"}.get(number, "Interrupted")), path)
        working(path, text)

    fake.write = write  # type: ignore[method-assign]
    run = started(fake)
    run.pass_by(60)
    assert run.now.state == "waiting"
    assert said in run.now.error

    broken[0] = False
    run.pass_by(120)
    assert (run.now.state, run.now.error) == ("probing", "")


def test_a_step_ends_when_the_task_changes() -> None:
    fake = FakeWorkload()
    fake.add(Part(4096 * MIB))
    run = started(fake, configured(step_percent=1.0))
    fake.on_reclaim = lambda: run.part.change(AgentTask())
    run.pass_by(12)

    assert [text.split()[0] for _, text in fake.asked] == [str(8 * MIB)]
    run.pass_by(12)
    assert run.part.report().workloads == ()


def test_a_step_ends_at_its_deadline() -> None:
    fake = FakeWorkload()
    fake.add(Part(4096 * MIB))
    run = started(fake, configured(step_percent=1.0))
    fake.on_reclaim = lambda: fake.advance(2)  # a slow disk
    run.pass_by(12)

    assert len(fake.asked) == 2


def test_stopped_it_takes_no_more_and_never_comes_again() -> None:
    run = started(a_gigabyte())
    run.pass_by(60)
    run.part.stop()

    assert run.part.run(run.fake.now) == float("inf")


def test_without_workloads_it_never_comes() -> None:
    run = started(a_gigabyte(), AgentTask())

    assert run.part.run(run.fake.now) == float("inf")
