"""Guest swap in compressed memory: zram devices of our own."""

import errno
import os

import pytest

from reconciler.agentconfig import SwapKind
from tests.agent.fake_swap import MIB, OFF, Node, settle, task

SMALL = 25.0  # percent of a GiB: 256 MiB


def test_zram(node: Node) -> None:
    node.hot_add()
    agent = node.agent()
    about = task(guest_swap_size_percent=SMALL, kind=SwapKind.ZRAM, algorithm="zstd", priority=100)
    agent.change(about)
    settle(node, agent, 60)
    assert [(area.path, area.priority) for area in node.areas] == [(f"{node.root}/dev/zram1", 100)]
    assert (node.devices[1].algorithm, node.devices[1].disksize) == ("zstd", 256 * MIB)
    assert (agent.report().kind, agent.report().folder) == ("zram", "")

    node.memory *= 2
    settle(node, agent, 75)
    assert node.sizes() == [256, 256]
    node.swap_out(50 * MIB)
    agent.change(OFF)
    settle(node, agent)
    assert (node.areas, sorted(node.devices), os.listdir(node.state_dir)) == ([], [0], [])
    assert node.accidents == []


@pytest.mark.parametrize("algorithm", ["zstd", "nonsense"])
def test_zram_without_its_module_or_with_a_wrong_word(node: Node, algorithm: str) -> None:
    node.has_zram = algorithm != "zstd"
    agent = node.agent()
    agent.change(task(kind=SwapKind.ZRAM, algorithm=algorithm))
    settle(node, agent, 60)
    said = agent.report().reason + agent.report().error

    assert (node.areas, node.devices, os.listdir(node.state_dir)) == ([], {}, [])
    assert ("modprobe zram" in said) == (algorithm == "zstd")
    assert ("zram has no compression nonsense, but lzo zstd" in said) == (algorithm == "nonsense")


def test_a_device_of_ours_that_somebody_else_made_again_is_theirs(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL, kind=SwapKind.ZRAM))
    settle(node, agent, 60)
    node.areas.clear()
    node.devices[0].disksize = 0
    node.hot_remove(0)
    assert node.hot_add() == 0
    agent.change(OFF)
    settle(node, agent)

    assert sorted(node.devices) == [0]
    assert os.listdir(node.state_dir) == []


def test_if_no_device_can_be_made_that_of_somebody_else_stays(node: Node) -> None:
    node.refuses["hot_add"] = errno.ENOMEM
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL, kind=SwapKind.ZRAM))
    settle(node, agent, 60)
    theirs = node.hot_add()
    settle(node, agent, 200)

    assert theirs == 0
    assert [area.path for area in node.areas] == [f"{node.root}/dev/zram1"]


def test_from_files_to_zram(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    node.swap_out(50 * MIB)
    agent.change(task(guest_swap_size_percent=SMALL, kind=SwapKind.ZRAM))
    settle(node, agent, 60)

    assert [area.path for area in node.areas] == [f"{node.root}/dev/zram0"]
    assert node.files() == []


@pytest.mark.parametrize(("looks", "left"), [(3, False), (1000, True)], ids=["for a moment", "for long"])
def test_release_waits_for_who_looks_at_the_device_after_swapoff(node: Node, looks: int, left: bool) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL, kind=SwapKind.ZRAM))
    settle(node, agent, 60)
    node.watched = looks
    said = node.agent().release()

    assert node.areas == []
    assert (0 in node.devices) == left
    assert (f"{node.root}/dev/zram0: zram0: Device or resource busy" in said) == left
    assert 0 < len(node.paused) <= 20
