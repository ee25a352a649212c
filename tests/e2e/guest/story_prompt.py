"""memtierd's prompt on a real kernel: `ebbtide memtierd` moves by hand what its own exerciser, `meme`, has filled.

The kernel's own files judge: VmSwap, pagemap, numa_maps. The launchers are called by their names, as the manual has it.
"""

import fcntl
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.guest import ebbtide, groups, memory, node, pods, poll
from tests.e2e.guest.groups import TOP, Group

LAUNCHERS = "/src/packaging/launchers"
BALANCING = Path("/proc/sys/kernel/numa_balancing")
IDLE_BITMAP = Path("/sys/kernel/mm/page_idle/bitmap")
ADMIN = Path("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds")
MIB = 1 << 20
SIZE = 48 * MIB
MOST, FEW = 0.95, 0.05
OUR_RUN = "/run/ebbtide/memtierd"

two_nodes = pytest.mark.skipif(not Path("/sys/devices/system/node/node1").exists(), reason="needs two memory nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meme:
    process: "subprocess.Popen[str]"
    start: int
    end: int

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def range(self) -> str:
        return f"{self.start:x}-{self.end:x}"

    def pages(self, start: int = 0, size: int = SIZE) -> memory.Pages:
        low = self.start + start
        return memory.pages(self.pid, [pods.Truth(role="array", start=low, end=low + size)])

    def on(self, number: int) -> float:
        """The share of all of its anonymous memory that is on this node."""
        found = self.nodes()
        return found[number] / max(sum(found.values()), 1)

    def nodes(self) -> dict[int, int]:
        """Pages of its anonymous memory on each node."""
        found = {0: 0, 1: 0}
        for line in Path(f"/proc/{self.pid}/numa_maps").read_text(encoding="utf-8").splitlines():
            if "anon=" in line and "file=" not in line:
                for each, pages in re.findall(r" N(\d+)=(\d+)", line):
                    found[int(each)] += int(pages)
        return found


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{LAUNCHERS}:{os.environ['PATH']}"}


@contextmanager
def exercising(group: Group | None = None, *options: str) -> Iterator[Meme]:
    """An array of 48 MiB without huge pages; without options nobody touches it after it was filled."""
    rest = options or ("-brc", "0", "-bwc", "0")
    enter = f'echo $$ > "{group.path}/cgroup.procs" && ' if group else ""
    words = ["sh", "-c", f'{enter}exec meme -bs {SIZE} -ttl 1h -hugepages never "$@"', "sh", *rest]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"array: ([0-9a-f]+)-[0-9a-f]+ \((\d+) bytes\)", line):
                    start = int(found[1], 16)
                    yield Meme(process=process, start=start, end=start + int(found[2]))
                    return
            raise AssertionError("meme does not tell where its array is")
        finally:
            process.kill()


@pytest.fixture
def meme() -> Iterator[Meme]:
    with exercising() as found:
        yield found


@pytest.fixture(autouse=True)
def _calm() -> Iterator[None]:
    """Compressed swap is there, and the kernel's own balancing does not bring memory back while we look."""
    node.swap_on()
    before = BALANCING.read_text(encoding="ascii") if BALANCING.exists() else ""
    if before:
        BALANCING.write_text("0", encoding="ascii")
    yield
    if before:
        BALANCING.write_text(before, encoding="ascii")


@contextmanager
def cgroup(**knobs: str) -> Iterator[Group]:
    (TOP / "cgroup.subtree_control").write_text("+cpuset +memory", encoding="ascii")
    group = Group(TOP / "prompt")
    group.path.mkdir()
    for knob, value in knobs.items():
        group.set(knob.replace("_", "."), value)
    try:
        yield group
    finally:
        group.set("cgroup.kill", "1")
        poll.until("the cgroup is empty", lambda: "populated 0" in group.get("cgroup.events"))
        group.path.rmdir()


def swap_off() -> None:
    poll.command("swapoff", "/dev/zram0")
    (node.ZRAM / "reset").write_text("1", encoding="ascii")


@pytest.fixture
def no_swap() -> Iterator[None]:
    swap_off()
    yield
    node.swap_on()


@pytest.fixture
def tiny_swap(no_swap: None) -> Iterator[None]:
    node.swap_on(8)
    yield
    swap_off()


def memtierd(*lines: str, status: int = 0, options: tuple[str, ...] = ()) -> str:
    """What the launcher answers to these commands, and what it logs."""
    words = ["memtierd", *options, "-c", "\n".join(lines)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment(), timeout=300)
    print(f"  memtierd -c {lines!r}: {done.returncode}", done.stdout, done.stderr, sep="\n", flush=True)
    assert done.returncode == status
    return done.stdout + done.stderr


def shell(script: str) -> str:
    """A command line of the manual, as it is printed there."""
    done = subprocess.run(["bash", "-c", script], check=False, capture_output=True, text=True, env=environment())
    print(f"  {script}: {done.returncode}", done.stdout, done.stderr, sep="\n", flush=True)
    assert done.returncode == 0
    return done.stdout


# -- swap --------------------------------------------------------------------------------------------------------------


def test_a_process_that_is_in_swap_completely_comes_back(meme: Meme) -> None:
    swap = f"swap -pid {meme.pid} -ranges {meme.range}"
    out = memtierd(f"{swap} -out", f"{swap} -status -vaddrs")
    assert f"{SIZE // 4096} / {SIZE // 4096} pages, 48 / 48 MB (100.0 %) swapped out" in out
    assert f"{meme.range} ({SIZE} B)" in out
    assert meme.pages().swapped == SIZE // memory.PAGE

    whole = f"swap -pid {meme.pid}"
    memtierd(f"{whole} -out -status")
    assert memory.status_bytes(meme.pid, "VmSwap") > SIZE
    assert f"aranges = <1 address ranges of pid {meme.pid}>" in memtierd(f"pages -pid {meme.pid} -ranges {meme.range}")

    assert "pages, 0 / 48 MB (0.0 %) swapped out" in memtierd(f"{swap} -in -status")
    assert meme.pages().present == SIZE // memory.PAGE
    memtierd(f"{whole} -in")
    assert memory.status_bytes(meme.pid, "VmSwap") == 0


def test_the_mover_swaps_within_its_bandwidth_and_is_asked_about_it(meme: Meme) -> None:
    out = memtierd(
        'mover -config {"IntervalMs":100,"Bandwidth":8}',
        "mover -pause",
        f"swap -pid {meme.pid} -ranges {meme.range} -out -mover",
        "mover -tasks",
        "mover -wait",
        "mover -continue",
        "time -start all",
        "mover -wait",
        "time -stop all",
        "stats",
        "stats -t process_madvise -f csv",
    )
    assert re.search(
        rf"MoverTask\{{pid: {meme.pid}, next: {meme.start:x}, page: 0 out of 12288, dest: \[swap\]\}}", out
    )
    assert re.findall("mover wait received: (.*)", out) == ["Paused", "AllDone"]
    assert "paged out: 12288 pages (48 MB) of 12288 pages (48 MB)" in out
    assert float(re.findall(r'"all" stopped at ([\d.]+)', out)[0]) > 5.4, "48 MiB at 8 MiB a second, 0.25 s at once"
    assert meme.pages().share() > MOST


def test_without_swap_it_is_an_error(no_swap: None, meme: Meme) -> None:
    for more in ("", " -mover"):
        assert "no swap on this node" in memtierd(f"swap -pid {meme.pid} -out{more}", status=1)
    assert "(0.0 %) swapped out" in memtierd(f"swap -pid {meme.pid} -in -status")


def test_swap_that_is_full_is_an_error(tiny_swap: None, meme: Meme) -> None:
    swap = f"swap -pid {meme.pid} -ranges {meme.range}"
    out = memtierd(f"{swap} -out -status", f"{swap} -out -status", status=1)
    assert re.search(r"stay: swap is full", out)
    assert 0 < meme.pages().swapped <= 8 * MIB // memory.PAGE
    out = memtierd(f"{swap} -out -mover", "time -sleep 10", "mover -wait", "mover -tasks")
    assert "cannot leave: swap is full" in out
    memtierd(f"{swap} -in")


def test_a_cgroup_that_may_not_swap_is_an_error() -> None:
    with cgroup(memory_swap_max="0") as group, exercising(group) as meme:
        swap = f"swap -pid {meme.pid} -ranges {meme.range}"
        for more in ("", " -mover"):
            assert "memory.swap.max is 0" in memtierd(f"{swap} -out{more}", status=1)
        assert meme.pages().swapped == 0

        group.set("memory.swap.max", str(8 * MIB))
        assert "memory.swap.max of /prompt is reached" in memtierd(f"{swap} -out -status", status=1)
        assert 0 < meme.pages().swapped <= 8 * MIB // memory.PAGE

        group.set("memory.swap.max", "max")
        memtierd(f"swap -pid-cgroups {group.path} -out -status")
        assert meme.pages().share() > MOST


# -- nodes -------------------------------------------------------------------------------------------------------------


@two_nodes
def test_selected_pages_go_to_a_node_and_back(meme: Meme) -> None:
    out = memtierd(
        "stats -dump moves start",
        f"pages -pid {meme.pid}",
        "mover -pages-to 1",
        "mover -wait",
        "pages",
        f"stats -lm {meme.pid}",
        f"stats -le {meme.pid}",
        "stats -dump moves new | grep -c 'dest=1'",
        "stats | grep 'to node 1'",
        "stats -t move_pages,move_pages_errors,events",
    )
    assert meme.on(1) > MOST
    assert re.search(rf"pages of pid {meme.pid}\n(node 0: \d+\n)?node 1: 1\d{{4}}\n", out)
    assert re.search(rf"move_pages\(pid={meme.pid}, pagecount=\d+, firstpage=[0-9a-f]+ dest=1\) => \(return=", out)
    assert re.search(r"^        to node 1: 1\d{4} pages \(\d+ MB\)$", out, re.MULTILINE)

    memtierd(f"pages -pid {meme.pid} -node 1", "mover -pages-to 0", "mover -wait")
    assert meme.on(0) > MOST


@two_nodes
def test_the_manual_moves_meme_in_one_command_line(meme: Meme) -> None:
    out = shell(
        '( echo "pages -pid $(pidof meme)"; echo "mover -pages-to 1"; sleep 10; echo "stats"; echo "q" ) '
        "| memtierd -prompt"
    )
    assert f"move_pages on pid: {meme.pid}" in out
    assert meme.on(1) > MOST
    assert out.endswith("quit.\n")


@two_nodes
def test_a_policy_in_unquoted_json_moves_idle_memory() -> None:
    """The manual's policy with shorter times; a kernel without the tracker gets another one."""
    config = (
        r'{"Tracker":{"Name":"softdirty","Config":"{\"PagesInRegion\":256,\"MaxCountPerRegion\":1,\"ScanIntervalMs\":1000,'
        r'\"RegionsUpdateMs\":0,\"SkipPageProb\":0,\"PagemapReadahead\":0}"},"Mover":{"IntervalMs":20,"Bandwidth":200},'
        r'"Cgroups":["/sys/fs/cgroup/prompt"],"IntervalMs":1000,"IdleDurationMs":6000,"IdleNumas":[1],'
        r'"ActiveDurationMs":4000,"ActiveNumas":[0]}'
    )
    with cgroup() as group, exercising(group, "-brc", "0", "-bwc", "1", "-bws", "8M", "-bwi", "200ms") as meme:
        out = memtierd(
            f"policy -create age -config {config} -start", "time -sleep 45", "policy -dump accessed", "stats"
        )
        assert "policy created" in out
        assert 0.6 < meme.on(1) < 0.95, "8 of 48 MiB are written again and again"
        assert "accessed: " in out


DEMOTE_IDLE = """\
policy:
  name: demote-idle
  config: |
    intervalms: 5000
    idlenumas: [1]
    pagesofinterestdir: FOLDER
    mover:
      intervalms: 20
      bandwidth: 100
"""


@contextmanager
def serving(config: Path, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`memtierd -config FILE` with nothing to read commands from, as a service has it."""
    words = ["memtierd", "-config", str(config), "-l", str(log)]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, env=environment()) as process:
        try:
            yield process
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            print(log.read_text(encoding="utf-8"), flush=True)


def interesting(folder: Path, pid: int, start: int, end: int) -> None:
    """As the protocol has it: written under an exclusive lock."""
    with (folder / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (folder / f"{pid}.vab").write_bytes(struct.pack("<2Q", start, end))


@two_nodes
@pytest.mark.skipif(not IDLE_BITMAP.exists(), reason="only the test kernel knows single idle pages")
def test_idle_pages_of_interest_are_demoted_by_a_configuration_of_memtierds(tmp_path: Path) -> None:
    """Nobody but the files says whose memory it is: half of the array, and of that 8 MiB are in use."""
    folder, config = tmp_path / "interest", tmp_path / "demote-idle.yaml"
    folder.mkdir()
    config.write_text(DEMOTE_IDLE.replace("FOLDER", str(folder)), encoding="ascii")
    with exercising(None, "-brc", "0", "-bwc", "1", "-bws", "8M", "-bwi", "200ms") as meme:
        interesting(folder, meme.pid, meme.start, meme.start + SIZE // 2)
        with serving(config, tmp_path / "log"):

            def far(least: int, most: int) -> bool:
                found = meme.nodes()[1] * memory.PAGE // MIB
                print(f"    {found} MiB are on the far node", flush=True)
                assert found <= most, "nobody is interested in more, or it is in use"
                return found >= least

            poll.until("the idle part of it is far", lambda: far(15, 18), seconds=240, pause=3)
            poll.never("more goes, or it comes back", lambda: not far(15, 18), seconds=15, pause=3)
            interesting(folder, meme.pid, meme.start, meme.end)
            poll.until("all that is idle is far", lambda: far(38, 42), seconds=240, pause=3)


# -- trackers ----------------------------------------------------------------------------------------------------------


def test_the_manual_tracks_meme_in_one_command_line() -> None:
    with exercising(None, "-brc", "0", "-bwc", "1", "-bws", "8M", "-bwi", "200ms") as meme:
        out = shell(
            '( echo "tracker -create idlepage -start $(pidof meme)"; sleep 20; echo "tracker -counters"; '
            'echo "stats" ) | memtierd -prompt'
        )
    assert re.search(rf"a=[1-9]\d* r=0 w=\d+ AddrRanges\{{pid={meme.pid} ranges=", out)
    assert re.search(rf"memory scans on pid: {meme.pid}\n    scans: [1-9]", out)
    assert re.search(r"    accessed: [1-9]\d* pages \(\d+ pages/scan, \d+ MB/scan\)", out)


def test_raw_events_are_recorded(tmp_path: Path) -> None:
    events = tmp_path / "raw-events.txt"
    with exercising(None, "-brc", "0", "-bwc", "1", "-bws", "8M", "-bwi", "200ms") as meme:
        new = f"tracker -dump raw new | tee -a {events} | wc -l"
        memtierd(
            f'tracker -create softdirty -config {{"ScanIntervalMs":1000,"PagesInRegion":256}} -start {meme.pid}',
            "tracker -dump raw start",
            *("time -sleep 6", new) * 2,
            "tracker -dump raw stop",
        )
    rows = [line.split() for line in events.read_text(encoding="ascii").splitlines()]
    found = [int(row[2], 16) for row in rows if row[:1] != ["timestamp"] and row[1] == str(meme.pid)]
    assert any(meme.start <= address < meme.start + 8 * MIB for address in found)


def test_single_page_frames(meme: Meme) -> None:
    one = f"{meme.start + SIZE // 2:x}"
    out = memtierd(f"pages -pid {meme.pid} -ranges {one} -pm 1")
    assert re.search(r"bits: softdirty, exclusive, uffd_wp, file, swap, present", out)
    frame = re.findall(rf"{one}: bits: \d1\d001 pfn: (\d+)", out)[0]
    flags = dict(line.split() for line in memtierd(f"pages -pk {frame}").splitlines())
    assert len(flags) == 27
    assert (flags["ANON"], flags["MMAP"], flags["SLAB"]) == ("1", "1", "0")
    if IDLE_BITMAP.exists():
        out = memtierd(f"pages -si {frame}", f"pages -pi {frame}", f"pages -pk {frame}")
        assert f"PFN {frame} idle: true" in out
        memtierd(f"swap -pid {meme.pid} -ranges {one} -status")
    else:
        assert str(IDLE_BITMAP) in memtierd(f"pages -pi {frame}", status=1)


@pytest.mark.skipif(not ADMIN.exists(), reason="this kernel has no DAMON")
def test_a_killed_one_leaves_nothing_after_the_next_start(meme: Meme) -> None:
    assert ADMIN.read_text() == "0\n"
    words = ["memtierd", "-prompt"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, env=environment(), text=True) as process:
        assert process.stdin is not None
        config = '{"ScanIntervalMs":1000,"PauseDamonStat":true}'
        process.stdin.write(f"tracker -create damon -config {config} -start {meme.pid}\n")
        process.stdin.flush()
        poll.until("there are kdamonds", lambda: ADMIN.read_text() != "0\n")
        process.kill()
    assert ADMIN.read_text() != "0\n"
    assert len(os.listdir(OUR_RUN)) == 1

    memtierd("nop")
    assert ADMIN.read_text() == "0\n"
    assert os.listdir(OUR_RUN) == []


# -- beside the daemon -------------------------------------------------------------------------------------------------

TRACKED = """classes:
  - name: story
    allowswap: true
    memtierdconfig:
      policy:
        name: age
        config:
          intervalms: 2000
          tracker: {name: referenced, config: {scanintervalms: 2000}}
          mover: {intervalms: 20, bandwidth: 200}
      routines:
        - name: statactions
          config:
            intervalms: 5000
            intervalcommand: ["swap -pid-cgroups /sys/fs/cgroup/beside -status | sed s/^/routine:/"]
            intervalcommandrunner: memtier-prompt
"""


def routines_said() -> str:
    found = (path.read_text(encoding="utf-8") for path in (ebbtide.STATE / "rendered").rglob("output"))
    return "".join(found)


@pytest.fixture
def daemon() -> Iterator[None]:
    """Of an earlier story, or our own."""
    service = ebbtide.daemon()
    ours = not service.active()
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)
    ebbtide.drop("50-story.yaml", TRACKED)
    if ours:
        service.start()
    yield
    if ours:
        service.stop()
    ebbtide.clear_classes()
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)


def test_what_a_daemon_manages_is_left_alone(daemon: None) -> None:
    with groups.managed("beside") as group, exercising(group) as meme:
        poll.until("the daemon tracks it", lambda: ebbtide.engine("beside").get("scans", 0) > 0)
        out = memtierd(f"swap -pid {meme.pid} -out", f"tracker -create referenced -start {meme.pid}", status=1)
        assert out.count(f"process {meme.pid} is left alone: workload") == 2
        assert "beside of the daemon" in out
        assert meme.pages().swapped == 0
        memtierd(f"swap -pid {meme.pid} -out", options=("-force",))
        assert meme.pages().share() > MOST

        lines = [f"swap -pid {meme.pid} -in -status", f"pages -pid {meme.pid}", "mover -pages-to 0", "mover -wait"]
        out = ebbtide.cli("prompt", "-w", "beside", "-c", "\n".join([*lines, "policy -dump accessed 0,1m,0", "stats"]))
        print(out, flush=True)
        assert "mover wait received: AllDone" in out
        assert f"memory scans on pid: {meme.pid}" in out
        poll.until("a routine has asked the prompt", lambda: f"routine:{meme.pid} " in routines_said())
        assert meme.pages().present == SIZE // memory.PAGE
