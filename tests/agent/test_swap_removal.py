"""Guest swap goes when what is in it fits elsewhere, and stays otherwise."""

import errno
import os
from dataclasses import replace
from math import inf

import pytest

from reconciler.agent.swap_leaving import Swapoff
from reconciler.agentconfig import AgentTask
from sysfs.errors import Busy, KernelError
from tests.agent.fake_swap import MIB, OFF, Node, settle, task

SMALL = 25.0  # percent of a GiB: 256 MiB


def test_what_does_not_fit_stays_and_goes_as_soon_as_it_fits(node: Node) -> None:
    node.fill()
    agent = node.agent()
    agent.change(OFF)
    settle(node, agent, 600)
    assert node.sizes() == [1024]
    assert "stays: 800M are in it, there is room for 60M in memory (64M are left alone)" in agent.report().reason

    node.in_memory = 100 * MIB
    settle(node, agent, 30)
    assert (node.sizes(), node.in_memory, node.accidents) == ([], 900 * MIB, [])


def test_a_cgroup_at_its_limit_keeps_its_swap(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    node.swap_out(50 * MIB)
    for path, limit in (("a", "max"), ("a/b", str(100 * MIB)), ("c", "max")):
        group = node.root / "sys/fs/cgroup" / path
        group.mkdir(parents=True)
        (group / "memory.max").write_text(limit)
        (group / "memory.current").write_text(str(95 * MIB))
        (group / "memory.stat").write_text(
            f"active_file {5 * MIB}\ninactive_file {3 * MIB}\nswapcached {MIB}\nanon 1\n"
        )
        (group / "memory.swap.current").write_text(str(50 * MIB) if path != "c" else "0")
    agent.change(OFF)
    settle(node, agent, 60)
    assert node.sizes() == [256]
    assert "cgroup /a/b has 50M in swap and would pass its memory limit of 100M by 36M" in agent.report().reason

    (node.root / "sys/fs/cgroup/a/b/memory.max").write_text("max")
    settle(node, agent, 60)
    assert node.sizes() == []


def test_a_removal_ends_when_memory_becomes_short(node: Node) -> None:
    agent = node.agent()
    agent.change(task())
    settle(node, agent, 60)
    node.in_memory = 850 * MIB
    node.swap_out(800 * MIB)

    def grow() -> None:
        node.in_memory = min(node.in_memory + 150 * MIB, 940 * MIB)

    node.during_off = grow
    agent.change(OFF)
    settle(node, agent)

    assert node.sizes() == [1024]
    assert node.accidents == []
    assert agent.report().state == "failing"
    assert "in it, there is room for" in agent.report().error
    node.during_off = lambda: None
    node.in_memory = 0
    settle(node, agent, 130)
    assert node.sizes() == []


def test_a_removal_ends_when_the_section_comes_back(node: Node) -> None:
    agent = node.agent()
    agent.change(task())
    settle(node, agent, 60)
    node.in_memory = 600 * MIB
    node.swap_out(500 * MIB)
    node.during_off = lambda: agent.change(task())
    agent.change(OFF)
    settle(node, agent, 30)

    assert node.sizes() == [1024]
    assert 0 < node.swapped() < 500 * MIB
    assert (agent.report().state, agent.report().removed) == ("steady", 0)


def test_a_removal_ends_when_we_do_and_goes_on_later(node: Node) -> None:
    agent = node.agent()
    agent.change(task())
    settle(node, agent, 60)
    node.in_memory = 600 * MIB
    node.swap_out(500 * MIB)
    node.during_off = agent.stop
    agent.change(OFF)
    settle(node, agent)
    assert node.sizes() == [1024]
    assert agent.run(node.now) == inf

    node.during_off = lambda: None
    again = node.agent()
    again.change(OFF)
    settle(node, again)
    assert (node.sizes(), node.files()) == ([], [])


@pytest.mark.parametrize("new", [AgentTask(observe=True), replace(task(), observe=True)])
def test_a_removal_ends_when_we_are_to_observe_only(node: Node, new: AgentTask) -> None:
    agent = node.agent()
    agent.change(task())
    settle(node, agent, 60)
    node.in_memory = 600 * MIB
    node.swap_out(500 * MIB)
    node.during_off = lambda: agent.change(new)
    agent.change(OFF)
    settle(node, agent, 30)

    assert node.sizes() == [1024]
    assert 0 < node.swapped() < 500 * MIB
    assert agent.report().failures == 0


def test_an_area_that_somebody_else_empties_at_the_same_time(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    node.swap_out(100 * MIB)

    def quicker() -> None:
        node.in_memory += node.swapped()
        node.areas.clear()

    node.during_off = quicker
    agent.change(OFF)
    settle(node, agent)

    assert (node.files(), agent.report().state, agent.report().removed) == ([], "off", 1)


def test_progress_is_told(node: Node) -> None:
    agent = node.agent()
    agent.change(task())
    settle(node, agent, 60)
    node.in_memory = 600 * MIB
    node.swap_out(500 * MIB)
    seen: list[tuple[int, bool]] = []
    node.during_off = lambda: seen.extend((a.used_bytes // MIB, a.leaving) for a in agent.report().areas)
    agent.change(OFF)
    settle(node, agent)

    assert seen[:3] == [(500, False), (436, True), (372, True)]


def test_a_refused_swapoff_is_tried_again(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    node.refuses["off"] = errno.ENOMEM
    agent.change(OFF)
    settle(node, agent)
    assert agent.report().failures == 1
    settle(node, agent, 121)
    assert node.sizes() == []


def test_release(node: Node) -> None:
    node.fill()
    said = node.agent().release()
    assert said.startswith(f"{node.swap_file()}: ")
    assert "stays: 800M are in it" in said

    node.in_memory = 100 * MIB
    assert node.agent().release() == ""
    assert os.listdir(node.state_dir) == []
    assert node.agent().release() == ""


# -- the child itself --------------------------------------------------------------------------------------------------


def test_a_child_says_what_the_kernel_said() -> None:
    leaving = Swapoff("/nowhere/at/all")
    while not leaving.ended(60):
        pass
    leaving.kill()

    with pytest.raises(KernelError, match=r"/nowhere/at/all \(swapoff\)"):
        leaving.check()


def test_a_child_that_was_killed_has_done_nothing() -> None:
    leaving = Swapoff("/nowhere/at/all")
    leaving.kill()
    leaving.kill()

    assert leaving.ended(0)
    with pytest.raises(Busy, match="swapoff was stopped, the area is in use as before"):
        leaving.check()
