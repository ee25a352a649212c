"""The verbs against the real daemon, on a kernel of plain files: a change is seen in the files it writes."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import children, released, safety
from sysfs import process
from sysfs.tree import Tree
from tests.cli import kernel_tree
from tests.cli.conftest import Machine
from tests.cli.node import conforms, until

HIGH = str(64 << 20)


@pytest.fixture
def daemon(machine: Machine, tmp_path: Path) -> Iterator[children.Child]:
    where = ["--root", str(machine.root), "--config-dir", str(machine.classes.parent)]
    own = ["--state-dir", str(machine.node.state), "--run-dir", str(machine.node.run)]
    child = children.python(["-m", "reconciler", "daemon", *where, *own], tmp_path / "daemon.log")
    until(lambda: machine.ebbtide("status").code == 0 or child.ended() is not None, "it does not converge")
    assert child.ended() is None, child.last_words()
    yield child
    child.end()


def test_it_converges_and_everybody_agrees(machine: Machine, daemon: children.Child) -> None:
    assert (machine.knob("memory.high"), machine.knob("memory.swap.max")) == (HIGH, "max")
    conforms("status", machine.ebbtide("status", "-o", "json").document)
    assert machine.ebbtide("plan").out.startswith("nothing to do")
    assert machine.ebbtide("verify").code == 0
    explained = machine.ebbtide("explain", "db-1", "-o", "json").document
    assert [(each["key"], each["original"]) for each in explained["settings"] if each["original"]] == [
        ("memory.high", "max"),
        ("memory.swap.max", "0"),
    ]


def test_nobody_takes_it_for_any_python_program(machine: Machine, daemon: children.Child) -> None:
    """A workload that is a whole slice may contain another of our processes."""
    assert "Ebbtide itself" in safety.refusal(process.facts(Tree(), daemon.process.pid), ())


def test_pause_and_resume(machine: Machine, daemon: children.Child) -> None:
    assert machine.ebbtide("pause").code == 0
    machine.set(high="max")
    assert machine.ebbtide("status").code == 1
    assert "paused" in machine.ebbtide("status").out
    assert machine.knob("memory.high") == "max"

    assert machine.ebbtide("resume").code == 0
    until(lambda: machine.knob("memory.high") == HIGH, "resumed, and still not written")


@pytest.mark.parametrize("words", [[], ["db-1"]])
def test_release_and_back(machine: Machine, daemon: children.Child, words: list[str]) -> None:
    shown = machine.ebbtide("release", *words)

    assert shown.code == 0, shown.out + shown.err
    assert (machine.knob("memory.high"), machine.knob("memory.swap.max")) == ("max", "0")
    assert "released" in machine.ebbtide("status").out

    assert machine.ebbtide("resume").code == 0
    until(lambda: machine.knob("memory.high") == HIGH, "taken back, and still not written")
    assert released.read(machine.node.state) == set()


def test_release_after_it_was_killed(machine: Machine, daemon: children.Child) -> None:
    daemon.process.kill()
    daemon.process.wait()
    assert machine.ebbtide("status").code == 3

    shown = machine.ebbtide("release", "-o", "json")

    conforms("release", shown.document)
    assert (shown.code, shown.document["daemon"]) == (0, False)
    assert (machine.knob("memory.high"), machine.knob("memory.swap.max")) == ("max", "0")


def test_accessed_of_something_that_is_not_measured(machine: Machine, daemon: children.Child) -> None:
    shown = machine.ebbtide("accessed", "db-1")

    assert shown.code == 4
    assert "memtierdconfig" in shown.err


def test_a_second_daemon_is_refused(machine: Machine, daemon: children.Child, tmp_path: Path) -> None:
    where = ["--state-dir", str(machine.node.state), "--run-dir", str(tmp_path / "other-run")]
    second = children.python(["-m", "reconciler", "daemon", *where], tmp_path / "second.log")
    until(lambda: second.ended() is not None, "two daemons manage one state directory")

    assert second.end() == 1
    assert f"process {daemon.pid} already manages" in second.last_words()


def test_an_unmanaged_workload_shows_what_would_be_saved(machine: Machine, daemon: children.Child) -> None:
    kernel_tree.write(machine.root / "proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/s partition 1048576 0 -2\n")
    kernel_tree.write(kernel_tree.cgroup(machine.root, "/shop/web") / "memory.stat", f"inactive_anon {5 << 20}\n")
    record = {"id": "web-1", "cgroup": "/shop/web"}
    kernel_tree.write(machine.node.state / "workloads.d" / "web-1.json", json.dumps(record))
    until(lambda: "5M by swapout: 10m" in machine.ebbtide("status").out, "nobody says what would be saved")

    document = machine.ebbtide("status", "-o", "json").document
    conforms("status", document)
    assert document["outlook"]["workloads"] == 1
    assert {each["source"] for each in document["outlook"]["classes"]} == {"memory.stat"}


def test_history_figures_and_the_page_about_the_node(machine: Machine, daemon: children.Child) -> None:
    history = machine.ebbtide("heatmap", "db-1", "-o", "json").document
    conforms("heatmap", history)
    assert history["sizes"]["fine"]["usage_bytes"] == [314572800]
    assert history["map"] == {}
    conforms("stats", machine.ebbtide("stats", "-o", "json").document)
    assert machine.ebbtide("stats", "db-1").code == 4
    conforms("top", machine.ebbtide("top", "-o", "json").document)
    assert "<td class=text>roomy</td>" in machine.ebbtide("report").out
