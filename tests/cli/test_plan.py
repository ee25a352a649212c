"""`ebbtide plan`, `verify` and `explain`, on a kernel of plain files and without a daemon."""

import json
import re
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler import agentwanted, gather, pinned, plan
from reconciler.actions import StartEngine, StopEngine
from reconciler.agentconfig import AgentTask, CompactConfig, Override
from reconciler.cli import looking, steps, verify
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.model import Desired, EngineTask
from reconciler.report import AgentReport, EngineReport
from sysfs.tree import Tree
from tests.cli import kernel_tree
from tests.cli.conftest import Machine
from tests.cli.node import conforms, report, workload

ROOT = Path(__file__).parents[2]
HIGH = str(64 << 20)


def test_the_plan_is_printed_and_nothing_is_written(machine: Machine) -> None:
    shown = machine.ebbtide("plan")

    assert shown.code == 2
    assert re.search(r"^db-1 +write +memory\.high +max +67108864 +.*/a\.yaml:\d+$", shown.out, re.MULTILINE)
    assert re.search(r"^db-1 +write +memory\.swap\.max +0 +max ", shown.out, re.MULTILINE)
    assert machine.knob("memory.high") == "max"
    assert not (machine.node.state / "baseline.json").exists()


def test_nothing_to_do(machine: Machine) -> None:
    machine.set(high=HIGH, swap_max="max")

    shown = machine.ebbtide("plan")

    assert shown.code == 0
    assert shown.out.startswith("nothing to do, 1 workload")


def test_the_plan_as_json(machine: Machine) -> None:
    document = machine.ebbtide("plan", "-o", "json").document

    conforms("plan", document)
    writes = {each["what"]: (each["now"], each["then"]) for each in document["actions"] if each["action"] == "write"}
    assert writes == {"memory.high": ("max", HIGH), "memory.swap.max": ("0", "max")}


def test_only_one_workload(machine: Machine) -> None:
    kernel_tree.cgroup(machine.root, "/shop/log")
    record = json.dumps({"id": "log-1", "cgroup": "/shop/log", "class": "roomy"})
    kernel_tree.write(machine.node.state / "workloads.d/log-1.json", record)

    actions = machine.ebbtide("plan", "log-1", "-o", "json").document["actions"]

    assert {action["workload"] for action in actions} == {"log-1"}
    assert machine.ebbtide("plan", "nothing").code == 4


def test_a_paused_node_holds_everything(machine: Machine) -> None:
    (machine.node.run / "paused").touch()

    shown = machine.ebbtide("plan")

    assert shown.code == 0
    assert "held: db-1: paused" in shown.out


def test_a_broken_class_file_is_named(machine: Machine) -> None:
    machine.classes.write_text("classes: 7\n")

    shown = machine.ebbtide("plan")

    assert shown.code == 1
    assert str(machine.classes) in shown.out


def test_verify_finds_every_difference(machine: Machine) -> None:
    shown = machine.ebbtide("verify")

    assert shown.code == 1
    assert re.search(r"^db-1 +memory\.high +max +67108864 ", shown.out, re.MULTILINE)
    assert shown.out.endswith("2 differences: 1 workload looked at\n")


def test_verify_is_content(machine: Machine) -> None:
    machine.set(high=HIGH, swap_max="max")

    shown = machine.ebbtide("verify", "db-1")

    assert (shown.code, shown.out) == (0, "as wanted: 1 workload looked at\n")


def test_verify_misses_a_loop_that_no_daemon_runs(machine: Machine) -> None:
    machine.classes.write_text(
        "classes: [{name: roomy, memtierdconfig: {policy: {name: age, config: {intervalms: 1000, swapoutms: 1000}}}}]"
    )

    document = machine.ebbtide("verify", "-o", "json").document

    conforms("verify", document)
    assert not document["verified"]


TASK = EngineTask(workload="db-1", config=EngineConfig(policy=AgeConfig(interval_ms=1000)), tracker="referenced")
LOOP = EngineReport(tracker="referenced", task=TASK.fingerprint())


@pytest.mark.parametrize(
    ("wanted", "loop", "now", "actions"),
    [
        (TASK, LOOP, [], []),
        (TASK, replace(LOOP, task="another"), ["age by referenced, configured otherwise"], ["stop", "start"]),
        (TASK, replace(LOOP, error="died"), ["not running"], ["start"]),
        (TASK, None, ["not running"], ["start"]),
        (None, LOOP, ["age by referenced, configured otherwise"], ["stop"]),
        (None, None, [], []),
    ],
)
def test_a_loop_is_known_by_all_that_it_was_told(
    machine: Machine, wanted: EngineTask | None, loop: EngineReport | None, now: list[str], actions: list[str]
) -> None:
    machine.set(high=HIGH, swap_max="max")
    with looking.now(machine.options) as looked:
        (found,) = looked.look.desired.workloads.values()
        desired = Desired(workloads={"db-1": replace(found, engine=wanted)})
        look = replace(looked.look, desired=desired)
        seen = looking.with_loops(replace(looked, look=look), report(workload(id="db-1", engine=loop)))

    decided = plan.plan(desired, seen.look.observed, seen.known, 0.0)
    assert [each.now for each in verify.differences(seen, desired.workloads["db-1"])] == now
    assert [
        steps.of(action).action for action in decided.actions if isinstance(action, StartEngine | StopEngine)
    ] == actions


def test_equal_tasks_have_equal_fingerprints_in_every_process() -> None:
    code = "from reconciler.engineconfig import *; from reconciler.model import *; print(EngineTask(workload='w', "
    code += "config=EngineConfig(policy=AgeConfig(interval_ms=5, page_types=('anon', 'file'))), "
    code += "tracker='referenced', cgroups=('/a', '/b')).fingerprint())"
    seen = {
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for _ in range(2)
    }

    assert len(seen) == 1


def test_verify_expects_nothing_of_what_was_released(machine: Machine) -> None:
    (machine.node.state / "released.d").mkdir()
    (machine.node.state / "released.d" / "all").touch()

    assert machine.ebbtide("verify").code == 0


def test_explain_shows_who_asks_for_what(machine: Machine) -> None:
    shown = machine.ebbtide("explain", "db-1")

    assert shown.code == 0
    assert re.search(r"^  class +roomy +by .*/db-1\.json$", shown.out, re.MULTILINE)
    assert re.search(r"^memory\.high +max +67108864 +- +.*/a\.yaml:\d+$", shown.out, re.MULTILINE)
    assert re.search(r"^memory\.low +0 +- +- +-$", shown.out, re.MULTILINE)
    assert re.search(r"^  allowswap is set in .*/a\.yaml:3$", shown.out, re.MULTILINE)
    assert re.search(r"^  next    write memory\.high 67108864$", shown.out, re.MULTILINE)


def test_explain_as_json(machine: Machine) -> None:
    document = machine.ebbtide("explain", "db-1", "-o", "json").document

    conforms("explain", document)
    assert document["class_name"] == "roomy"


def test_explain_knows_no_such_workload(machine: Machine) -> None:
    shown = machine.ebbtide("explain", "db-2")

    assert shown.code == 4
    assert "did you mean db-1?" in shown.err


def test_a_captured_machine_is_planned_for(machine: Machine, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "capture.tgz", "w:gz") as archive:
        for path in sorted(machine.root.rglob("*")):
            if path.is_file():
                archive.add(path, path.relative_to(machine.root))

    conf = str(machine.classes.parent)
    document = machine.node.ebbtide(
        "plan", "--root", str(tmp_path / "capture.tgz"), "--config-dir", conf, "-o", "json"
    ).document

    assert {each["what"] for each in document["actions"]} == {"memory.high", "memory.swap.max"}


# -- the agent ---------------------------------------------------------------------------------------------------------

AGENT = """\
memcg: {swap: true, cgroups: [{path: /shop, period_secs: 60}]}
classes:
  - name: roomy
    reclaim: {floor: 1MiB}
"""


def on_agent(machine: Machine) -> AgentTask:
    with looking.now(machine.options) as looked:
        task = looked.look.desired.agent
    assert task is not None
    return task


def test_the_plan_has_the_agent(machine: Machine) -> None:
    machine.classes.write_text(AGENT)

    shown, document = machine.ebbtide("plan"), machine.ebbtide("plan", "-o", "json").document

    assert (shown.code, shown.out.splitlines()[1].split()) == (
        2,
        ["-", "set", "agent", "-", "memcg,", "reclaim", "of", "1", "-"],
    )
    conforms("plan", document)
    assert document["actions"][0]["action"] == "set"
    assert machine.ebbtide("plan", "db-1").code == 0, "it is no workload's"


def test_verify_compares_the_daemons_agent_with_what_is_wanted(machine: Machine) -> None:
    machine.classes.write_text(AGENT)
    task = on_agent(machine)
    fine = AgentReport(task=task.fingerprint(), doing=agentwanted.summary(task))
    machine.node.publish(report(agent=fine))
    with looking.now(machine.options) as looked:
        same = looking.with_loops(looked, report(agent=fine))
        other = looking.with_loops(looked, report(agent=replace(fine, task="other")))
        off = looking.with_loops(looked, report())

    assert list(verify.agent_differences(same)) == []
    assert [(one.what, one.now) for one in verify.agent_differences(other)] == [("agent", "compact")]
    assert [one.now for one in verify.agent_differences(off)] == ["off"]
    assert machine.ebbtide("verify", "db-1").code == 0
    document = machine.ebbtide("verify", "-o", "json").document
    conforms("verify", document)
    assert document["differences"][0]["wanted"] == "memcg, reclaim of 1"


def test_a_paused_daemons_agent_is_what_the_plan_says(machine: Machine) -> None:
    machine.classes.write_text(AGENT)
    (machine.node.run / "paused").touch()
    task = replace(on_agent(machine), observe=True)
    with looking.now(machine.options) as looked:
        seen = looking.with_loops(
            looked, report(agent=AgentReport(task=task.fingerprint(), doing=agentwanted.summary(task), observe=True))
        )

    assert seen.look.observed.agent == task
    assert list(verify.agent_differences(seen)) == []


def test_what_was_set_at_runtime_is_part_of_every_look(machine: Machine) -> None:
    machine.classes.write_text("compact: {disabled: true}")
    override = Override(section="compact", values={"disabled": False, "period_secs": 5.0}, origin="root")
    with looking.now(machine.options) as looked:
        places = looking.places(machine.options, Tree(str(machine.root)))
        seen = gather.look(places, looked.known, overrides=(override,))

    assert seen.desired.agent is not None
    assert seen.desired.agent.compact == CompactConfig(period_secs=5)
    assert looked.look.desired.agent == AgentTask()


def test_explain_says_what_the_agent_does_with_a_workload(machine: Machine) -> None:
    machine.classes.write_text(AGENT)

    shown, document = machine.ebbtide("explain", "db-1").out, machine.ebbtide("explain", "db-1", "-o", "json").document

    conforms("explain", document)
    assert document["agent"]["memcg"][0]["period_secs"] == 60
    assert document["agent"]["reclaim"]["floor_bytes"] == 1 << 20
    assert "  memcg   numa_id: [], disabled: false, swap: true, swappiness_max: 50, period_secs: 60" in shown
    assert "  reclaim slo: pressure, target_percent: 0.1" in shown


def test_explain_says_why_the_agent_leaves_it_alone(machine: Machine) -> None:
    machine.classes.write_text("memcg: {}\nclasses: [{name: roomy, reclaim: never}]\n")

    assert "  kept    by the agent: class roomy says reclaim: never" in machine.ebbtide("explain", "db-1").out


def test_the_nodes_own_services_are_kept(machine: Machine) -> None:
    kernel_tree.cgroup(machine.root, "/system.slice/containerd.service")
    kernel_tree.cgroup(machine.root, "/kubelet.service")
    machine.classes.write_text("memcg: {}\n")

    assert [one.cgroup for one in on_agent(machine).kept] == [
        "/init.scope",
        "/kubelet.service",
        "/system.slice/containerd.service",
        "/system.slice/ebbtide.service",
    ]


def test_the_agent_leaves_alone_what_the_kubelet_has_pinned(machine: Machine) -> None:
    kernel_tree.cgroup(machine.root, "/kubepods/podab-1/db")
    kernel_tree.cgroup(machine.root, "/kubepods/podab-1")
    kernel_tree.cgroup(machine.root, "/kubepods/podab-2")
    state = '{"policyName":"Static","machineState":{},"entries":{"ab-1":{"db":[]}},"checksum":1}'
    kernel_tree.write(machine.root / pinned.STATE[1:], state)
    machine.classes.write_text("memcg: {}\n")

    assert [one.cgroup for one in on_agent(machine).kept] == [
        "/init.scope",
        "/kubepods/podab-1",
        "/system.slice/ebbtide.service",
    ]


def test_the_daemons_own_cgroup_counts_and_not_that_of_whoever_looks(machine: Machine) -> None:
    """Else every look from a login session would differ from what the daemon does."""
    machine.classes.write_text("memcg: {}\n")
    task = on_agent(machine)
    machine.node.publish(report(cgroup="/elsewhere/ebbtide.service"))
    with looking.now(machine.options) as looked:
        alone = looked.look.desired.agent
    places = looking.places(machine.options, Tree(str(machine.root)))
    beside = gather.look(places, looked.known, own_cgroup="/elsewhere/ebbtide.service").desired.agent

    assert beside is not None
    assert alone == task
    assert [one.cgroup for one in beside.kept] == ["/elsewhere/ebbtide.service", "/init.scope"]
