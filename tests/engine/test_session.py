"""One workload's loop, from its processes to verified page-out, on a fake kernel."""

import logging
import mmap
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reconciler.engine import stats
from reconciler.engine.figures import Book
from reconciler.engine.processes import Process
from reconciler.engine.regions import Regions
from reconciler.engineconfig import AgeConfig, HeatConfig, MoverConfig, PolicyConfig
from reconciler.model import BrakeLimits, EngineSettings, Feature, Features
from reconciler.report import EngineReport
from sysfs import pagemap
from sysfs.errors import Refused
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_process import PAGE, FakeKernel, FakeProcess

FILE_MAPPING = "r--s 00000000 08:01 77 /data/file"
MIB = 1 << 20


def app(kernel: FakeKernel, pid: int = 50) -> FakeProcess:
    """A mapping in use (0..32) and an idle one (64..96)."""
    process = FakeProcess(kernel.root, pid, referenced={0}).map(0, 32).map(64, 96)
    return kernel.add(process.present(0, 32).present(64, 96))


def report(bench: Bench) -> EngineReport:
    found = bench.engine.report("w")
    assert found is not None
    return found


def pages(size: int) -> float:
    return size / PAGE


def test_the_idle_mapping_leaves_and_the_used_one_stays(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(6)
    said = report(bench)

    assert {(first, last) for _, first, last in bench.kernel.advised} == {(64, 96)}
    assert pages(said.paged_out_bytes) == pages(said.advised_bytes) == 32
    assert (said.brake, said.error, said.processes) == ("", "", 1)
    assert said.task == bench.task().fingerprint()


def test_memory_that_is_swapped_out_completely_still_counts(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(30)

    assert pages(report(bench).tracked_bytes) == 64
    assert pages(report(bench).idle_bytes) == 32
    assert report(bench).came_back_bytes == 0


def test_measuring_moves_nothing(bench: Bench) -> None:
    app(bench.kernel)
    measure = replace(CONFIG, policy=AgeConfig(interval_ms=1000))
    bench.engine.start(bench.task(config=measure))
    bench.run(30)

    assert bench.kernel.advised == []
    assert pages(report(bench).idle_bytes) == 32
    assert report(bench).brake == "", "whoever only measures needs no swap"


def test_page_out_without_effect_is_not_counted_and_asked_less_often(bench: Bench) -> None:
    app(bench.kernel).map(1024, 2048).present(1024, 2048).write()
    bench.kernel.effect = False
    bench.engine.start(bench.task())
    bench.run(40)
    said = report(bench)

    assert said.paged_out_bytes == 0
    assert said.advised_bytes > 0
    asked = [first for _, first, _ in bench.kernel.advised].count(64)
    assert 4 <= asked <= 20, "about 1, 2, 4, 8 ... turns apart, two attempts each"
    assert report(bench).notes[-1].startswith("4 MiB do not leave")


def test_pages_that_others_map_too_are_not_even_asked_for(bench: Bench) -> None:
    process = app(bench.kernel)
    process.present(64, 80, bits=0).write()  # a forked child has these, too
    bench.engine.start(bench.task())
    bench.run(6)

    assert {(first, last) for _, first, last in bench.kernel.advised} == {(80, 96)}
    assert pages(report(bench).paged_out_bytes) == 16


@pytest.mark.parametrize(
    ("size", "used", "said"), [(0, 0, "no swap on this node"), (100 * MIB, 95 * MIB, "swap is 95 % full")]
)
def test_without_room_in_swap_nothing_is_asked_for_and_the_reason_said(
    bench: Bench, size: int, used: int, said: str
) -> None:
    app(bench.kernel)
    bench.kernel.swap(size, used)
    bench.engine.start(bench.task())
    bench.run(10)

    assert bench.kernel.advised == []
    assert said in report(bench).brake


def test_a_closed_swap_limit_of_the_cgroup_is_said(bench: Bench) -> None:
    app(bench.kernel)
    folder = bench.kernel.root / "cg"
    folder.mkdir()
    for name, text in {"cgroup.procs": "50\n", "cgroup.events": "populated 1\n", "memory.swap.max": "0\n"}.items():
        (folder / name).write_text(text)
    bench.engine.start(bench.task(pids=(), cgroups=("/cg",)))
    bench.run(10)

    assert (report(bench).processes, bench.kernel.advised) == (1, [])
    assert "memory.swap.max is 0" in report(bench).brake

    (folder / "memory.swap.max").write_text("max\n")
    bench.run(3)

    assert pages(report(bench).paged_out_bytes) == 32
    assert report(bench).brake == ""


def test_what_comes_back_is_counted_and_brakes(bench: Bench) -> None:
    process = app(bench.kernel)
    process.map(1024, 2048).present(1024, 2048).write()
    bench.engine.start(bench.task())
    bench.run(6)
    process.present(1024, 2048).write()  # used again
    bench.run(2)

    assert pages(report(bench).came_back_bytes) == 1024
    assert "refaults: 97.0 % of what was out came back" in report(bench).brake

    count = len(bench.kernel.advised)
    bench.run(50)

    assert len(bench.kernel.advised) == count, "a minute's rest"


def test_a_process_that_exits_while_it_is_paged_out_is_normal(bench: Bench) -> None:
    dying, living = app(bench.kernel, 50), app(bench.kernel, 51)

    def die() -> None:
        if dying.folder.exists():
            dying.exit()

    bench.kernel.before = die
    bench.engine.start(bench.task())
    bench.run(10)

    assert (report(bench).processes, report(bench).error, bench.wakes) == (1, "", [])
    assert living.folder.exists()
    assert "w" in bench.engine.running()


def test_a_pid_that_was_given_to_another_process_starts_afresh(bench: Bench) -> None:
    process = app(bench.kernel)
    folder = bench.kernel.root / "cg"
    folder.mkdir()
    (folder / "cgroup.procs").write_text("50\n")
    bench.engine.start(bench.task(pids=(), cgroups=("/cg",)))
    bench.run(1.5)
    process.start_time = 999
    process.write()
    bench.run(2)

    assert bench.kernel.advised == [], "the newcomer was looked at for less than two seconds"

    bench.run(4)

    assert pages(report(bench).paged_out_bytes) == 32


def test_ages_do_not_survive_exec(bench: Bench) -> None:
    """Pid and start time do, and the new program may have mappings at the same addresses."""
    process = app(bench.kernel)
    slow = replace(CONFIG, watcher=replace(CONFIG.watcher, interval_ms=60_000))
    bench.engine.start(bench.task(config=slow))
    bench.run(1.5)
    process.layout = 999
    process.write()
    bench.run(10)

    assert bench.kernel.advised == [], "nobody has looked at this memory yet"


@pytest.mark.parametrize("named", [False, True])
def test_never_managed_unless_named(bench: Bench, named: bool) -> None:
    process = app(bench.kernel)
    process.comm = "kubelet"
    process.write()
    bench.engine.start(bench.task(named=named))
    bench.run(10)
    said = report(bench)

    assert (said.processes, bool(bench.kernel.advised)) == ((1, True) if named else (0, False))
    assert any("process 50 is left alone: kubelet" in note for note in said.notes) != named


def test_a_container_starter_is_managed_once_it_has_become_the_program(bench: Bench) -> None:
    process = app(bench.kernel)
    process.comm = "runc:[2:INIT]"
    process.write()
    bench.engine.start(bench.task())
    bench.run(3)

    assert report(bench).processes == 0

    process.comm = "app"
    process.write()
    bench.run(2)

    assert report(bench).processes == 1


def test_files_leave_only_where_asked_and_where_nothing_proves_it_they_do_not_count(bench: Bench) -> None:
    process = app(bench.kernel)
    process.map(128, 160, FILE_MAPPING).present(128, 160, bits=1 << 56 | 1 << 61).write()
    bench.engine.start(bench.task(page_types=("file",)))
    bench.run(4)

    assert {(first, last) for _, first, last in bench.kernel.advised} == {(128, 160)}
    assert report(bench).paged_out_bytes == 0, "there is no map_files here to look at the page cache through"


FILESYSTEMS = """\
24 1 8:1 / / rw - ext4 /dev/sda1 rw
25 24 0:50 / /net rw shared:7 - nfs4 server:/ rw
26 24 0:51 / /own rw - fuse.sshfs me rw
27 24 0:52 / /dos rw - cifs //server/x rw
28 24 0:53 / /disk rw - fuseblk /dev/sdb rw
29 24 0:60 / /union rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("device", "leaves"),
    [
        ("08:01", True),
        ("00:3c", True),
        ("00:77", True),
        ("00:32", False),
        ("00:33", False),
        ("00:34", False),
        ("00:35", False),
        ("00:46", False),
    ],
)
def test_files_that_a_server_has_are_left_alone(bench: Bench, device: str, leaves: bool) -> None:
    """Verifying opens the file, and that may wait for ever, for a server that is down or for the workload itself."""
    process = FakeProcess(bench.kernel.root, 50).map(0, 32, f"r--s 00000000 {device} 77 /x/file")
    process.map(64, 96, f"rw-p 00000000 {device} 77 /x/file")
    bench.kernel.add(process.present(0, 32, bits=1 << 56 | 1 << 61).present(64, 96))
    (process.folder / "mountinfo").write_text(FILESYSTEMS)
    host = bench.kernel.root / "proc/1"
    host.mkdir()
    (host / "mountinfo").write_text("30 1 0:70 / /snapshots rw - fuse.stargz stargz rw\n")
    bench.engine.start(bench.task(page_types=("anon", "file")))
    bench.run(4)

    own_copy = {(64, 96)}
    assert {(first, last) for _, first, last in bench.kernel.advised} == ({(0, 32)} if leaves else set()) | own_copy


def test_a_file_system_that_was_mounted_later_is_known_too(bench: Bench) -> None:
    process = app(bench.kernel)
    bench.engine.start(bench.task(page_types=("file",)))
    bench.run(0.5)
    (process.folder / "mountinfo").write_text(FILESYSTEMS)
    process.map(128, 160, "r--s 00000000 00:33 77 /own/file").present(128, 160, bits=1 << 56 | 1 << 61).write()
    bench.run(10)

    assert (report(bench).tracked_bytes, bench.kernel.advised) == (0, [])


def test_a_loop_that_hangs_in_the_kernel_is_said(bench: Bench) -> None:
    app(bench.kernel)
    during: list[str] = []

    def hang() -> None:
        bench.now += 50
        during.append(report(bench).error)

    bench.kernel.before = hang
    bench.engine.start(bench.task())
    bench.run(6)

    assert "lasted for 50 s" in during[0]
    assert report(bench).error == ""


def test_shared_memory_devices_and_gaps_are_left_alone(bench: Bench) -> None:
    process = FakeProcess(bench.kernel.root, 50)
    for i, rest in enumerate(
        [
            "rw-s 00000000 00:01 7 /memfd:x (deleted)",
            "rw-s 00000000 00:01 7 /dev/zero (deleted)",
            "rw-s 00000000 00:05 7 /dev/shm/x",
            "rw-p 00000000 00:0f 7 /anon_hugepage (deleted)",
            "---p 00000000 00:00 0",
            "r--p 00000000 00:00 0 [vvar]",
            "rw-s 00000000 00:2a 7 /run/tmpfs-file",
        ]
    ):
        process.map(i * 32, i * 32 + 16, rest)
    bench.kernel.add(process.present(0, 224))
    (process.folder / "mountinfo").write_text("24 1 0:42 / /run rw - tmpfs tmpfs rw\n")
    bench.engine.start(bench.task(page_types=("anon", "file")))
    bench.run(10)

    assert (report(bench).tracked_bytes, bench.kernel.advised) == (0, [])


def test_a_mapping_that_grows_keeps_its_ages(bench: Bench) -> None:
    process = app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(1.5)
    process.mappings[1] = (64, 112, "rw-p 00000000 00:00 0")
    process.present(96, 112).write()
    bench.run(1.6)

    assert {(first, last) for _, first, last in bench.kernel.advised} == {(64, 96)}


def test_a_dying_loop_is_reported_and_wakes(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task("idlepage"))  # this kernel has no bitmap
    bench.run(1)

    assert bench.engine.running() == {}
    assert "page_idle/bitmap" in report(bench).error
    assert bench.wakes == [f"engine w: {report(bench).error}"]

    bench.engine.stop("w")

    assert bench.engine.report("w") is None


def test_a_tracker_that_this_kernel_cannot_have_ends_with_the_reason(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task("damon"))
    bench.run(1)

    assert report(bench).error == "this kernel has no DAMON with a sysfs interface (CONFIG_DAMON_SYSFS)"


def test_an_unknown_tracker_is_said(bench: Bench) -> None:
    bench.engine.start(bench.task("guess"))

    assert report(bench).error.startswith("tracker 'guess' is none of ")


def test_routines_hand_over_memtierds_table(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(3)
    workload, text = bench.outputs[0]

    assert workload == "w"
    assert text.splitlines()[0] == "table: time since last access"
    assert text.splitlines()[2] == "      50         0.000        1.000       32    0.000     50.00"
    assert bench.engine.accessed("w", (0, 1, 0)).text() + "\n" == text, "whole lines: the next table follows"


def half_seconds() -> Callable[[], float]:
    """Every other call ends some work: half a second each."""
    ticks = iter(range(1_000_000))
    return lambda: next(ticks) * 0.5


@pytest.mark.parametrize("page_size", [4096, 16384])
def test_statistics_count_pages_of_this_machine(page_size: int) -> None:
    book = Book()
    figures = book.figures((50, 1, ()), 0)
    figures.scanned(1 << 18, 1 << 16, 0.5)
    figures.paged_out(3 * page_size, 2 * page_size)
    tables = stats.answer(("-t", "process_madvise,memory_scans"), book, page_size, 0)

    assert "      50        1          3          2    0.000" in tables
    assert f"      50        1       262144  0.500  0.500  0.500 {page_size / 4096:8.3f}" in tables


def test_strangers_names_do_not_forge_log_lines(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    app(bench.kernel)
    bench.kernel.swap(0)
    name = "a\nevent=forged"
    with caplog.at_level(logging.INFO, "ebbtide"):
        bench.engine.start(replace(bench.task(), workload=name))
        bench.run(3)
        bench.engine.start(replace(bench.task("idlepage"), workload=name))
        bench.run(3)
    lines = caplog.messages

    assert [line.partition(" ")[0] for line in lines] == ["event=page-out-braked", "event=tracking-ended"]
    assert all('workload="a\\nevent=forged"' in line for line in lines)


def test_what_stays_a_little_longer_is_not_called_stuck(bench: Bench) -> None:
    """Pages under writeback, for example."""
    app(bench.kernel).map(1024, 2048).present(1024, 2048).write()
    bench.kernel.effect = False
    bench.engine.start(bench.task())
    notes: set[str] = set()
    for _ in range(60):
        bench.run(0.1)
        notes |= set(report(bench).notes)

    assert len(bench.kernel.advised) >= 4
    assert not any("do not leave" in note for note in notes)


def test_scanning_stays_within_the_cpu_budget(kernel: FakeKernel) -> None:
    app(kernel)
    bench = Bench(kernel, settings=EngineSettings(cpu_percent=10), cpu_clock=half_seconds())
    bench.engine.start(bench.task())
    bench.run(60)
    said = report(bench)

    assert 3 <= said.scans <= 5, "a tenth of a CPU allows to watch, scan and decide for 1.5 seconds every fifteen"
    assert any("put off" in note for note in said.notes)
    bench.engine.close()


@pytest.mark.parametrize("before", [0, 0.1])
def test_a_larger_cpu_budget_counts_at_once(kernel: FakeKernel, before: float) -> None:
    app(kernel)
    bench = Bench(kernel, settings=EngineSettings(cpu_percent=before), cpu_clock=half_seconds())
    bench.engine.start(bench.task())
    bench.run(30)
    scans = report(bench).scans
    bench.engine.update(bench.features, EngineSettings(cpu_percent=100))
    bench.run(10)

    assert scans == 0, "the first look at the process was too much already"
    assert report(bench).scans >= 5
    bench.engine.close()


def test_bandwidth_zero_moves_nothing_and_says_so(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task(config=replace(CONFIG, mover=MoverConfig(interval_ms=10, bandwidth_mib=0))))
    bench.run(10)

    assert bench.kernel.advised == []
    assert report(bench).brake == "mover bandwidth is 0: nothing is moved"


def test_stop_and_start_again(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(1)
    bench.engine.stop("w")
    bench.run(10)

    assert (bench.engine.running(), bench.engine.report("w"), bench.kernel.advised) == ({}, None, [])

    task = bench.task(brakes=BrakeLimits(refault_percent=100))
    bench.engine.start(task)

    assert bench.engine.running() == {"w": task}


def test_a_loop_that_fails_while_it_is_being_stopped_leaves_nothing_behind(bench: Bench) -> None:
    app(bench.kernel)

    def stop_and_fail() -> None:
        bench.engine.stop("w")
        raise RuntimeError("why")

    bench.kernel.before = stop_and_fail
    bench.engine.start(bench.task())
    bench.run(6)
    bench.engine.start(replace(bench.task(), workload="other"))
    bench.run(1)
    other = bench.engine.report("other")

    assert other is not None
    assert (other.processes, other.notes[1:]) == (1, ())


def test_the_idle_bitmap_finds_pages_not_mappings(kernel: FakeKernel) -> None:
    kernel.idle_bitmap()
    works = Feature(name="idle-page", works=True, detail="")
    bench = Bench(kernel, features=Features(kernel="fake", page_size=PAGE, features={"idle-page": works}))
    process = kernel.add(FakeProcess(kernel.root, 50).map(0, 64).present(0, 64))
    bench.engine.start(bench.task("idlepage"))
    for _ in range(6):
        bench.run(1)
        kernel.access(0, 20)  # frames of the first two regions

    assert {(first, last) for _, first, last in kernel.advised} == {(32, 64)}
    assert process.folder.exists()
    bench.engine.close()


def test_a_process_has_one_tracker_only(bench: Bench) -> None:
    """Two loops would clear the marks that the other waits for: from the first moment, not from the second watch."""
    app(bench.kernel)
    config = replace(CONFIG, watcher=replace(CONFIG.watcher, interval_ms=5000))
    bench.engine.start(bench.task(config=config))
    bench.engine.start(replace(bench.task(config=config), workload="other"))
    bench.run(0.5)
    other = bench.engine.report("other")

    assert other is not None
    assert (report(bench).processes, other.processes) == (1, 0)
    assert "process 50 is left alone: workload w tracks it" in other.notes

    bench.engine.stop("w")
    bench.run(6)
    other = bench.engine.report("other")

    assert other is not None
    assert other.processes == 1


@pytest.mark.parametrize("has_kcmp", [True, False])
@pytest.mark.parametrize("workload", ["w", "other"])
def test_memory_that_two_processes_share_has_one_tracker(bench: Bench, workload: str, has_kcmp: bool) -> None:
    """Each look clears the marks of the whole memory: the second process would look idle."""
    app(bench.kernel, 50), app(bench.kernel, 51)
    bench.kernel.one_memory, bench.kernel.has_kcmp = {50, 51}, has_kcmp
    for process in bench.kernel.processes.values():
        process.layout = 7
        process.write()
    bench.engine.start(bench.task(pids=(50, 51) if workload == "w" else (50,)))
    if workload != "w":
        bench.engine.start(replace(bench.task(pids=(51,)), workload=workload))
    bench.run(3)
    second = bench.engine.report(workload)

    assert second is not None
    assert second.processes == (1 if workload == "w" else 0)
    assert "process 51 is left alone: process 50 of workload w has the same memory, once is enough" in second.notes

    bench.kernel.processes[50].exit()
    bench.run(3)
    second = bench.engine.report(workload)

    assert second is not None
    assert second.processes == 1
    assert not any("left alone" in note for note in second.notes)


def test_forked_copies_are_tracked_each(bench: Bench) -> None:
    for pid in (50, 51):
        process = app(bench.kernel, pid)
        process.layout = 7
        process.write()
    bench.engine.start(bench.task())
    bench.run(3)

    assert report(bench).processes == 2


def test_a_refusal_of_the_kernel_is_said_and_the_loop_lives(bench: Bench) -> None:
    app(bench.kernel)

    def refuse() -> None:
        raise Refused(1, "Operation not permitted", "process 50 (process_madvise)")

    bench.kernel.before = refuse
    bench.engine.start(bench.task())
    bench.run(10)

    assert "process_madvise" in report(bench).error
    assert "w" in bench.engine.running()


def test_a_tracker_that_may_not_look_is_said_and_the_loop_lives(bench: Bench) -> None:
    process = app(bench.kernel)
    (process.folder / "clear_refs").unlink()
    (process.folder / "clear_refs").mkdir()
    bench.engine.start(bench.task())
    bench.run(3)

    assert "clear_refs" in report(bench).error
    assert "w" in bench.engine.running()


def unreadable(process: FakeProcess, name: str) -> None:
    (process.folder / name).unlink()
    (process.folder / name).mkdir()


def readable(process: FakeProcess, name: str) -> None:
    (process.folder / name).rmdir()
    process.write()


@pytest.mark.parametrize("name", ["stat", "smaps", "maps", "pagemap"])
def test_a_look_that_fails_once_costs_no_ages(bench: Bench, name: str) -> None:
    process = app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(1.5)
    unreadable(process, name)
    bench.run(1)
    notes = report(bench).notes
    readable(process, name)
    bench.run(1)

    assert any("process 50 cannot be looked at" in note and name in note for note in notes)
    assert not any("cannot be looked at" in note for note in report(bench).notes)
    assert {(first, last) for _, first, last in bench.kernel.advised} == {(64, 96)}, "idle since it is known"


def test_looks_that_always_fail_end_the_tracking_of_a_process(bench: Bench) -> None:
    process = app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(1.5)
    unreadable(process, "smaps")
    bench.run(1)
    first = report(bench).processes
    bench.run(5)
    (process.folder / "clear_refs").unlink()  # so that it is not adopted again
    bench.run(1)

    assert (first, report(bench).processes) == (1, 0)
    assert "50" in report(bench).error


def test_a_process_that_nobody_may_know_is_said(bench: Bench) -> None:
    unreadable(app(bench.kernel), "stat")
    bench.engine.start(bench.task())
    bench.run(3)

    assert "stat" in report(bench).error
    assert any("process 50 cannot be looked at" in note for note in report(bench).notes)


@pytest.mark.parametrize("path", ["cg/cgroup.procs", "proc/swaps"])
def test_a_list_that_cannot_be_read_for_a_moment_costs_no_ages(bench: Bench, path: str) -> None:
    app(bench.kernel)
    folder = bench.kernel.root / "cg"
    folder.mkdir()
    (folder / "cgroup.procs").write_text("50\n")
    bench.engine.start(bench.task(pids=(), cgroups=("/cg",)))
    bench.run(1.5)
    file = bench.kernel.root / path
    text = file.read_text()
    file.unlink()
    file.mkdir()
    bench.run(1)
    said = report(bench)
    file.rmdir()
    file.write_text(text)
    bench.run(1)

    assert file.name in said.error + said.brake
    assert (report(bench).processes, report(bench).error, report(bench).brake) == (1, "", "")
    assert {(first, last) for _, first, last in bench.kernel.advised} == {(64, 96)}


def test_marks_of_a_look_that_failed_are_not_lost(kernel: FakeKernel) -> None:
    """What was seen accessed before it failed must look accessed again."""
    kernel.idle_bitmap()
    bench = Bench(kernel)
    process = kernel.add(FakeProcess(kernel.root, 50).map(0, 64).present(0, 64))
    bench.engine.start(bench.task("idlepage"))
    bench.run(0.5)
    kernel.access(0, 20)
    process.pages[32:64] &= ~np.uint64(pagemap.PFN)  # the second piece fails: no frame numbers
    process.mappings = [(0, 32, "rw-p 00000000 00:00 0"), (33, 64, "rw-p 00000000 00:00 0")]
    process.write()
    bench.run(1)

    assert any("hides page frame numbers" in note for note in report(bench).notes)
    assert not kernel.idle() & set(range(20))
    bench.engine.close()


def test_paused_engines_measure_and_move_nothing(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.update(bench.features, bench.settings, paused=True)
    bench.engine.start(bench.task())
    bench.run(10)

    assert bench.kernel.advised == []
    assert pages(report(bench).idle_bytes) == 32


@pytest.mark.parametrize("tracker", ["referenced", "softdirty", "idlepage"])
def test_no_loop_outlives_a_vanished_proc(kernel: FakeKernel, tracker: str) -> None:
    """Everything disappears between two looks, again and again."""
    kernel.idle_bitmap()
    bench = Bench(kernel)
    bench.engine.start(bench.task(tracker, pids=(50, 51)))
    for turn in range(12):
        process = app(kernel, 50 + turn % 2)
        bench.run(1.3)
        process.exit()
        bench.run(0.4)

    assert "w" in bench.engine.running()
    assert report(bench).error == ""
    bench.engine.close()


def test_softdirty_counts_what_was_written(bench: Bench) -> None:
    process = FakeProcess(bench.kernel.root, 50).map(0, 64)
    bench.kernel.add(process.present(0, 64).present(0, 4, bits=1 << 56 | 1 << 55))
    bench.engine.start(bench.task("softdirty"))
    bench.run(6)

    assert {(first, last) for _, first, last in bench.kernel.advised} == {(16, 64)}
    assert "does not see reads" in report(bench).notes[0]
    assert (process.folder / "clear_refs").read_text() == "4"


@pytest.mark.parametrize("pages_in_region", [16, 512])
@pytest.mark.parametrize("interval_ms", [10, 300])
def test_the_bandwidth_holds_for_few_and_for_many_regions(bench: Bench, pages_in_region: int, interval_ms: int) -> None:
    bench.kernel.add(FakeProcess(bench.kernel.root, 50).map(0, 4096).present(0, 4096))
    config = replace(
        CONFIG,
        tracker=replace(CONFIG.tracker, pages_in_region=pages_in_region),
        mover=MoverConfig(interval_ms=interval_ms, bandwidth_mib=1),
        policy=replace(CONFIG.policy, interval_ms=60_000),
    )
    bench.engine.start(bench.task(config=config))
    bench.run(60)  # the decision
    begin = report(bench).advised_bytes
    bench.run(10)
    moved = report(bench).advised_bytes - begin

    assert moved / MIB == pytest.approx(10, abs=pages_in_region * PAGE / MIB + 0.5)
    assert report(bench).paged_out_bytes == report(bench).advised_bytes


def test_large_sparse_regions_are_paged_out_in_little_memory(bench: Bench) -> None:
    window, number = 1 << 18, 8
    process = FakeProcess(bench.kernel.root, 50, pages=np.zeros(window * number, np.uint64)).map(0, window * number)
    for i in range(number):
        process.present(i * window, i * window + 1)
    bench.kernel.add(process)
    config = replace(CONFIG, tracker=replace(CONFIG.tracker, pages_in_region=window))
    bench.engine.start(bench.task(config=config))
    bench.run(1.5)
    peaks: list[int] = []
    bench.kernel.before = lambda: peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.start()
    bench.run(1)
    tracemalloc.stop()

    assert peaks[0] < process.pages.nbytes // 2
    assert pages(report(bench).paged_out_bytes) == number


def test_the_longest_idle_leaves_first(bench: Bench) -> None:
    process = app(bench.kernel)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=replace(CONFIG.policy, interval_ms=9_500))))
    bench.run(4)
    process.referenced = {1}
    process.write()
    bench.run(1)
    process.referenced = set()
    process.write()
    bench.run(5)

    assert [first for _, first, _ in bench.kernel.advised] == [0, 64]


@pytest.mark.parametrize(
    ("mappings", "referenced"),
    [
        ([(0, 32), (64, 72), (72, 96)], {0, 2}),  # split by mprotect: the hot part is not the first
        ([(0, 32), (64, 72), (80, 96)], {0}),  # a piece was unmapped, nobody knows what was used in it
        ([(0, 32), (72, 96)], {0}),
    ],
)
def test_a_mapping_that_was_split_between_surveys_is_in_use_if_a_part_is(
    bench: Bench, mappings: list[tuple[int, int]], referenced: set[int]
) -> None:
    process = app(bench.kernel)
    tracker = replace(CONFIG.tracker, pages_in_region=64, regions_update_ms=60_000)
    bench.engine.start(bench.task(config=replace(CONFIG, tracker=tracker)))
    bench.run(0.5)
    process.mappings = [(first, last, "rw-p 00000000 00:00 0") for first, last in mappings]
    process.referenced = referenced
    process.write()
    bench.run(10)

    assert bench.kernel.advised == []


def test_a_range_never_reaches_over_two_mappings(bench: Bench) -> None:
    """One of them may be locked, and then the kernel refuses all of the range."""
    process = FakeProcess(bench.kernel.root, 50).map(0, 20).map(20, 64)
    bench.kernel.add(process.present(0, 64))
    bench.engine.start(bench.task())
    bench.run(6)

    assert {(first, last) for _, first, last in bench.kernel.advised} == {(0, 20), (20, 64)}


def test_large_blocks_go_back_at_once() -> None:
    """In a process of its own, where nothing else has taught the allocator to keep them."""
    code = (
        "from sysfs import allocator; import ctypes; allocator.return_large_blocks(); libc = ctypes.CDLL(None);"
        "libc.malloc.restype = ctypes.c_void_p; libc.free.argtypes = [ctypes.c_void_p];"
        "rss = lambda: int(open('/proc/self/statm').read().split()[1]);"
        "libc.free(libc.malloc(20 << 20));"  # from here on the C library would keep blocks of up to 20 MiB
        "held = [libc.malloc(1 << 20) for _ in range(16)]; [ctypes.memset(each, 1, 1 << 20) for each in held];"
        "before = rss(); [libc.free(each) for each in held[:-1]]; print(before - rss())"
    )
    freed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert int(freed) * mmap.PAGESIZE > 14 << 20


class Changing:
    """A process whose columns its loop replaces between any two reads of another thread."""

    def __init__(self, known: Process) -> None:
        self._known, self._reads = known, 0

    @property
    def regions(self) -> Regions:
        self._reads += 1
        return self._known.regions[self._reads % 2 :]

    def __getattr__(self, name: str) -> object:
        return getattr(self._known, name)


@pytest.mark.parametrize("policy", [CONFIG.policy, HeatConfig(interval_ms=1000, nodes=((0, (1,)),))])
def test_reports_and_dumps_are_of_one_moment(bench: Bench, policy: PolicyConfig) -> None:
    bench.kernel.nodes.add(0, 10_000, (10,), cpu=True)
    bench.kernel.nodes.add(1, 10_000, (20, 10))
    app(bench.kernel)
    bench.engine.start(bench.task(config=replace(CONFIG, policy=policy)))
    bench.run(6)
    session = bench.engine.session("w")
    assert session is not None
    members = session._members
    members.known = {50: Changing(members.known[50])}  # type: ignore[dict-item] # for readers it is one

    assert report(bench).processes == 1
    for words in (("accessed", "0,1s,0"), ("numa",), ("heatmap",)):
        assert session.dump_policy(words)
