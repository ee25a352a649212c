"""Guest swap on a real kernel: files on ext4, xfs and btrfs and a zram device appear, grow, and go with data intact.

The agent's part runs in this process, without daemon and class file. What processes have in memory is compared by
checksum, where it is by /proc/PID/status and /proc/swaps.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from reconciler.agent.swapfile import SwapFiles
from reconciler.agentconfig import AgentTask, SwapConfig, SwapKind
from reconciler.report import SwapReport
from sysfs import advise, boot, cgroup, meminfo, swap
from sysfs.tree import Tree
from tests.e2e.guest import groups, memory, poll

MIB = 1 << 20
TREE = Tree("/")
STATE = Path("/var/lib/swap-story")
OFF = AgentTask()
PROGRAM = """
import ctypes, mmap, os, sys, zlib
size = int(sys.argv[1])
area = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
area.madvise(15)  # no huge pages: those would be split first
for at in range(0, size, 1 << 20):
    area[at : at + (1 << 20)] = os.urandom(1 << 20)
print(ctypes.addressof(ctypes.c_char.from_buffer(area)), flush=True)
while True:
    print(zlib.crc32(area), flush=True)
    sys.stdin.readline()
"""
# One that can be killed with -9: the part alone, told to remove everything.
REMOVER = """
import time
from reconciler.agentconfig import AgentTask
from tests.e2e.guest import story_agent_swap
part = story_agent_swap.part()
part.change(AgentTask())
while True:
    time.sleep(min(max(part.run(time.monotonic()) - time.monotonic(), 0), 1))
"""


def part() -> SwapFiles:
    mount = cgroup.mount(TREE)
    assert mount
    return SwapFiles(TREE, STATE, boot_id=boot.boot_id(TREE), page_size=memory.PAGE, mount=mount)


class Worker:
    """Runs a part when it is due, on a thread of its own, as the daemon does."""

    def __init__(self) -> None:
        self.part, self._stop, self._hurry = part(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def change(self, task: AgentTask) -> None:
        self.part.change(task)
        self._hurry.set()

    def report(self) -> SwapReport:
        return self.part.report()

    def stop(self) -> None:
        self.part.stop()
        self._stop.set()
        self._hurry.set()
        self._thread.join(60)
        assert not self._thread.is_alive()

    def _work(self) -> None:
        while not self._stop.is_set():
            due = self.part.run(time.monotonic())
            self._hurry.wait(min(max(due - time.monotonic(), 0), 2))
            self._hurry.clear()


class Holder:
    """A process with random bytes in memory, whose checksum it says whenever it is asked."""

    def __init__(self, mib: int, group: str = "/sys/fs/cgroup") -> None:
        enter = f'echo $$ > {group}/cgroup.procs && exec "$@"'  # what comes back from swap is its first owner's
        words = ["sh", "-c", enter, "sh", sys.executable, "-c", PROGRAM, str(mib * MIB)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.size = mib * MIB
        self.start = int(self._line())
        self.first = self._line()

    def checksum(self) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def page_out(self) -> None:
        starts, ends = (np.array([at], np.uint64) for at in (self.start, self.start + self.size))
        with advise.Target(self.process.pid) as target:
            target.page_out(starts, ends)

    def swapped(self) -> int:
        return memory.status_bytes(self.process.pid, "VmSwap")

    def swap_out(self) -> None:
        """Until nearly all of it is in swap."""

        def out() -> bool:
            self.page_out()
            return self.swapped() > 0.95 * self.size

        poll.until(f"{self.size // MIB} MiB are in swap", out)

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, f"the process has ended: {self.process.wait()}"
        return line


@pytest.fixture
def hold() -> Iterator[Callable[..., Holder]]:
    running: list[Holder] = []

    def begin(mib: int, *group: str) -> Holder:
        running.append(Holder(mib, *group))
        return running[-1]

    yield begin
    for each in running:
        each.process.kill()
        each.process.wait()


@pytest.fixture
def worker() -> Iterator[Worker]:
    STATE.mkdir(mode=0o700, exist_ok=True)
    made = Worker()
    yield made
    made.change(OFF)
    poll.until("all is gone", lambda: not areas() and not any(STATE.iterdir()))
    made.stop()


def areas() -> list[swap.Device]:
    """Of ours: their priority is a mark."""
    return [each for each in swap.read(TREE).devices if each.priority == 1234]


def wanted(mib: int, **more: object) -> AgentTask:
    percent = (mib + 0.5) * MIB * 100 / meminfo.read(TREE)["MemTotal"]
    given: dict[str, object] = {"guest_swap_create_threshold_secs": 5.0, "keep_free_bytes": 64 * MIB} | more
    config = SwapConfig(enable_guest_swap=True, guest_swap_size_percent=percent, priority=1234, **given)  # type: ignore[arg-type]
    return AgentTask(swap=config)


def sizes() -> list[int]:
    return [(each.size_bytes + memory.PAGE) // MIB for each in areas()]


def until_sizes(worker: Worker, *expected: int) -> None:
    def there() -> bool:
        return sizes() == list(expected)

    try:
        poll.until(f"swap areas of {expected} MiB", there, seconds=180)
    except AssertionError:
        print(worker.report())
        raise


def until_gone(worker: Worker, holder: Holder) -> None:
    """With everything in memory again, and unchanged."""
    worker.change(OFF)
    poll.until("the swap area is gone", lambda: not areas(), seconds=300)
    assert holder.swapped() < 0.05 * holder.size
    assert holder.checksum() == holder.first


def test_a_file_on_this_disk_appears_grows_and_goes(worker: Worker, hold: Callable[..., Holder]) -> None:
    holder, began = hold(96), time.monotonic()
    worker.change(wanted(64))
    until_sizes(worker, 64)
    assert time.monotonic() - began > 5, "not before memory has had its size for the threshold"
    path = Path(areas()[0].name)
    assert (path.parent, path.stat().st_mode & 0o777, path.stat().st_size) == (STATE / "swap", 0o600, 64 * MIB)
    assert "ebbtide" in poll.command("blkid", "-p", str(path))

    worker.change(wanted(192))
    until_sizes(worker, 64, 128)
    holder.swap_out()
    assert sum(each.used_bytes for each in areas()) > 90 * MIB
    with pytest.raises(PermissionError):
        path.unlink()  # the kernel guards swap that is in use

    until_gone(worker, holder)
    assert not (STATE / "swap").exists()


def test_added_memory_makes_another_file(worker: Worker) -> None:
    """Blocks of memory are taken away and given back, as a hypervisor does."""
    block = next(filter(taken_away, sorted(Path("/sys/devices/system/memory").glob("memory*"), reverse=True)), None)
    if block is None:
        pytest.skip("this machine gives no block of memory away")
    before = meminfo.read(TREE)["MemTotal"]
    try:
        worker.change(wanted(before // MIB // 10))
        until_sizes(worker, before // MIB // 10)
    finally:
        (block / "online").write_text("1", encoding="ascii")
    added = meminfo.read(TREE)["MemTotal"] - before
    print(f"  {block.name}: {added // MIB} MiB more")
    poll.until("there are two areas", lambda: len(areas()) == 2, seconds=120)
    assert worker.report().target_bytes <= worker.report().size_bytes <= worker.report().target_bytes + MIB


def taken_away(block: Path) -> bool:
    try:
        if (block / "removable").read_text(encoding="ascii").strip() != "1":
            return False
        (block / "online").write_text("0", encoding="ascii")
    except OSError:
        return False
    return True


@pytest.fixture
def group() -> Iterator[groups.Group]:
    (groups.TOP / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    made = groups.Group(groups.TOP / "swap-story")
    made.path.mkdir()
    yield made
    made.set("cgroup.kill", "1")
    poll.until("the cgroup is empty", lambda: "populated 0" in made.get("cgroup.events"))
    made.path.rmdir()


def test_a_cgroup_at_its_limit_keeps_its_swap(worker: Worker, group: groups.Group) -> None:
    if any(each.priority != 1234 for each in swap.read(TREE).devices):
        pytest.skip("there is other swap, into which it could go")
    worker.change(wanted(128))
    until_sizes(worker, 128)
    holder = Holder(96, str(group.path))
    holder.swap_out()
    group.set("memory.max", str(64 * MIB))
    worker.change(OFF)
    poll.until("it waits", lambda: "/swap-story" in worker.report().reason, seconds=60)
    print(f"    {worker.report().reason}")
    poll.never("the area goes", lambda: not areas(), seconds=15)
    group.set("memory.max", "max")
    until_gone(worker, holder)
    assert group.event("oom_kill") == 0


def test_killed_while_an_area_is_emptied(worker: Worker, hold: Callable[..., Holder]) -> None:
    """The kernel listens to signals between two processes, so there are several."""
    holders = [hold(64) for _ in range(6)]
    worker.change(wanted(448))
    until_sizes(worker, 448)
    for each in holders:
        each.swap_out()
    worker.stop()

    remover = subprocess.Popen([sys.executable, "-c", REMOVER])
    poll.until("swapoff is under way", lambda: swapped(holders) < 370 * MIB, seconds=180, pause=0.01)
    remover.send_signal(signal.SIGKILL)
    remover.wait()
    poll.until("its child has ended, too", lambda: not swapoffs(), seconds=60, pause=0.1)
    print(f"  {swapped(holders) // MIB} of 384 MiB are still in swap, areas: {sizes()}")

    again = Worker()
    try:
        for each in holders:
            until_gone(again, each)
        poll.until("nothing is left", lambda: not any(STATE.iterdir()), seconds=60)
    finally:
        again.stop()


def swapped(holders: list[Holder]) -> int:
    return sum(each.swapped() for each in holders)


def swapoffs() -> list[str]:
    names = [pid for pid in os.listdir("/proc") if pid.isdigit()]
    return [pid for pid in names if "sysfs.swapping" in command_of(pid)]


def command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


@contextmanager
def mounted(kind: str, options: str = "loop") -> Iterator[Path]:
    """A new file system in a file on this disk."""
    subprocess.run(["modprobe", "-q", kind], check=False)
    subprocess.run(["modprobe", "-q", "loop"], check=False)
    known = Path("/proc/filesystems").read_text(encoding="ascii").split()
    make = f"/usr/sbin/mkfs.{kind}"
    if kind not in known or not Path(make).exists():
        pytest.skip(f"no {kind} in this kernel, or no {make}")
    disk, place = Path(f"/root/{kind}.disk"), Path(f"/root/{kind}")
    disk.touch()
    os.truncate(disk, 512 * MIB)
    place.mkdir()
    try:
        poll.command(make, "-q", str(disk))
        poll.command("mount", "-o", options, str(disk), str(place))
        try:
            yield place
        finally:
            poll.command("umount", str(place))
    finally:
        place.rmdir()
        disk.unlink()


@pytest.mark.parametrize(("kind", "options"), [("xfs", "loop"), ("btrfs", "loop"), ("btrfs", "loop,compress=zstd")])
def test_other_file_systems(kind: str, options: str, worker: Worker, hold: Callable[..., Holder]) -> None:
    holder = hold(48)
    with mounted(kind, options) as place:
        worker.change(wanted(64, guest_swap_path=f"{place}/swap"))
        until_sizes(worker, 64)
        assert Path(areas()[0].name).parent == place / "swap"
        holder.swap_out()
        until_gone(worker, holder)
        poll.until("the folder is gone", lambda: not (place / "swap").exists())


def test_a_tmpfs_and_an_overlay_are_refused(worker: Worker) -> None:
    worker.change(wanted(64, guest_swap_path="/run/kata-containers/swap"))
    poll.until("tmpfs is refused", lambda: "is on tmpfs" in worker.report().reason)
    top = Path("/root/overlay")
    for name in ("lower", "upper", "work", "all"):
        (top / name).mkdir(parents=True)
    parts = f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work"
    poll.command("mount", "-t", "overlay", "overlay", "-o", parts, f"{top}/all")
    try:
        worker.change(wanted(64, guest_swap_path=f"{top}/all"))
        poll.until("overlayfs is refused", lambda: "is on overlayfs" in worker.report().reason)
    finally:
        poll.command("umount", f"{top}/all")
    assert areas() == []


def test_zram(worker: Worker, hold: Callable[..., Holder]) -> None:
    before, holder = set(Path("/sys/block").glob("zram*")), hold(48)
    worker.change(wanted(64, kind=SwapKind.ZRAM))
    until_sizes(worker, 64)
    made = set(Path("/sys/block").glob("zram*")) - before
    assert len(made) == 1, "a device of our own"
    assert areas()[0].name == f"/dev/{made.pop().name}"
    holder.swap_out()
    until_gone(worker, holder)
    poll.until("the device is gone", lambda: set(Path("/sys/block").glob("zram*")) == before)
