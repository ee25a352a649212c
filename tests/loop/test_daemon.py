"""The real daemon, as a process, on a folder that looks like a small node: what it writes, survives and gives back."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli import kernel_tree
from tests.cli.node import conforms

LONG = 60.0  # seconds; a limit for a broken daemon, polled, never waited for
REPOSITORY = Path(__file__).parents[2]
HIGH = "classes: [{name: tight, memory: {high: 64M}}]"


def until(what: Callable[[], Any], why: str) -> Any:
    deadline = time.monotonic() + LONG
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except (OSError, ValueError, KeyError):
            pass
        time.sleep(0.02)
    raise AssertionError(f"not within {LONG} s: {why}")


class Node:
    def __init__(self, folder: Path) -> None:
        self.root = kernel_tree.make(folder / "node")
        self.cgroup = kernel_tree.cgroup(self.root, "/pods/a")
        self.conf, self.state, self.run = (folder / name for name in ("conf.d", "state", "run"))
        self.conf.mkdir()
        self.notify = folder / "notify"
        self.record({"id": "a", "cgroup": "/pods/a", "class": "tight"})

    def record(self, record: dict[str, Any]) -> None:
        folder = self.state / "workloads.d"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / f"{record['id']}.json").write_text(json.dumps(record))

    def classes(self, text: str, name: str = "10-a.yaml") -> None:
        scratch = self.conf / f".{name}"
        scratch.write_text(text)
        scratch.rename(self.conf / name)

    def high(self) -> str:
        return (self.cgroup / "memory.high").read_text().strip()

    def command(self, verb: str, *more: str) -> list[str]:
        places = {"root": self.root, "config-dir": self.conf, "state-dir": self.state, "run-dir": self.run}
        options = [word for name, path in places.items() for word in (f"--{name}", str(path))]
        return [sys.executable, "-m", "reconciler", verb, *options, *more]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "NOTIFY_SOCKET": str(self.notify), "PYTHONPATH": str(REPOSITORY)}

    @contextmanager
    def daemon(self) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(self.command("daemon"), env=self.environment(), stderr=subprocess.PIPE, text=True) as it:
            try:
                yield it
            finally:
                it.kill()
                it.communicate()

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run / "status.json").read_text())
        return found

    def workload(self) -> dict[str, Any]:
        found: dict[str, Any] = self.status()["workloads"][0]
        return found


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def end(daemon: subprocess.Popen[str], number: signal.Signals) -> str:
    daemon.send_signal(number)
    _, log = daemon.communicate(timeout=LONG)
    return log


def test_it_converges_follows_files_and_restores_what_a_removed_class_set(node: Node) -> None:
    with node.daemon() as daemon:
        until(lambda: node.status()["cycles"] >= 1, "a first cycle")
        node.classes(HIGH)
        until(lambda: node.high() == "67108864", "a dropped class takes effect")
        until(lambda: node.workload()["state"] == "converged", "the status says so")
        node.classes(HIGH.replace("64M", "32M"))
        until(lambda: node.high() == "33554432", "a changed class takes effect")
        (node.conf / "10-a.yaml").unlink()
        until(lambda: node.high() == "max", "a removed class is undone")
        log = end(daemon, signal.SIGTERM)

    assert daemon.returncode == 0, log
    assert "action=restore knob=memory.high value=max" in log


def test_killed_and_started_again_it_still_knows_the_original(node: Node) -> None:
    node.classes(HIGH)
    with node.daemon() as daemon:
        until(lambda: node.high() == "67108864", "the class takes effect")
        end(daemon, signal.SIGKILL)
    with node.daemon():
        until(lambda: node.status()["pid"] != daemon.pid and node.workload()["state"] == "converged", "it carries on")
        assert node.workload()["knobs"][0]["original"] == "max"
        (node.conf / "10-a.yaml").unlink()
        until(lambda: node.high() == "max", "the original comes back")


def test_a_restart_beside_a_broken_class_file_undoes_nothing(node: Node) -> None:
    node.classes(HIGH)
    with node.daemon() as daemon:
        until(lambda: node.high() == "67108864", "the class takes effect")
        end(daemon, signal.SIGTERM)
    node.classes("classes: [{name: tight, memory: {high: 64")
    with node.daemon() as again:
        until(lambda: node.status()["pid"] == again.pid and node.status()["problems"], "the problem is said")

        assert node.workload()["state"] == "converged"
        assert node.high() == "67108864"


def test_onstop_restore_gives_back_at_the_end(node: Node) -> None:
    node.classes(HIGH.replace("memory:", "onstop: restore, memory:"))
    with node.daemon() as daemon:
        until(lambda: node.high() == "67108864", "the class takes effect")
        end(daemon, signal.SIGTERM)

    assert node.high() == "max"
    assert json.loads((node.state / "baseline.json").read_text())["entries"] == []


def test_a_second_daemon_is_refused_and_says_which_runs(node: Node) -> None:
    with node.daemon() as daemon:
        until(lambda: node.status()["cycles"] >= 1, "a first cycle")
        second = subprocess.run(
            node.command("daemon"), env=node.environment(), capture_output=True, text=True, check=False, timeout=LONG
        )

    assert second.returncode == 1
    assert f"process {daemon.pid} already manages" in second.stderr


def test_pause_stops_corrections_and_resume_makes_up_for_them(node: Node) -> None:
    node.classes(HIGH)
    with node.daemon():
        until(lambda: node.high() == "67108864", "the class takes effect")
        (node.run / "paused").touch()
        until(lambda: node.status()["state"] == "paused", "it notices")
        (node.cgroup / "memory.high").write_text("8192\n")
        node.classes(HIGH.replace("64M", "32M"))
        before = node.status()["cycles"]
        until(lambda: node.status()["cycles"] > before, "it still looks")
        assert node.high() == "8192"
        (node.run / "paused").unlink()
        until(lambda: node.high() == "33554432", "it makes up for it")


def test_the_service_manager_hears_ready_reload_and_stop(node: Node) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(node.notify))
        heard.settimeout(LONG)

        def next_but_status() -> str:
            while (said := heard.recv(4096).decode()).startswith(("STATUS=", "WATCHDOG=")):
                pass
            return said

        with node.daemon() as daemon:
            assert next_but_status() == "READY=1"
            assert node.status()["cycles"] >= 1, "ready means that a whole cycle has run"
            daemon.send_signal(signal.SIGHUP)
            assert next_but_status().startswith("RELOADING=1\nMONOTONIC_USEC=")
            assert next_but_status() == "READY=1"
            node.classes(HIGH)
            daemon.send_signal(signal.SIGHUP)
            assert next_but_status().startswith("RELOADING=1")
            assert next_but_status() == "READY=1", "also when another wake-up came first"
            daemon.send_signal(signal.SIGTERM)
            assert next_but_status() == "STOPPING=1"


def test_a_daemon_that_cannot_see_the_cgroup_tree_forgets_nothing(node: Node) -> None:
    node.classes(HIGH)
    once = node.command("daemon", "--once")
    subprocess.run(once, env=node.environment(), check=True, capture_output=True)
    hidden = [node.root / f"proc/{pid}/mountinfo" for pid in (1, "self")]
    texts = [path.read_text() for path in hidden]
    for path in hidden:
        path.write_text("")
    subprocess.run(once, env=node.environment(), check=True, capture_output=True)
    for path, text in zip(hidden, texts, strict=True):
        path.write_text(text)
    (node.conf / "10-a.yaml").unlink()
    subprocess.run(once, env=node.environment(), check=True, capture_output=True)

    assert node.high() == "max"


def test_once_looks_acts_and_ends(node: Node) -> None:
    node.classes(HIGH)

    done = subprocess.run(
        node.command("daemon", "--once"), env=node.environment(), capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert node.high() == "67108864"


def test_what_a_workload_runs_with_is_there_to_read(node: Node) -> None:
    node.classes(HIGH)
    with node.daemon():
        rendered = node.state / "rendered/.id/a/config.yaml"
        until(lambda: "memory.high: '67108864'" in rendered.read_text(), "it is written")
        (node.state / "workloads.d/a.json").unlink()
        until(lambda: not rendered.exists(), "and goes with its workload")
    assert (node.state / "rendered").stat().st_mode & 0o777 == 0o700


def test_sizes_in_the_status_move_while_nothing_else_does(node: Node) -> None:
    node.classes(HIGH)
    with node.daemon():
        until(lambda: node.workload()["state"] == "converged", "the class takes effect")
        (node.cgroup / "memory.swap.current").write_text("4096\n")
        until(lambda: node.workload()["swap_bytes"] == 4096, "figures are refreshed between cycles")


def test_the_agent_follows_class_files_and_pause(node: Node) -> None:
    def agent() -> Any:
        return node.status()["agent"]

    with node.daemon() as daemon:
        until(lambda: node.status()["cycles"] >= 1, "a first cycle")
        assert agent()["doing"] == "off"
        node.classes("compact: {compact_order: 5}\nclasses: [{name: tight, reclaim: {}}]\n")
        until(lambda: agent()["doing"] == "compact, reclaim of 1", "the sections take effect")
        conforms("status", node.status())
        assert [each["workload"] for each in agent()["reclaim"]["workloads"]] in ([], ["a"])
        assert agent()["origins"]["compact.compact_order"] == f"{node.conf}/10-a.yaml:1"
        (node.run / "paused").touch()
        until(lambda: agent()["observe"], "a paused agent only observes")
        (node.run / "paused").unlink()
        until(lambda: not agent()["observe"], "and goes on")
        node.classes("compact: {disabled: true}\n")
        until(lambda: agent()["doing"] == "off", "and is off")
        log = end(daemon, signal.SIGTERM)

    assert daemon.returncode == 0, log
    assert 'action=set-agent to="compact, reclaim of 1"' in log
