"""Cold memory leaves after three agings and hot memory stays; pressure that another process makes stops it.

The part runs in this process, with periods of seconds instead of minutes. /proc/PID/pagemap, mincore and the cgroup's
own files judge.
"""

import io
import math
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.agent.memcg import Memcg
from reconciler.agentconfig import AgentTask, MemcgConfig, MemcgOverride, MemcgProfile
from reconciler.report import LruReport
from sysfs import mglru
from sysfs.errors import Gone
from sysfs.tree import Tree
from tests.e2e.guest import groups, memory, node, poll

ENABLED, MOUNT = Path(mglru.ENABLED), "/sys/fs/cgroup"
PERIOD_S, YOUNGEST_S = 6.0, 3.0
MIB = 1 << 20
IDLE, HOT, COLD_FILE, HOT_FILE = 96, 24, 64, 16  # MiB
COLD, WARM = Path("/root/cold"), Path("/root/hot")
MOST, FEW = 0.9, 0.1

pytestmark = pytest.mark.skipif(not ENABLED.exists(), reason="this kernel has no MGLRU")
needs_psi = pytest.mark.skipif(not Path("/proc/pressure/memory").exists(), reason="this kernel accounts no pressure")


class WithoutGenerations(Tree):
    """Debugfs is not mounted."""

    def open(self, path: str, *, write: bool = False) -> io.FileIO:
        if path == mglru.GENERATIONS:
            raise Gone(2, "hidden", path)
        return super().open(path, write=write)


@pytest.fixture(autouse=True)
def _switches() -> Iterator[None]:
    if not Path(mglru.GENERATIONS).exists():
        poll.command("mount", "-t", "debugfs", "none", "/sys/kernel/debug")
    before = ENABLED.read_text(encoding="ascii")
    yield
    ENABLED.write_text(before, encoding="ascii")


class Bench:
    """The part on one cgroup; everything else has a disabled profile."""

    def __init__(self, tree: Tree, folder: Path, group: groups.Group) -> None:
        self.path = "/" + group.path.name
        self.part = Memcg(tree, MOUNT, memory.PAGE, time.monotonic, folder, "this boot", YOUNGEST_S)
        self.due = 0.0

    def wants(self, **keys: object) -> None:
        profile = MemcgProfile(period_secs=PERIOD_S, **keys)  # type: ignore[arg-type]
        only = MemcgOverride(path=self.path, profile=profile)
        self.part.change(AgentTask(memcg=MemcgConfig(profile=MemcgProfile(disabled=True), cgroups=(only,))))

    def turn(self) -> None:
        """One pass, when it is due."""
        time.sleep(max(min(self.due, time.monotonic() + PERIOD_S) - time.monotonic(), 0))
        self.due = self.part.run(time.monotonic())
        print(f"    {self.figures()}", flush=True)

    def until(self, what: str, look: Callable[[], object], seconds: float = 300) -> None:
        """Pass after pass."""

        def found() -> object:
            self.turn()
            return look()

        poll.until(what, found, seconds, pause=0)

    def figures(self) -> LruReport | None:
        """Of the node where most is."""
        about = next((each for each in self.part.report().cgroups if each.path == self.path), None)
        return max(about.nodes, key=lambda each: each.bytes) if about else None

    def total(self, name: str) -> int:
        about = next(each for each in self.part.report().cgroups if each.path == self.path)
        return sum(int(getattr(each.eviction, name)) for each in about.nodes)


def resident(path: Path) -> float:
    """The share of a file that is in memory."""
    found = poll.command("python3", "-c", RESIDENT, str(path)).split()
    return int(found[0]) / int(found[1])


RESIDENT = """
import ctypes, mmap, os, sys
libc = ctypes.CDLL(None)
file = open(sys.argv[1], "rb")
size = os.fstat(file.fileno()).st_size
mapped = mmap.mmap(file.fileno(), size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
pages = (ctypes.c_ubyte * (size // 4096))()
view = (ctypes.c_char * size).from_buffer(mapped)
assert libc.mincore(ctypes.c_void_p(ctypes.addressof(view)), ctypes.c_size_t(size), pages) == 0
print(sum(each & 1 for each in pages), len(pages))
"""


def test_cold_memory_leaves_after_three_agings_and_the_hot_set_stays(tmp_path: Path) -> None:
    node.swap_on()
    ENABLED.write_text("0", encoding="ascii")
    with groups.managed("cold") as group:
        cold, warm = ("--file", f"{COLD}:{COLD_FILE}M"), ("--hot-file", f"{WARM}:{HOT_FILE}M")
        exerciser = groups.Exerciser(group, "--idle", f"{IDLE}M", "--write", f"{HOT}M", *cold, *warm)
        bench = Bench(Tree("/"), tmp_path, group)
        bench.wants(swap=True, swappiness_max=200, period_psi_percent_limit=1000.0, eviction_psi_percent_limit=1000.0)
        before = int(group.get("memory.current"))
        bench.turn()
        assert int(ENABLED.read_text(encoding="ascii"), 16) & 1, "MGLRU is turned on"
        bench.turn()
        assert bench.total("page") == 0, "two agings are not enough"

        def cold_is_gone() -> bool:
            print(f"    {state(exerciser)}", flush=True)
            return out(exerciser) > MOST and resident(COLD) < FEW

        bench.until("the idle memory and the cold file have left", cold_is_gone)
        after = int(group.get("memory.current"))
        assert memory.pages(exerciser.pid, exerciser.ranges("write")).share() < FEW, state(exerciser)
        assert resident(WARM) > MOST
        assert before - after > MOST * (IDLE + COLD_FILE) * MIB, (before, after)
        bench.part.change(AgentTask())
        assert bench.part.run(time.monotonic()) == math.inf
        assert int(ENABLED.read_text(encoding="ascii"), 16) == 0, "and off again"


def out(exerciser: groups.Exerciser) -> float:
    """The share of its idle memory that is in swap."""
    return memory.pages(exerciser.pid, exerciser.ranges("idle")).share()


def state(exerciser: groups.Exerciser) -> str:
    shares = {role: f"{memory.pages(exerciser.pid, exerciser.ranges(role)).share():.0%}" for role in ("idle", "write")}
    return f"in swap: {shares}; in memory: cold file {resident(COLD):.0%}, hot file {resident(WARM):.0%}"


@pytest.fixture
def load() -> Iterator[Callable[[groups.Group | None], None]]:
    """Processes in the cgroup that wait for the disk all the time; calling it again ends them."""
    running: list[subprocess.Popen[bytes]] = []

    def change(group: groups.Group | None) -> None:
        for each in running:
            each.kill()
            each.wait()
        running.clear()
        if group:
            words = f'echo $$ > "{group.path}/cgroup.procs"; while :; do dd if=/dev/vda of=/dev/null bs=64k '
            words += "count=400 iflag=direct status=none; done"
            running.append(subprocess.Popen(["sh", "-c", words]))

    yield change
    change(None)


@needs_psi
def test_pressure_of_another_process_stops_an_eviction_at_the_next_check(
    tmp_path: Path, load: Callable[[groups.Group | None], None]
) -> None:
    node.swap_on()
    with groups.managed("pressed") as group:
        exerciser = groups.Exerciser(group, "--idle", f"{IDLE}M", "--write", "4M")
        bench = Bench(Tree("/"), tmp_path, group)
        limits = {"swap": True, "swappiness_max": 200, "period_psi_percent_limit": 1000.0}
        bench.wants(**limits, eviction_psi_percent_limit=1.0, eviction_run_aging_count_min=3)
        load(group)
        bench.turn()
        bench.until("pressure stops it", lambda: bench.total("psi_exceeds_limit"))
        left = out(exerciser) * IDLE
        assert left <= 8 * bench.total("psi_exceeds_limit"), "MiB: one command for each"
        print(f"    {left:.0f} MiB had left", flush=True)

        load(None)
        bench.wants(**limits, eviction_psi_percent_limit=1000.0)
        bench.until("without it all that is idle leaves", lambda: out(exerciser) > MOST)


def test_without_generations_memory_reclaim_takes_a_little_page_cache_and_no_anonymous_memory(tmp_path: Path) -> None:
    node.swap_on()
    ENABLED.write_text("0", encoding="ascii")
    with groups.managed("classic") as group:
        exerciser = groups.Exerciser(group, "--idle", "32M", "--file", f"/root/classic:{COLD_FILE}M")
        bench = Bench(WithoutGenerations("/"), tmp_path, group)
        bench.wants(period_psi_percent_limit=1000.0, eviction_psi_percent_limit=1000.0)
        bench.turn()
        assert bench.part.report().mechanism == "memory.reclaim", bench.part.report()
        bench.until("some has left", lambda: bench.total("page"))
        pages = memory.pages(exerciser.pid, exerciser.ranges("idle"))
        assert pages.swapped == 0, pages
        assert 0 < bench.total("page") * memory.PAGE < 0.3 * COLD_FILE * MIB
        assert int(ENABLED.read_text(encoding="ascii"), 16) == 0, "there is nothing to turn it on for"
