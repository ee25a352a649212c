"""Guest swap on a node that behaves: files and devices appear, grow and go, and no memory is ever lost."""

import errno
import os
from dataclasses import replace
from math import inf

import pytest

from reconciler.agentconfig import AgentTask, SwapConfig
from reconciler.report import SwapReport
from tests.agent.fake_swap import MIB, OFF, Node, settle, task

SMALL = 25.0  # percent of a GiB: 256 MiB


# -- files -------------------------------------------------------------------------------------------------------------


def test_nothing_happens_before_the_first_task(node: Node) -> None:
    assert node.agent().run(node.now) == inf


def test_a_file_appears_after_the_threshold_grows_with_memory_and_goes_with_the_section(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 59)
    assert (node.sizes(), node.files()) == ([], [])
    assert agent.report().state == "waiting"
    assert agent.report().reason == "memory has had 1G for 59 s, wait for 1 s" or agent.report().reason.startswith(
        "memory"
    )

    settle(node, agent, 1)
    assert node.sizes() == [256]
    assert node.swap_file().stat().st_mode & 0o777 == 0o600

    node.memory *= 2
    settle(node, agent, 59)
    assert node.sizes() == [256]
    settle(node, agent, 15)
    assert node.sizes() == [256, 256]
    settle(node, agent, 1000)
    report = agent.report()
    assert (report.state, report.reason, report.made, len(report.areas)) == ("steady", "", 2, 2)
    assert (report.target_bytes, report.size_bytes) == (512 * MIB, 512 * MIB)

    agent.change(OFF)
    settle(node, agent)
    assert (node.sizes(), os.listdir(node.state_dir)) == ([], [])
    assert agent.report() == SwapReport(memory_bytes=2048 * MIB, made=2, removed=2)
    assert node.accidents == []


def test_priority_and_folder(node: Node) -> None:
    place = node.root / "elsewhere"
    place.mkdir(mode=0o700)
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL, guest_swap_path=f"{place}/", priority=7))
    settle(node, agent, 60)

    assert [(os.path.dirname(area.path), area.priority) for area in node.areas] == [(str(place), 7)]

    agent.change(OFF)
    settle(node, agent)
    assert (list(place.iterdir()), node.areas) == ([], []), "a folder that was there stays there"


def test_another_folder_is_moved_to_the_new_file_first(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    node.swap_out(100 * MIB)
    agent.change(task(guest_swap_size_percent=SMALL, guest_swap_path=str(node.root / "new")))
    settle(node, agent, 60)

    assert [os.path.dirname(area.path) for area in node.areas] == [str(node.root / "new")]
    assert not (node.state_dir / "swap").exists()
    assert node.accidents == []


def test_a_larger_percentage_makes_another_file_at_once_a_smaller_one_takes_one_away(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    agent.change(task(guest_swap_size_percent=75.0))
    settle(node, agent)
    assert node.sizes() == [256, 512]
    node.swap_out(90 * MIB)
    agent.change(task(guest_swap_size_percent=50.0))
    settle(node, agent, 10)
    assert node.sizes() == [512]
    assert node.accidents == []


def test_where_bytes_cannot_be_reserved_they_are_written(node: Node) -> None:
    node.can_reserve = False
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=1.0))
    settle(node, agent, 60)

    assert node.sizes() == [10]
    assert node.swap_file().stat().st_blocks * 512 >= 10 * MIB


def test_a_bad_file_system_is_told_and_nothing_is_made(node: Node) -> None:
    node.magic = 0x01021994
    agent = node.agent()
    agent.change(task())
    settle(node, agent, 3600)

    assert agent.report().state == "waiting"
    assert "is on tmpfs, which cannot hold swap files" in agent.report().reason
    assert os.listdir(node.state_dir) == []


def test_too_little_room_is_told_until_there_is_enough(node: Node) -> None:
    agent = node.agent()
    about = task(guest_swap_size_percent=SMALL)
    assert about.swap
    agent.change(replace(about, swap=replace(about.swap, keep_free_bytes=1 << 60)))
    settle(node, agent, 600)
    assert "a swap file of 256M needs 1E free there, to keep 1E" in agent.report().reason

    agent.change(about)
    settle(node, agent)
    assert node.sizes() == [256]


def test_a_failure_leaves_nothing_and_is_tried_again_later(node: Node) -> None:
    node.refuses["on"] = errno.EPERM
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    report = agent.report()
    assert (report.state, report.failures, node.files()) == ("failing", 1, [])
    assert "Operation not permitted" in report.error

    settle(node, agent, 119)
    assert node.sizes() == []
    settle(node, agent, 2)
    assert node.sizes() == [256]
    settle(node, agent, 10)
    assert (agent.report().failures, agent.report().error) == (0, "")


def test_no_file_is_made_if_it_cannot_be_put_on_record(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = node.agent()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSPC, "disk full")))
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)

    assert (node.areas, os.listdir(node.state_dir)) == ([], [])
    assert "disk full" in agent.report().error


# -- what is not ours --------------------------------------------------------------------------------------------------


def test_swap_of_others_is_never_touched(node: Node) -> None:
    node.other_swap(512 * MIB)
    folder = node.state_dir / "swap"
    folder.mkdir(mode=0o700)
    (folder / "swap0").write_text("a stranger's")
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    assert agent.report().other_bytes == 512 * MIB
    agent.change(OFF)
    settle(node, agent)

    assert [area.path for area in node.areas] == ["/dev/vda5"]
    assert node.files() == ["swap0"]


def test_an_area_that_somebody_else_took_off_is_made_again(node: Node) -> None:
    agent = node.agent()
    agent.change(task(guest_swap_size_percent=SMALL))
    settle(node, agent, 60)
    node.areas.clear()
    settle(node, agent, 10)

    assert (node.sizes(), len(node.files())) == ([256], 1)


# -- observing ---------------------------------------------------------------------------------------------------------


def test_observing_says_what_it_would_do(node: Node) -> None:
    agent = node.agent()
    observing = replace(task(guest_swap_size_percent=SMALL), observe=True)
    agent.change(observing)
    settle(node, agent, 100)
    assert (agent.report().would, agent.report().state) == ("make a swap file of 256M", "waiting")
    assert (node.areas, os.listdir(node.state_dir)) == ([], [])

    agent.change(replace(observing, observe=False))
    settle(node, agent)
    name = node.swap_file().name
    agent.change(AgentTask(observe=True))
    settle(node, agent, 100)
    assert agent.report().would == f"remove {name}"
    assert node.sizes() == [256]


def test_a_section_that_is_not_enabled_is_none(node: Node) -> None:
    agent = node.agent()
    agent.change(AgentTask(swap=SwapConfig(guest_swap_create_threshold_secs=0)))
    settle(node, agent, 100)

    assert (node.areas, agent.report().state) == ([], "off")


# -- restarts and reboots ----------------------------------------------------------------------------------------------


def test_after_a_restart_what_is_in_use_stays(node: Node) -> None:
    node.fill()
    again = node.agent()
    again.change(task())
    settle(node, again, 100)

    assert node.sizes() == [1024]
    assert (again.report().state, again.report().made) == ("steady", 0)


def test_after_a_reboot_the_old_file_goes_and_a_new_one_is_made(node: Node) -> None:
    node.fill()
    old = node.swap_file()
    node.reboot()
    again = node.agent()
    again.change(task(guest_swap_size_percent=SMALL))
    settle(node, again, 10)
    assert not old.exists()
    settle(node, again, 50)

    assert node.sizes() == [256]
