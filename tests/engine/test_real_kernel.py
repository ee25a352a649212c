"""On the running kernel: bulk pagemap reads, process_madvise and its partial progress, and the whole loop on a file.

Only what every kernel with CONFIG_PROC_PAGE_MONITOR can do, without swap. Looks are polled with generous limits.
"""

import ctypes
import json
import mmap
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from reconciler import exercise
from reconciler.engine.engine import Engine
from reconciler.engineconfig import AgeConfig, MoverConfig
from reconciler.model import EngineSettings, EngineTask, Features
from sysfs import advise, errors, kcmp, maps, pagemap, process, residency
from sysfs.pagemap import IS_PRESENT, IS_ZERO, Pagemap
from sysfs.tree import Tree
from tests.engine.conftest import CONFIG
from tests.eventually import eventually

TREE, PAGE = Tree("/"), mmap.PAGESIZE

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: other processes' memory is looked at")


@dataclass
class Exerciser:
    process: subprocess.Popen[str]
    ranges: dict[str, tuple[int, int]]

    @property
    def pid(self) -> int:
        return self.process.pid

    def entries(self, role: str) -> NDArray[np.uint64]:
        with Pagemap(TREE, self.pid) as opened:
            return opened.entries(*self.ranges[role])

    def present(self, role: str) -> int:
        return int(np.count_nonzero(self.entries(role) & pagemap.PRESENT))


@pytest.fixture
def disk() -> Iterator[Path]:
    """A folder on a disk file system: pages of a tmpfs file have nowhere to go."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def exerciser(disk: Path) -> Iterator[Exerciser]:
    files = ["--file", f"{disk}/cold:8M", "--hot-file", f"{disk}/hot:4M"]
    options = ["--idle", "4M", "--write", "2M", "--rate", "20", "--nohugepage", "--with-parent", *files]
    with subprocess.Popen([sys.executable, exercise.__file__, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        truth = json.loads(process.stdout.readline())
        yield Exerciser(process, {each["role"]: (each["start"], each["end"]) for each in truth["ranges"]})
        process.terminate()


def test_scanning_and_reading_say_the_same(exerciser: Exerciser) -> None:
    start, end = exerciser.ranges["idle"][0], exerciser.ranges["file-hot"][1]
    with Pagemap(TREE, exerciser.pid) as opened:
        try:
            scanned = opened.scan(start, end)
        except errors.KernelError as error:
            pytest.skip(f"no PAGEMAP_SCAN here: {error}")
        read = opened.read_runs(start, end)
    present = scanned.having(IS_PRESENT, IS_ZERO)

    assert int((present.end - present.start).sum()) == int((read.end - read.start).sum())
    assert int(read.start[0]) == start


def test_what_is_mapped(exerciser: Exerciser) -> None:
    found = maps.read(TREE, exerciser.pid, maps.devices(TREE, exerciser.pid))
    kinds = dict(zip(found.start.tolist(), found.kind.tolist(), strict=True))

    assert kinds[exerciser.ranges["idle"][0]] == maps.Kind.ANON
    assert kinds[exerciser.ranges["file-cold"][0]] == maps.Kind.FILE
    assert np.all(found.start[1:] >= found.end[:-1])


def test_advice_goes_on_behind_what_the_kernel_refuses(exerciser: Exerciser) -> None:
    """The gaps between ranges are fine, unmapped memory is not."""
    low, high = exerciser.ranges["file-cold"]
    unmapped = 1 << 40
    middle = (low + high) // 2
    start = np.array([low, unmapped, middle], np.uint64)
    end = np.array([middle, unmapped + PAGE, high], np.uint64)
    with advise.Target(exerciser.pid) as target:
        assert target.page_out(start, end) == high - low

    assert exerciser.present("file-cold") == 0


def test_more_ranges_than_one_call_takes(exerciser: Exerciser) -> None:
    low, high = exerciser.ranges["file-cold"]
    start = np.arange(low, high, PAGE).astype(np.uint64)
    with advise.Target(exerciser.pid) as target:
        assert target.page_out(start, start + np.uint64(PAGE)) == high - low

    assert len(start) > 1024
    assert exerciser.present("file-cold") == 0


def test_a_process_that_is_gone_is_gone(exerciser: Exerciser) -> None:
    exerciser.process.kill()
    exerciser.process.wait()
    with pytest.raises(errors.Gone):
        advise.Target(exerciser.pid)


def test_the_kernel_knows_who_shares_memory(exerciser: Exerciser) -> None:
    """A process that runs pause() in our memory, on a stack of its own."""
    libc, stack = ctypes.CDLL(None), ctypes.create_string_buffer(1 << 16)
    top = ctypes.c_void_p((ctypes.addressof(stack) + len(stack)) & ~15)
    pid = libc.clone(ctypes.cast(libc.pause, ctypes.c_void_p), top, 0x100 | signal.SIGCHLD, None)
    try:
        assert kcmp.same_memory(os.getpid(), pid)
        assert process.identity(TREE, os.getpid())[2] == process.identity(TREE, pid)[2]
        assert any(process.identity(TREE, pid)[2])
        assert not kcmp.same_memory(exerciser.pid, pid)
        assert process.identity(TREE, exerciser.pid)[2] != process.identity(TREE, pid)[2]
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_residency_is_asked_of_the_page_cache(exerciser: Exerciser) -> None:
    low, high = exerciser.ranges["file-cold"]
    before = residency.resident(TREE, exerciser.pid, (low, high), 0, high - low)
    with advise.Target(exerciser.pid) as target:
        target.page_out(np.array([low], np.uint64), np.array([low + (1 << 20)], np.uint64))
    after = residency.resident(TREE, exerciser.pid, (low, high), 0, high - low)

    assert before.all()
    assert not after[: (1 << 20) // PAGE].any()
    assert after[(1 << 20) // PAGE :].all()


def test_the_cold_file_leaves_memory_and_the_hot_one_stays(exerciser: Exerciser) -> None:
    config = replace(
        CONFIG,
        policy=AgeConfig(interval_ms=200, swapout_ms=500, page_types=("file",)),
        tracker=replace(CONFIG.tracker, pages_in_region=512, scan_interval_ms=300, regions_update_ms=500),
        mover=MoverConfig(interval_ms=10, bandwidth_mib=100),
        routines=(),
    )
    engine = Engine(TREE, Features(kernel="", page_size=PAGE), EngineSettings(cpu_percent=100), lambda _: None)
    engine.start(EngineTask(workload="w", config=config, tracker="referenced", pids=(exerciser.pid,)))
    hot = [exerciser.present("file-hot")]

    def gone() -> bool:
        hot.append(exerciser.present("file-hot"))
        report = engine.report("w")
        return report is not None and report.paged_out_bytes >= 8 << 20

    assert eventually(gone), engine.report("w")
    assert min(hot) == (4 << 20) // PAGE
    assert exerciser.present("file-cold") == 0
    assert exerciser.present("idle") == (4 << 20) // PAGE

    engine.close()
