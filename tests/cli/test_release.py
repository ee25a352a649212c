"""`ebbtide release`: originals come back, with a daemon and without."""

import json
import os
from collections.abc import Iterator

import pytest

from reconciler import released, state
from reconciler.actions import SaveOriginal
from reconciler.baseline import Baseline
from reconciler.control import server
from reconciler.control.answering import Answers
from reconciler.engine.kdamond_record import Loan, Record
from reconciler.model import Knob
from tests.cli import kernel_tree
from tests.cli.conftest import Machine
from tests.cli.node import conforms, report, workload


def remember(machine: Machine, knob: Knob, original: str, written: str, *, path: str = "/shop/db") -> None:
    """As the daemon does before a write."""
    inode = os.stat(machine.root / "sys/fs/cgroup" / path.strip("/")).st_ino
    name = "db-1" if path == "/shop/db" else path.rpartition("/")[2]
    save = SaveOriginal(workload=name, cgroup=path, inode=inode, knob=knob, original=original, written=written)
    Baseline(machine.node.state, kernel_tree.BOOT).save([save])
    (machine.root / "sys/fs/cgroup" / path.strip("/") / knob).write_text(written + "\n")


def test_without_a_daemon_the_command_restores(machine: Machine) -> None:
    remember(machine, Knob.SWAP_MAX, "0", "max")

    shown = machine.ebbtide("release")

    assert shown.code == 0
    assert machine.knob("memory.swap.max") == "0"
    assert "restored" in shown.out
    assert shown.out.endswith("released: everything\n")
    assert released.read(machine.node.state) == {"*"}
    assert not Baseline(machine.node.state, kernel_tree.BOOT).entries


def test_it_needs_neither_class_files_nor_records(machine: Machine) -> None:
    remember(machine, Knob.SWAP_MAX, "0", "max")
    machine.classes.write_text("{{{")
    (machine.node.state / "workloads.d/db-1.json").unlink()

    assert machine.ebbtide("release").code == 0
    assert machine.knob("memory.swap.max") == "0"


def test_only_one_is_released(machine: Machine) -> None:
    other = kernel_tree.cgroup(machine.root, "/shop/log")
    remember(machine, Knob.SWAP_MAX, "0", "max")
    remember(machine, Knob.SWAP_MAX, "0", "max", path="/shop/log")

    shown = machine.ebbtide("release", "db-1", "-o", "json")

    conforms("release", shown.document)
    assert shown.document["released"] == ["db-1"]
    assert machine.knob("memory.swap.max") == "0"
    assert (other / "memory.swap.max").read_text() == "max\n"
    assert released.read(machine.node.state) == {"db-1"}


def test_somebody_elses_value_is_left_alone(machine: Machine) -> None:
    remember(machine, Knob.MEMORY_HIGH, "max", str(64 << 20))
    machine.set(high=str(32 << 20))

    shown = machine.ebbtide("release", "-o", "json")

    assert [(each["result"], each["why"]) for each in shown.document["values"]] == [
        ("left", f"somebody else wrote {32 << 20}")
    ]
    assert machine.knob("memory.high") == str(32 << 20)


def test_a_value_that_cannot_be_read_is_a_failure(machine: Machine) -> None:
    remember(machine, Knob.MEMORY_HIGH, "max", str(64 << 20))
    (machine.cgroup / "memory.high").unlink()

    shown = machine.ebbtide("release", "-o", "json")

    assert shown.code == 1
    assert [each["result"] for each in shown.document["values"]] == ["failed"]


def test_nothing_was_to_restore(machine: Machine) -> None:
    assert machine.ebbtide("release").out == "released: everything; nothing was to restore\n"


def test_another_process_holds_the_lock(machine: Machine) -> None:
    with state.take_lock(machine.node.state):
        shown = machine.ebbtide("release")

    assert shown.code == 1
    assert f"process {os.getpid()} holds the lock" in shown.err
    assert released.read(machine.node.state) == set()


def test_where_no_daemon_ever_ran(machine: Machine) -> None:
    shown = machine.ebbtide("release", "--state-dir", "/nonexistent/ebbtide")

    assert (shown.code, shown.out) == (0, "released: everything; nothing was to restore\n")


@pytest.fixture
def daemon(machine: Machine) -> Iterator[list[str]]:
    """Restores when it is woken, as the real one does."""
    reasons: list[str] = []
    row = workload("db-1", id="db-1", engine=None)

    def cycle(reason: str) -> None:
        reasons.append(reason)
        baseline = Baseline(machine.node.state, kernel_tree.BOOT)
        for entry in baseline.entries.values():
            machine.set(**{entry.knob.removeprefix("memory.").replace(".", "_"): entry.original})
        (machine.node.state / "baseline.json").write_text(
            json.dumps({"version": 1, "boot_id": kernel_tree.BOOT, "entries": []})
        )
        machine.node.publish(report(workload("db-1", id="db-1", state="released", engine=None)))

    machine.node.publish(report(row))
    serving = server.serve(str(machine.node.run / "control.sock"), Answers(status=dict, wake=cycle))
    yield reasons
    serving.close()


def test_a_running_daemon_does_it(machine: Machine, daemon: list[str]) -> None:
    remember(machine, Knob.SWAP_MAX, "0", "max")

    shown = machine.ebbtide("release", "db-1", "-o", "json")

    conforms("release", shown.document)
    assert shown.code == 0
    assert daemon == ["release"]
    assert machine.knob("memory.swap.max") == "0"
    assert [each["result"] for each in shown.document["values"]] == ["restored"]


def test_a_paused_daemon_says_so(machine: Machine, daemon: list[str]) -> None:
    machine.node.publish(report(state="paused"))

    shown = machine.ebbtide("release")

    assert shown.code == 1
    assert "hint: `ebbtide resume` first" in shown.err
    assert released.read(machine.node.state) == set()


def test_without_a_daemon_what_a_killed_one_took_of_damon_goes_back(machine: Machine) -> None:
    switch = machine.root / "sys/module/damon_stat/parameters/enabled"
    switch.parent.mkdir(parents=True)
    switch.write_text("N")
    Record(machine.node.state, kernel_tree.BOOT).save(Loan(paused_stat=True))

    assert machine.ebbtide("release").code == 0
    assert switch.read_text() == "Y"
    assert Record(machine.node.state, kernel_tree.BOOT).load() == Loan()
