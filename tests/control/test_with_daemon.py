"""Runtime control of the real daemon, on a kernel of plain files: what is set holds, is shown, and is kept if asked."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler import children, persisted
from reconciler.control import client
from tests.cli import kernel_tree
from tests.cli.conftest import Machine, machine, node
from tests.cli.node import conforms, until
from tests.control.fake_agent import FakeAgent
from tests.eventually import eventually

REPOSITORY = Path(__file__).parents[2]
__all__ = ["machine", "node"]  # fixtures
AGENT = """\
memcg: {disabled: true, period_secs: 10m}
compact: {disabled: true, compact_order: 7}
"""


def start(machine: Machine, log: Path) -> children.Child:
    where = ["--root", str(machine.root), "--config-dir", str(machine.classes.parent)]
    own = ["--state-dir", str(machine.node.state), "--run-dir", str(machine.node.run)]
    child = children.python(["-m", "reconciler", "daemon", *where, *own], log)
    until(lambda: machine.ebbtide("status").code in (0, 1) or child.ended() is not None, "it does not start")
    assert child.ended() is None, child.last_words()
    return child


@pytest.fixture
def daemon(machine: Machine, tmp_path: Path) -> Iterator[children.Child]:
    (machine.classes.parent / "20-agent.yaml").write_text(AGENT)
    child = start(machine, tmp_path / "daemon.log")
    yield child
    if child.ended() is None:
        child.end()


@pytest.fixture
def ends(machine: Machine, daemon: children.Child) -> Iterator[client.Client]:
    with client.Client(machine.options.socket, timeout=60) as made:
        yield made


def drop_in(machine: Machine) -> Path:
    return machine.classes.parent / persisted.NAME


def overrides(machine: Machine) -> list[dict[str, object]]:
    found: list[dict[str, object]] = machine.ebbtide("status", "-o", "json").document["agent"]["overrides"]
    return found


def test_what_is_set_holds_and_is_shown_with_who_set_it(machine: Machine, daemon: children.Child) -> None:
    got = machine.ebbtide("memcg", "get", "-o", "json").document
    conforms("memcg", got)
    assert (got["on"], got["values"]["period_secs"], got["values"]["swap"]) == (True, 600.0, False)
    assert got["origins"]["period_secs"].endswith("20-agent.yaml:1")

    done = machine.ebbtide("memcg", "set", '{"period_secs": "5m", "swap": true}', "-o", "json")

    assert done.code == 0, done.err
    conforms("memcg", done.document)
    assert done.document["values"]["period_secs"] == 300.0
    assert done.document["origins"]["swap"].startswith("ebbtide memcg set, 20")
    until(lambda: len(overrides(machine)) == 1, "the daemon does not publish it")
    said = machine.ebbtide("status").out
    assert "set at runtime: memcg period_secs: 300 s, swap: yes (by ebbtide memcg set, 20" in said
    shown = machine.ebbtide("memcg", "get").out
    assert shown.startswith("memcg: off\n")
    assert not drop_in(machine).exists()


def test_it_is_applied_by_the_next_cycle_and_ends_with_reset(machine: Machine, ends: client.Client) -> None:
    def doing() -> str:
        found: str = ends.status()["agent"]["doing"]
        return found

    assert doing() == "off"
    ends.change("compact", '{"disabled": false}')
    until(lambda: doing() == "compact", "the agent goes on as before")

    found = ends.reset("compact")

    assert (found["values"]["disabled"], found["values"]["compact_order"]) == (True, 7)
    until(lambda: doing() == "off", "the agent goes on after the reset")


def test_one_workload_or_cgroup(machine: Machine, daemon: children.Child) -> None:
    done = machine.ebbtide("memcg", "set", '{"swappiness_max": 10}', "--workload", "db-1", "-o", "json")

    conforms("memcg", done.document)
    assert [(one["path"], one["swappiness_max"], one["period_secs"]) for one in done.document["entries"]] == [
        ("/shop/db", 10, 600.0)
    ]
    assert done.document["origins"]["swappiness_max"].startswith("ebbtide memcg set")
    other = machine.ebbtide("memcg", "get", "--cgroup", "/sys/fs/cgroup/shop/", "-o", "json").document
    assert [(one["path"], one["swappiness_max"]) for one in other["entries"]] == [("/shop", 50)]
    assert "swappiness_max" not in other["origins"]
    assert "/shop/db:" in machine.ebbtide("memcg", "get", "--workload", "db-1").out


WRONG: list[tuple[list[str], int, str]] = [
    (["memcg", "set", '{"swapp": true}'], 64, 'unknown key "swapp"'),
    (["memcg", "set", '{"swap": 3, "period_secs": 60}'], 64, "swap: must be true or false"),
    (["memcg", "set", '{"swap": true, "swap": false}'], 64, "a key stands in it twice"),
    (["memcg", "set", "swap=true"], 64, "is no JSON"),
    (["memcg", "set", "[]"], 64, "must be an object"),
    (["memcg", "set", "[" * 100000], 64, "nested too deeply"),
    (["memcg", "set"], 64, "set needs a JSON object"),
    (["memcg", "get", "{}"], 64, "get takes no JSON"),
    (["memcg", "get", "--persist"], 64, "--persist says nothing to get"),
    (["memcg", "get", "--workload", "x", "--cgroup", "/x"], 64, "not both"),
    (["memcg", "get", "--workload", "nobody"], 4, "no such workload"),
    (["memcg", "set", '{"swap": true}', "--cgroup", "/../etc"], 64, "refused"),
    (["compact", "set", '{"compact_order": 99}'], 64, "too large"),
    (["compact", "status", "--cgroup", "/a"], 64, "unrecognized arguments"),
]


def test_wrong_changes_change_nothing(machine: Machine, daemon: children.Child) -> None:
    for words, code, said in WRONG:
        done = machine.ebbtide(*words)
        assert (done.code, said in done.err) == (code, True), done.err

    assert overrides(machine) == []


def test_what_is_kept_survives_the_daemon(machine: Machine, daemon: children.Child, tmp_path: Path) -> None:
    done = machine.ebbtide("memcg", "set", '{"period_secs": "2m", "swap": true}', "--persist")
    assert done.code == 0, done.err
    assert f"kept in {drop_in(machine)}" in done.out
    assert machine.ebbtide("compact", "set", '{"compact_order": 5}', "--persist").code == 0
    text = drop_in(machine).read_text()
    assert text.startswith("# Written by `ebbtide compact set --persist` on 20")
    assert "for uid " in text
    assert yaml.safe_load(text) == {"memcg": {"period_secs": "2m", "swap": True}, "compact": {"compact_order": 5}}

    def asked() -> dict[str, Any]:
        return dict(machine.ebbtide("memcg", "get", "-o", "json").document)

    daemon.end()
    again = start(machine, tmp_path / "again.log")
    try:
        # The socket is there before the first cycle has read the class files.
        assert eventually(lambda: asked()["values"]["period_secs"] == 120.0)
        got = asked()
        assert got["values"]["swap"] is True
        assert str(drop_in(machine)) in got["origins"]["swap"]
        assert overrides(machine) == []
    finally:
        again.end()


def test_a_file_that_will_count_above_what_is_kept_is_named(machine: Machine, daemon: children.Child) -> None:
    later = machine.classes.parent / "99-last.yaml"
    later.write_text("memcg: {swap: false}\n")

    done = machine.ebbtide("memcg", "set", '{"swap": true, "period_secs": 60}', "--persist")

    notes = [line for line in done.out.splitlines() if line.startswith("note: ")]
    assert notes == [f"note: {later}:1 gives memcg: swap, too, and counts again once the daemon has restarted"]


def test_what_cannot_be_kept_is_not_changed_either(machine: Machine, daemon: children.Child) -> None:
    drop_in(machine).symlink_to("/dev/null")

    done = machine.ebbtide("memcg", "set", '{"swap": true}', "--persist")

    assert done.code == 1
    assert "cannot be kept, so nothing was changed" in done.err
    assert overrides(machine) == []


def test_a_containers_cgroup_cannot_be_kept(machine: Machine, daemon: children.Child) -> None:
    record = {"id": "c0ffee", "cgroup": "/shop/db", "writer": "nri", "boot_id": "11111111-2222-3333-4444-555555555555"}
    (machine.node.state / "workloads.d" / "db-1.json").unlink()
    (machine.node.state / "workloads.d" / "c0ffee.json").write_text(json.dumps(record))
    until(
        lambda: [one["id"] for one in machine.ebbtide("status", "-o", "json").document["workloads"]] == ["c0ffee"],
        "the container is not seen",
    )

    done = machine.ebbtide("memcg", "set", '{"swap": true}', "--workload", "c0ffee", "--persist")

    assert (done.code, "goes with its container" in done.err) == (64, True), done.err


def test_figures(machine: Machine, daemon: children.Child) -> None:
    done = machine.ebbtide("compact", "-o", "json")

    conforms("compact", done.document)
    assert done.document["report"]["state"] == "off"
    assert machine.ebbtide("compact", "status").out.splitlines()[:2] == ["agent: off", "state: off"]


def test_pause_resume_release_and_plan(machine: Machine, ends: client.Client) -> None:
    def state() -> str:
        found: str = ends.status()["state"]
        return found

    conforms("plan", ends.plan())
    ends.pause()
    until(lambda: state() == "paused", "it does not pause")
    with pytest.raises(client.Busy, match="paused and changes nothing"):
        ends.release()
    ends.resume()
    until(lambda: state() == "running", "it does not resume")

    with pytest.raises(client.Unknown, match="no workload x is here"):
        ends.release(["x"])
    ends.release(["db-1"])
    until(lambda: machine.knob("memory.high") == "max", "it is not released")
    with pytest.raises(client.Unknown, match="db-2 is not released"):
        ends.resume(["db-2"])
    ends.resume(["db-1"])
    until(lambda: machine.knob("memory.high") == str(64 << 20), "it is not managed again")
    ends.release()
    until(lambda: machine.knob("memory.high") == "max", "not everything is released")
    with pytest.raises(client.Wrong, match="every workload was released"):
        ends.resume(["db-1"])


def test_events(machine: Machine, ends: client.Client) -> None:
    shown = machine.ebbtide("events")
    assert "state db-1 new -> converged" in shown.out or "state db-1 new -> " in shown.out
    assert "action db-1 done: action=write knob=memory.high" in shown.out
    for line in machine.ebbtide("events", "-o", "json").out.splitlines():
        conforms("events", json.loads(line))
    assert machine.ebbtide("events", "-n", "1").out.count("\n") == 1
    assert machine.ebbtide("events", "nobody").code == 4

    following = ends.watch(past=1)
    next(following)
    ends.change("memcg", '{"swap": true}')
    one = next(following)
    assert (one["kind"], one["text"].startswith('memcg: {"swap": true} by uid ')) == ("set", True)
    ends.pause()
    seen = []
    while "daemon" not in seen:
        seen.append(next(following)["kind"])
    following.close()


def test_events_that_are_followed_end_with_the_daemon(machine: Machine, daemon: children.Child, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reconciler", "events", "-f", "-n", "1", "--run-dir", str(machine.node.run)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        daemon.end()
        _, error = child.communicate(timeout=60)

    assert (child.returncode, "ebbtide: the daemon: " in error) == (3, True), error


def test_kata_agent_ctls_words_for_our_daemon(machine: Machine, daemon: children.Child) -> None:
    commands = ['MemAgentMemcgSet json://{"period_secs":300}', 'MemAgentCompactSet json://{"compact_order":4}']

    done = machine.ebbtide("ctl", "--cmd", *commands, "-o", "json")

    assert done.code == 0, done.err
    conforms("ctl", done.document)
    assert [one["error"] for one in done.document["commands"]] == ["", ""]
    assert machine.ebbtide("memcg", "get", "-o", "json").document["values"]["period_secs"] == 300.0
    assert machine.ebbtide("compact", "get", "-o", "json").document["values"]["compact_order"] == 4
    file = machine.node.path / "change.json"
    file.write_text('{"swap": true}')
    assert machine.ebbtide("ctl", "-c", f"MemAgentMemcgSet file://{file}", "--workload", "db-1").code == 0
    until(lambda: len(overrides(machine)) == 3, "not all of it is published")


def test_a_class_s_memagent_reaches_the_agent_of_its_kata_pods(
    machine: Machine, daemon: children.Child, tmp_path: Path
) -> None:
    folder = machine.root / "run/kata/5a5a/root"
    folder.mkdir(parents=True)
    agent = FakeAgent(folder / "kata.hvsock", hybrid_port=1024)
    (machine.classes.parent / "30-kata.yaml").write_text(
        "classes: [{name: sandboxed, memagent: {memcg: {swap: true, period_secs: 5m}}}]\n"
    )
    pod = {"namespace": "shop", "pod": "cart", "container": "db", "class": "sandboxed"}
    for name, handler in (("kata-1", "kata-qemu"), ("plain-1", "")):
        kernel_tree.cgroup(machine.root, f"/shop/{name}")
        own = {"id": name, "cgroup": f"/shop/{name}", "sandbox": "5a5a" if handler else "77"}
        record = {**own, "runtime_handler": handler, **pod}
        (machine.node.state / "workloads.d" / f"{name}.json").write_text(json.dumps(record))

    until(lambda: bool(agent.heard), "the agent is not told")

    assert (agent.heard[0].method, agent.heard[0].fields) == ("MemAgentMemcgSet", {2: 1, 4: 300})
    until(
        lambda: (machine.ebbtide("status", "-o", "json").document["agent"]["kata"] or {}).get("delivered") == 1,
        "the status does not say so",
    )
    document = machine.ebbtide("status", "-o", "json").document
    conforms("status", document)
    assert [(one["name"], one["state"]) for one in document["agent"]["kata"]["sandboxes"]] == [
        ("shop/cart", "delivered")
    ]
    assert "kata-agents of 1" in machine.ebbtide("status").out

    (machine.node.state / "workloads.d" / "kata-1.json").unlink()
    until(
        lambda: machine.ebbtide("status", "-o", "json").document["agent"]["kata"]["sandboxes"] == [],
        "what has gone is still there",
    )
    agent.close()


def test_a_group_that_is_not_there(machine: Machine) -> None:
    done = machine.ebbtide("daemon", "--control-group", "no such group")

    assert (done.code, done.err.splitlines()[0]) == (64, "ebbtide: --control-group: there is no group no such group")
