"""MGLRU's switches: turned on once, remembered, and given back."""

import errno
import math
from pathlib import Path

import pytest

from reconciler.agent.agent import PARTS, World, give_back
from reconciler.agentconfig import MemcgProfile
from sysfs import mglru
from tests.agent.fake_lru import MOUNT, PAGE, FakeLru
from tests.agent.memcg_bench import Bench


@pytest.fixture
def kernel() -> FakeLru:
    return FakeLru()


@pytest.fixture
def bench(tmp_path: Path, kernel: FakeLru) -> Bench:
    return Bench(tmp_path, kernel)


def switched(kernel: FakeLru) -> list[str]:
    return [text for path, text in kernel.written if path == mglru.ENABLED]


@pytest.mark.parametrize(("before", "shown"), [(0, "0x0000"), (5, "0x0005")])
def test_mglru_is_turned_on_once_and_given_back_when_the_section_goes(bench: Bench, before: int, shown: str) -> None:
    bench.kernel.switches = before
    bench.profile(MemcgProfile())
    bench.periods(3)
    assert switched(bench.kernel) == ["0x0007"]
    assert (bench.folder / "lru_gen.json").exists()

    bench.change(memcg=None)
    assert bench.part.run(bench.kernel.now) == math.inf
    assert switched(bench.kernel) == ["0x0007", shown]
    assert list(bench.folder.iterdir()) == []
    assert bench.part.report().cgroups == ()


@pytest.mark.parametrize("also_before_the_write", [True, False])
def test_after_kill_9_the_next_daemon_knows_what_was_before(bench: Bench, also_before_the_write: bool) -> None:
    bench.kernel.switches = 0
    bench.profile(MemcgProfile())
    if also_before_the_write:
        bench.kernel.refuses[mglru.ENABLED] = errno.EIO
        bench.periods()
        bench.kernel.refuses.clear()
        assert bench.kernel.switches == 0
    bench.start()
    bench.profile(MemcgProfile())
    bench.periods()
    bench.start()
    bench.profile(MemcgProfile())
    bench.periods()
    assert bench.kernel.switches == 7

    bench.start()
    bench.change(memcg=None)
    bench.part.run(bench.kernel.now)
    assert bench.kernel.switches == 0


def test_what_an_earlier_boot_remembered_says_nothing(bench: Bench) -> None:
    bench.kernel.switches = 0
    bench.profile(MemcgProfile())
    bench.periods()
    bench.start("another")
    bench.change(memcg=None)
    bench.part.run(bench.kernel.now)

    assert bench.kernel.switches == 7, "it may have been so from the beginning"


def test_who_changes_the_switches_after_us_has_decided(bench: Bench) -> None:
    bench.kernel.switches = 0
    bench.profile(MemcgProfile())
    bench.periods()
    bench.kernel.switches = 1
    bench.periods()
    assert bench.part.report().mechanism == "mglru"
    bench.kernel.switches = 0
    bench.periods()
    assert bench.part.report().mechanism == "memory.reclaim"
    assert "MGLRU is off" in bench.part.report().why
    bench.kernel.switches = 3
    bench.change(memcg=None)
    bench.part.run(bench.kernel.now)

    assert bench.kernel.switches == 3
    assert switched(bench.kernel) == ["0x0007"]
    assert list(bench.folder.iterdir()) == []


@pytest.mark.parametrize("theirs", [0, 1])
def test_a_new_daemon_does_not_overrule_who_has_changed_them_after_us(bench: Bench, theirs: int) -> None:
    bench.kernel.switches = 0
    bench.profile(MemcgProfile())
    bench.periods()
    bench.kernel.switches = theirs
    bench.start()
    bench.profile(MemcgProfile())
    bench.periods(2)

    assert (bench.kernel.switches, switched(bench.kernel)) == (theirs, ["0x0007"])


def test_killed_right_after_a_write_that_the_processor_could_not_follow(bench: Bench) -> None:
    """What is shown then is neither what was there before nor what was written."""
    bench.kernel.switches, bench.kernel.possible = 0, 3
    bench.profile(MemcgProfile())
    bench.kernel.refuses[mglru.ENABLED] = errno.EIO
    bench.periods()
    bench.kernel.refuses.clear()
    bench.kernel.switches = 3
    for memcg in (bench.profile, lambda _: bench.change(memcg=None)):
        bench.start()
        memcg(MemcgProfile())
        bench.part.run(bench.kernel.now)

    assert bench.kernel.switches == 0
    assert list(bench.folder.iterdir()) == []


def test_release_without_a_daemon_puts_them_back_and_says_if_it_cannot(bench: Bench) -> None:
    bench.kernel.switches = 0
    bench.profile(MemcgProfile())
    bench.periods()
    kernel = bench.kernel
    world = World(tree=kernel, mount=MOUNT, page_size=PAGE, state_dir=bench.folder, boot_id="boot", clock=kernel.clock)
    makers = {"memcg": PARTS["memcg"]}
    kernel.refuses[mglru.ENABLED] = errno.EPERM
    assert "switches stay on" in give_back(world, makers)[0]

    kernel.refuses.clear()
    assert give_back(world, makers) == ()
    assert (kernel.switches, list(bench.folder.iterdir())) == (0, [])


def test_what_the_processor_cannot_do_is_not_asked_again(bench: Bench) -> None:
    bench.kernel.switches = bench.kernel.possible = 3
    bench.profile(MemcgProfile())
    bench.periods(4)

    assert switched(bench.kernel) == ["0x0007"]
    assert list(bench.folder.iterdir()) == [], "nothing has changed, so there is nothing to put back"


def test_what_cannot_be_remembered_is_not_written(bench: Bench, tmp_path: Path) -> None:
    bench.kernel.switches = 0
    bench.folder = tmp_path / "missing"
    bench.start()
    bench.profile(MemcgProfile())
    bench.periods()

    assert switched(bench.kernel) == []
    assert "No such file or directory" in bench.part.report().why


def test_observing_puts_nothing_back(bench: Bench) -> None:
    bench.kernel.switches = 0
    bench.profile(MemcgProfile())
    bench.periods()
    bench.change(memcg=None, observe=True)
    bench.part.run(bench.kernel.now)

    assert switched(bench.kernel) == ["0x0007"]
