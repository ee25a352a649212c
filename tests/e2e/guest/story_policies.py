"""Policies on a real kernel: a share that holds, memory that is placed by heat or page by page, a bound cgroup that
lives on, and a kernel that acts by itself.
"""

import fcntl
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.guest import ebbtide, groups, memory, node, poll
from tests.e2e.guest.groups import Exerciser, Group, Program
from tests.e2e.guest.story_main import IDLE_BITMAP

DAMON = Path("/sys/kernel/mm/damon/admin/kdamonds")
INTEREST = Path("/run/interest")
NAME = "50-story.yaml"
POINTS = 0.05
BUSY_OUT = 0.02 if IDLE_BITMAP.exists() else 0.1  # of memory in use: DAMON knows regions, not pages
NEAR, FAR = 0, 1  # node 1 has no CPU
HELD_SECONDS = 40  # eight intervals

RATIO = """classes:
  - name: story
    allowswap: true
    memtierdconfig:
      policy:
        name: ratio
        config:
          interval: 5s
          ratio: SHARE
          tracker: {name: auto, config: {scaninterval: 5s, regionsupdate: 5s}}
          mover: {interval: 20ms, bandwidth: 100}
"""

HEAT = """classes:
  - name: story
    memtierdconfig:
      policy:
        name: heat
        config:
          interval: 5s
          heatmap: {heatmax: 0.01, heatretention: 0.8, heatclasses: 5}
          heatnumas: {0: [1], 1: [1], 2: [1], 3: [0], 4: [0]}
          tracker: {name: idlepage, config: {pagesinregion: 256, maxcountperregion: 0, scaninterval: 5s}}
          mover: {interval: 20ms, bandwidth: 100}
"""

# More than an administrator would keep free, because the emulated machine is slow to move what it must.
AVOID_OOM = """classes:
  - name: story
    memtierdconfig:
      policy:
        name: avoid-oom
        config:
          interval: 1s
          startfreeingmemory: 30%
          stopfreeingmemory: 50%
          mover: {interval: 20ms, bandwidth: 500}
"""

DEMOTE_IDLE = """classes:
  - name: story
    memtierdconfig:
      policy:
        name: demote-idle
        config:
          interval: 5s
          idlenumas: [1]
          pagesofinterestdir: /run/interest
          mover: {interval: 20ms, bandwidth: 100}
"""

DAMOS = """classes:
  - name: story
    allowswap: true
    memtierdconfig:
      policy:
        name: damos
        config:
          interval: 2s
          action: pageout
          minage: 8s
          tracker: {name: damon, config: {scaninterval: 2s, pausedamonstat: true}}
"""

GROWS = """
import time
kept = []
for _ in range(56):
    kept.append(b"x" * (8 << 20))
    time.sleep(1)
print("grown", flush=True)
time.sleep(100_000)
"""


needs_idle_bitmap = pytest.mark.skipif(not IDLE_BITMAP.exists(), reason="the test kernel only knows single idle pages")
pytestmark = pytest.mark.usefixtures("still")


@pytest.fixture
def still() -> Iterator[None]:
    """The kernel moves nothing to where it is used of its own accord."""
    with node.without_balancing():
        yield


def swapped_share(pid: int) -> float:
    swapped, present = memory.status_bytes(pid, "VmSwap"), memory.status_bytes(pid, "RssAnon")
    return swapped / max(swapped + present, 1)


def show(name: str) -> str:
    return ebbtide.show(name)


def within(program: Program, share: float) -> bool:
    found = swapped_share(program.pid)
    print(f"    {found:5.1%} in swap, {share:5.1%} wanted; {show('ratio')}", flush=True)
    return abs(found - share) <= POINTS


def test_a_share_goes_to_swap_and_stays_and_comes_back(product: object) -> None:
    ebbtide.drop(NAME, RATIO.replace("SHARE", "0.3"))
    with groups.managed("ratio") as group:
        program = Exerciser(group, "--idle", "70M", "--write", "60M", "--read", "30M", "--hugepages", "never")
        poll.until("thirty per cent are in swap", lambda: within(program, 0.3), seconds=240, pause=3)
        poll.never("the share strays", lambda: not within(program, 0.3), seconds=HELD_SECONDS, pause=2)
        busy = memory.pages(program.pid, program.ranges("write", "read"))
        assert busy.share() <= BUSY_OUT, busy

        ebbtide.drop(NAME, RATIO.replace("SHARE", "0.1"))
        poll.until("ten per cent are in swap", lambda: within(program, 0.1), seconds=240, pause=3)
        poll.never("the share strays", lambda: not within(program, 0.1), seconds=HELD_SECONDS, pause=2)
        assert not ebbtide.engine("ratio")["error"]


@needs_idle_bitmap
def test_memory_is_placed_by_its_heat(product: object) -> None:
    with groups.managed("heat") as group:
        inner = group.child("inner", cpuset_mems=str(FAR))
        program = Exerciser(inner, "--idle", "100M", "--write", "40M", "--read", "40M", "--hugepages", "never")
        assert program.share_on(FAR, "idle", "write", "read") > 0.99
        inner.set("cpuset.mems", f"{NEAR}-{FAR}")  # from now on it may use both, and nothing moves
        ebbtide.drop(NAME, HEAT)

        def placed() -> bool:
            shares = {role: program.share_on(NEAR, role) for role in ("idle", "write", "read")}
            print(f"    on the near node: {json.dumps(shares)}; {show('heat')}", flush=True)
            return shares["write"] > 0.9 and shares["read"] > 0.9

        poll.until("hot memory is near", placed, seconds=240, pause=3)
        assert program.share_on(NEAR, "idle") < 0.1
        poll.never("hot memory leaves", lambda: not placed(), seconds=HELD_SECONDS, pause=4)


def interesting(program: Exerciser, *ranges: tuple[int, int]) -> None:
    """As the protocol has it: written under an exclusive lock."""
    INTEREST.mkdir(exist_ok=True)
    with (INTEREST / "lock").open("w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pairs = [edge for one in ranges for edge in one]
        (INTEREST / f"{program.pid}.vab").write_bytes(struct.pack(f"<{len(pairs)}Q", *pairs))


@needs_idle_bitmap
def test_idle_pages_of_interest_are_demoted_and_no_others(product: object) -> None:
    ebbtide.drop(NAME, DEMOTE_IDLE)
    with groups.managed("demote", cpuset_mems=str(NEAR)) as group:
        program = Exerciser(group, "--idle", "64M", "--write", "32M", "--hugepages", "never")
        group.set("cpuset.mems", f"{NEAR}-{FAR}")
        idle, write = ((each.start, each.end) for role in ("idle", "write") for each in program.ranges(role))
        middle = (idle[0] + idle[1]) // 2
        interesting(program, (idle[0], middle), write)

        def far(least: float, most: float) -> bool:
            shares = {role: program.share_on(FAR, role) for role in ("idle", "write")}
            print(f"    on the far node: {json.dumps(shares)}; {show('demote')}", flush=True)
            assert shares["idle"] < most, "nobody is interested in more"
            assert shares["write"] < 0.2, "it is in use"
            return shares["idle"] > least

        poll.until("half of the idle memory is far", lambda: far(0.48, 0.51), seconds=180, pause=3)
        poll.never("more goes, or what is in use", lambda: not far(0.48, 0.51), seconds=15, pause=3)
        interesting(program, idle, write)
        poll.until("all of it is far", lambda: far(0.98, 1.01), seconds=180, pause=3)


@pytest.mark.skipif(not DAMON.exists(), reason="this kernel has no DAMON")
def test_the_kernel_pages_out_by_itself(product: object) -> None:
    ebbtide.drop(NAME, DAMOS)
    with groups.managed("damos") as group:
        program = Exerciser(group, "--idle", "96M", "--write", "32M", "--rate", "10", "--hugepages", "never")

        def out() -> bool:
            found = {role: memory.pages(program.pid, program.ranges(role)).share() for role in ("idle", "write")}
            print(f"    in swap: {json.dumps(found)}; {show('damos')}", flush=True)
            assert found["write"] < 0.3, "it is in use"
            return found["idle"] > 0.8

        poll.until("most idle memory is in swap", out, seconds=240, pause=3)
        poll.until("the report says who it was", lambda: "applied pageout" in show("damos"), seconds=30)
        assert not ebbtide.engine("damos").get("advised_bytes"), "we have paged out nothing"
    ebbtide.clear_classes()
    ebbtide.drop(ebbtide.SCANNING, ebbtide.EMULATION)
    poll.until("the kdamonds went back", lambda: (DAMON / "nr_kdamonds").read_text() == "0\n", seconds=60)


def crowd(group: Group) -> tuple[Exerciser, Program]:
    """Who fills the far node though he may use both, and who is bound to it and grows: too much for the node."""
    flexible = group.child("flexible", cpuset_mems=str(FAR), memory_swap_max="0")
    holder = Exerciser(flexible, "--idle", "400M", "--hugepages", "never")
    flexible.set("cpuset.mems", f"{NEAR}-{FAR}")
    bound = group.child("bound", cpuset_mems=str(FAR), memory_swap_max="0")
    return holder, bound.run("python3", "-c", GROWS)


def test_without_help_somebody_is_killed(product: object) -> None:
    """So that the next story proves something."""
    with groups.managed("crowd", class_name="") as group:
        crowd(group)
        poll.until("the kernel has killed somebody", lambda: group.event("oom_kill"), seconds=300)


def test_a_bound_cgroup_stays_alive(product: object) -> None:
    ebbtide.drop(NAME, AVOID_OOM)
    with groups.managed("crowd") as group:
        holder, grower = crowd(group)

        def grown() -> bool:
            print(f"    {holder.share_on(NEAR, 'idle'):5.1%} moved away; {show('crowd')}", flush=True)
            return grower.said("grown")

        poll.until("who is bound has grown", grown, seconds=600, pause=3)
        assert group.event("oom_kill") == 0
        assert holder.alive()
        assert holder.share_on(NEAR, "idle") > 0.2
