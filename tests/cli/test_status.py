"""`ebbtide status`: what it prints and with which code it ends."""

import subprocess
import sys
from dataclasses import replace

import pytest

from reconciler.agentconfig import Override
from reconciler.cli import published
from reconciler.model import Severity
from reconciler.report import (
    AgeBin,
    AgentReport,
    ClassReport,
    CompactReport,
    EngineReport,
    EvictionReport,
    LruReport,
    MemcgCgroup,
    MemcgReport,
    ReclaimedReport,
    ReclaimReport,
    Report,
    SavedReport,
    SwapAreaReport,
    SwapReport,
)
from tests.cli.node import ID, PROBLEM, SAVED, Node, conforms, report, workload

MIB = 1 << 20
OTHER = workload(
    "shop/cart-1/log", id="ab" * 32, state="unmanaged", class_name="", engine=None, knobs=(), saved=SavedReport()
)
CLASSES = (
    ClassReport(name="swap-idle-data", saved=SAVED),
    ClassReport(name="old", saved=SavedReport(since="2026-11-25")),
)


def test_a_converged_node(node: Node) -> None:
    node.publish(report(workload(), OTHER, classes=CLASSES))

    shown = node.ebbtide("status")

    assert shown.code == 0
    assert "● ebbtide: running, 2 workloads" in shown.out
    assert "shop/cart-1/db   swap-idle-data  converged   300M  50M  200M  191M   190M  -" in shown.out
    assert "   saved: 190M now, 1.5 GiB-hours since 2026-11-24; 191M left, 1M came back\n" in shown.out
    assert "note: shop/cart-1/db: a note" in shown.out


def test_memory_on_nodes_and_by_age_is_told(node: Node) -> None:
    bins = [(0, 2), (7000, 3), (9000, 4), (700_000, 1)]
    amounts = [AgeBin(cgroup="/a", node=0, age_ms=age, anon_pages=mib * 256, file_pages=0) for age, mib in bins]
    engine = EngineReport(
        tracker="damon",
        policy="heat",
        moved_bytes=64 << 20,
        brought_back_bytes=1 << 20,
        node_bytes={"10": 1 << 20, "2": 300 << 20},
        amounts=tuple(amounts),
    )
    node.publish(report(workload(engine=engine), OTHER))

    shown = node.ebbtide("status").out

    assert [line.split() for line in shown.splitlines() if "  " in line and "shop" in line] == [
        ["shop/cart-1/db", "swap-idle-data", "converged", "300M", "0B", "0B", "191M", "190M", "2:300M", "10:1M", "-"],
        ["shop/cart-1/log", "-", "unmanaged", "300M", "-", "-", "191M", "-", "-", "-"],
    ]
    assert (
        "memory: shop/cart-1/db: 1M brought back from swap; unused for at least (MGLRU): 2M 0 s, 7M 5 s, 1M 600 s\n"
    ) in shown


def test_json_is_the_report_and_keeps_its_schema(node: Node) -> None:
    told = report(workload(problems=(PROBLEM,)), OTHER)
    node.publish(told)

    shown = node.ebbtide("status", "-o", "json")

    conforms("status", shown.document)
    assert published.load(Report, shown.document) == told
    assert shown.document["running"] is True


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        (report(workload(state="drift")), 1),
        (report(workload(state="held", reason="paused")), 1),
        (report(workload(), problems=(PROBLEM,)), 1),
        (report(workload(problems=(PROBLEM,))), 1),
        (report(workload(), problems=(replace(PROBLEM, severity=Severity.NOTE),)), 0),
        (report(workload(state="released")), 0),
        (report(), 0),
        (report(workload(), time="2020-01-01T00:00:00Z"), 3),
        (report(workload(), boot_id="another"), 3),
    ],
)
def test_exit_codes(node: Node, changed: Report, code: int) -> None:
    node.publish(replace(changed, time=changed.time if "2020" in changed.time else report().time))

    assert node.ebbtide("status").code == code


def test_problems_are_shown_with_place_and_hint(node: Node) -> None:
    node.publish(report(workload(), problems=(PROBLEM,)))

    assert "/etc/nri/conf.d/x.yaml:3:5: /classes/0: bad\n    hint: do\n" in node.ebbtide("status").out


def test_a_daemon_that_has_ended_is_said(node: Node) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    node.publish(report(workload(), pid=child.pid))

    shown = node.ebbtide("status")

    assert shown.code == 3
    assert "ebbtide: not running" in shown.out
    assert "stale: the daemon" in shown.out


def test_no_report_at_all(node: Node) -> None:
    shown = node.ebbtide("status")

    assert shown.code == 3
    assert shown.err.startswith("ebbtide: the daemon: not running: there is no ")
    assert shown.err.endswith("\nhint: start it with `ebbtide daemon`\n")


@pytest.mark.parametrize("text", ['{"version": 1, ', "[]", '{"workloads": [{"id": 1}]}', '{"workloads": 7}'])
def test_a_report_that_is_none(node: Node, text: str) -> None:
    (node.run / "status.json").write_text(text)

    shown = node.ebbtide("status")

    assert shown.code == 3
    assert "is no status report" in shown.err


def test_keys_of_a_newer_daemon_do_no_harm(node: Node) -> None:
    entry = '{"id": "a", "name": "a", "class_name": "c", "state": "converged", "taste": 1}'
    (node.run / "status.json").write_text(f'{{"version": 9, "colour": "green", "workloads": [{entry}]}}')

    assert "converged" in node.ebbtide("status").out


@pytest.mark.parametrize("word", ["shop/cart-1/db", ID[:8], ID])
def test_one_workload(node: Node, word: str) -> None:
    node.publish(report(workload(), OTHER))

    shown = node.ebbtide("status", word, "-o", "json")

    assert [entry["name"] for entry in shown.document["workloads"]] == ["shop/cart-1/db"]


def test_a_pod_means_its_containers(node: Node) -> None:
    node.publish(report(workload(), OTHER))

    assert len(node.ebbtide("status", "shop/cart-1", "-o", "json").document["workloads"]) == 2


def test_an_unknown_workload_has_a_suggestion(node: Node) -> None:
    node.publish(report(workload()))

    shown = node.ebbtide("status", "shop/cart-1/bd")

    assert shown.code == 4
    assert shown.err == "ebbtide: shop/cart-1/bd: no such workload\nhint: did you mean shop/cart-1/db?\n"


@pytest.mark.parametrize(
    ("engine", "reason", "code"),
    [
        (EngineReport(tracker="idlepage", brake="swap is full"), "\x1b[33mbrake: swap is full\x1b[0m", 0),
        (EngineReport(tracker="idlepage", error="it died"), "\x1b[31merror: it died\x1b[0m", 1),
    ],
)
def test_a_brake_and_a_dead_loop_are_seen(node: Node, engine: EngineReport, reason: str, code: int) -> None:
    node.publish(report(workload(engine=engine)))

    shown = node.ebbtide("status", "--color")

    assert shown.out.splitlines()[-1].endswith(reason)
    assert shown.code == code


def test_a_brake_is_seen_beside_a_reason(node: Node) -> None:
    engine = EngineReport(tracker="idlepage", brake="swap is full")
    node.publish(report(workload(engine=engine, state="held", reason="paused")))

    assert node.ebbtide("status").out.splitlines()[-1].endswith("paused; brake: swap is full")


def test_processes_without_a_cgroup_have_no_usage(node: Node) -> None:
    node.publish(report(workload(cgroup="", engine=None)))

    assert "converged      -    -     -     -   190M  -" in node.ebbtide("status").out


def test_the_agent_is_shown_with_what_its_parts_say(node: Node) -> None:
    swap = SwapReport(state="steady", target_bytes=2 << 30, made=1, areas=(SwapAreaReport(path="/s", size_bytes=1),))
    compact = CompactReport(state="waiting", seconds=1.5, stopped={"time": 1})
    lru = LruReport(node=0, eviction=EvictionReport(page=7), reason="x", next_secs=None)
    memcg = MemcgReport(
        mechanism="mglru", taken_bytes=1 << 20, cgroups=(MemcgCgroup(path="/", id=1, ino=1, nodes=(lru,)),)
    )
    override = Override(section="memcg", cgroup="/a", values={"swap": True, "pass_bytes": 1 << 20}, origin="root")
    told = AgentReport(task="f", doing="compact", overrides=(override,), errors=("memcg: ValueError",))
    probed = ReclaimedReport(
        workload="a", name="a/b/c", cgroup="/a", state="holding", reason="a disk", usage_bytes=MIB, taken_bytes=3 * MIB
    )
    other = replace(probed, name="d", reason="", footprint_bytes=MIB, would_take_bytes=2 * MIB)
    told = replace(told, swap=swap, compact=compact, memcg=memcg, reclaim=ReclaimReport(workloads=(probed, other)))
    node.publish(report(agent=told))

    shown = node.ebbtide("status")

    assert shown.code == 1
    assert shown.out.splitlines()[-8:] == [
        "   agent: compact",
        "          memcg: mechanism mglru, taken 1M",
        "          compact: state waiting, seconds 1.5",
        "          swap: state steady, target 2G, made 1",
        "          reclaim of a/b/c: holding, uses 1M, took 3M; a disk",
        "          reclaim of d: holding, uses 1M, did with 1M, would have taken 2M",
        "          set at runtime: memcg[/a] swap: yes, pass_bytes: 1M (by root)",
        "          failed: memcg: ValueError",
    ]
    document = node.ebbtide("status", "-o", "json").document
    conforms("status", document)
    assert published.load(Report, document).agent == told


def test_an_agent_that_is_off_is_not_mentioned(node: Node) -> None:
    node.publish(report(agent=AgentReport(swap=SwapReport())))

    assert "agent" not in node.ebbtide("status").out
