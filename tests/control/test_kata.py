"""Delivery to kata-agents: once, again after a restart or a change, ever more rarely to who does not answer."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from reconciler.agent.kata import LOOK_SECONDS, Kata
from reconciler.agent.kata_agent import Refused, Unreachable
from reconciler.agent.kata_rules import Address
from reconciler.agentconfig import AgentTask, KataTask, MemagentConfig
from tests.control.fake_agent import FakeAgent

SWAP = MemagentConfig(memcg=(("swap", True),), compact=(("compact_order", 5),))
OTHER = MemagentConfig(memcg=(("swap", False),))
BOTH = ["MemAgentMemcgSet", "MemAgentCompactSet"]


def task(*sandboxes: str, config: MemagentConfig = SWAP, **more: Any) -> AgentTask:
    return AgentTask(katas=tuple(KataTask(sandbox=one, name=f"ns/{one}", config=config) for one in sandboxes), **more)


@dataclass
class Calls:
    """Stands in for the wire."""

    made: list[tuple[str, str, str]] = field(default_factory=list)
    errors: dict[str, Exception] = field(default_factory=dict)  # by address

    def __call__(self, address: Address, method: str, asked: Message, seconds: float, root: str) -> None:
        self.made.append((address.path, method, str(asked).replace("\n", " ").strip()))
        if address.path in self.errors:
            raise self.errors[address.path]


class Host:
    """A file system with sandboxes' sockets, for which plain files will do."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = Calls()
        self.kata = Kata(str(root), self.calls)

    def sandbox(self, name: str, place: str = "run/kata/{}/root/kata.hvsock") -> Path:
        path = self.root / place.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.parent.joinpath(f"new{len(list(path.parent.iterdir()))}").touch()
        path.touch()
        return path

    def states(self) -> dict[str, str]:
        return {one.sandbox: one.state for one in self.kata.report().sandboxes}

    def methods(self) -> list[str]:
        made, self.calls.made = self.calls.made, []
        return [method for _, method, _ in made]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_it_is_told_once_and_looked_at_again(host: Host) -> None:
    host.sandbox("a")
    host.kata.change(task("a"))

    assert host.kata.run(100.0) == 100.0 + LOOK_SECONDS
    assert host.calls.made == [
        ("/run/kata/a/root/kata.hvsock", "MemAgentMemcgSet", "swap: true"),
        ("/run/kata/a/root/kata.hvsock", "MemAgentCompactSet", "compact_order: 5"),
    ]
    assert host.methods() == BOTH
    assert host.kata.run(131.0) == 161.0
    assert host.methods() == []
    one = host.kata.report().sandboxes[0]
    assert (one.state, one.name, one.deliveries, one.reason) == ("delivered", "ns/a", 1, "")
    assert one.address == "hvsock:///run/kata/a/root/kata.hvsock:1024"


def test_a_restarted_sandbox_and_a_changed_class_are_told_again(host: Host) -> None:
    host.sandbox("a")
    host.kata.change(task("a"))
    host.kata.run(0.0)
    host.methods()

    host.sandbox("a")
    host.kata.run(LOOK_SECONDS)
    assert host.methods() == BOTH

    host.kata.change(task("a", config=OTHER))
    host.kata.run(LOOK_SECONDS + 1)
    assert host.methods() == ["MemAgentMemcgSet"]
    assert host.kata.report().sandboxes[0].deliveries == 3


def test_the_same_task_again_changes_nothing(host: Host) -> None:
    host.sandbox("a")
    for _ in range(3):
        host.kata.change(task("a"))
        host.kata.run(0.0)

    assert host.methods() == BOTH


@pytest.mark.parametrize(
    ("error", "state", "said"),
    [
        (Refused("mem-agent is disabled (code 13)"), "refused", "the agent answers: mem-agent is disabled (code 13)"),
        (Unreachable("no answer within 5 s"), "unreachable", "no answer within 5 s"),
    ],
)
def test_failures_are_said_and_tried_again_ever_more_rarely(
    host: Host, error: Exception, state: str, said: str
) -> None:
    path = "/" + str(host.sandbox("a").relative_to(host.root))
    host.calls.errors[path] = error
    host.kata.change(task("a"))

    now, waits = 0.0, []
    for _ in range(11):
        due = host.kata.run(now)
        waits.append(due - now)
        now = due
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    one = host.kata.report().sandboxes[0]
    assert (one.state, one.reason, one.attempts, one.deliveries) == (state, said, 11, 0)

    host.calls.errors.clear()
    host.methods()
    host.kata.run(now)
    assert (host.methods(), host.states()) == (BOTH, {"a": "delivered"})
    assert host.kata.report().sandboxes[0].attempts == 0


def test_a_sandbox_that_is_not_there_yet_waits_for_it(host: Host) -> None:
    host.kata.change(task("a"))
    assert host.kata.run(0.0) == 1.0
    assert "neither its agent's socket nor its shim's is there" in host.kata.report().sandboxes[0].reason

    host.sandbox("a", "run/vc/vm/{}/clh.sock")
    host.kata.run(1.0)

    assert host.states() == {"a": "delivered"}


def test_one_that_fails_holds_up_no_other(host: Host) -> None:
    bad = "/" + str(host.sandbox("bad").relative_to(host.root))
    host.calls.errors[bad] = Unreachable("no answer within 5 s")
    host.sandbox("good")
    host.kata.change(task("bad", "good"))

    host.kata.run(0.0)

    assert host.states() == {"bad": "unreachable", "good": "delivered"}


def test_while_observing_nothing_is_told_and_afterwards_everything(host: Host) -> None:
    host.sandbox("a")
    host.kata.change(task("a", observe=True))
    host.kata.run(0.0)
    assert (host.methods(), host.states()) == ([], {"a": "observed"})
    assert "{'swap': True}" in host.kata.report().sandboxes[0].reason

    host.kata.change(task("a"))
    host.kata.run(1.0)
    assert (host.methods(), host.states()) == (BOTH, {"a": "delivered"})


def test_who_is_no_longer_wanted_is_forgotten(host: Host) -> None:
    host.sandbox("a")
    host.kata.change(task("a"))
    host.kata.run(0.0)
    host.kata.change(AgentTask())

    assert host.kata.run(1.0) == float("inf")
    assert host.kata.report().sandboxes == ()


def test_a_note_is_shown(host: Host) -> None:
    host.sandbox("a")
    katas = tuple(replace(one, note="container b asks for something else") for one in task("a").katas)
    host.kata.change(AgentTask(katas=katas))
    host.kata.run(0.0)

    assert host.kata.report().sandboxes[0].reason == "container b asks for something else"


def test_a_stop_ends_the_round(host: Host) -> None:
    for name in ("a", "b"):
        host.sandbox(name)
    host.kata.change(task("a", "b"))
    host.kata.stop()

    assert host.kata.run(0.0) == float("inf")
    assert host.methods() == []


# -- over the wire -----------------------------------------------------------------------------------------------------


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    folder = tmp_path / "run/kata/5a/root"
    folder.mkdir(parents=True)
    made = FakeAgent(folder / "kata.hvsock", hybrid_port=1024)
    yield made
    made.close()


def test_a_real_agent_and_its_restart(agent: FakeAgent, tmp_path: Path) -> None:
    kata = Kata(str(tmp_path))
    kata.change(task("5a"))
    kata.run(0.0)
    agent.restart()
    kata.run(LOOK_SECONDS)

    assert [(each.method, each.fields) for each in agent.heard] == 2 * [(BOTH[0], {2: 1}), (BOTH[1], {6: 5})]


def test_a_hung_agent_has_a_deadline_and_report_never_waits(agent: FakeAgent, tmp_path: Path) -> None:
    agent.silent = True
    kata = Kata(str(tmp_path), seconds=0.3)
    kata.change(task("5a"))
    running = threading.Thread(target=kata.run, args=(0.0,))
    running.start()
    assert kata.report().sandboxes[0].sandbox == "5a"
    kata.change(task("5a", config=OTHER))
    running.join(60)

    assert not running.is_alive()
    assert kata.report().sandboxes[0].reason == "no answer within 0.3 s"


def shim(path: Path, answer: bytes) -> threading.Thread:
    """Answers one question, as the shim's HTTP server does."""
    import socket

    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def serve() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection:
                assert connection.recv(4096).startswith(b"GET /agent-url HTTP/1.0\r\n")
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_the_shim_says_where_another_kind_of_agent_listens(host: Host) -> None:
    folder = host.root / "run/vc/sbs/5a"
    folder.mkdir(parents=True)
    serving = shim(folder / "shim-monitor.sock", b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nvsock://31:1024\n")
    host.kata.change(task("5a"))

    host.kata.run(0.0)
    serving.join()

    assert host.kata.report().sandboxes[0].address == "vsock://31:1024"
    assert host.methods() == BOTH


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.0 404 Not Found\r\n\r\n", "the shim: it answers HTTP/1.0 404"),
        (b"", "the shim: it answers nothing"),
        (b"HTTP/1.0 200 OK\r\n\r\ntcp://1.2.3.4:5", "is no address"),
    ],
)
def test_a_shim_that_does_not_know(host: Host, answer: bytes, said: str) -> None:
    folder = host.root / "run/kata/5a"
    folder.mkdir(parents=True)
    serving = shim(folder / "shim-monitor.sock", answer)
    host.kata.change(task("5a"))

    host.kata.run(0.0)
    serving.join()

    assert said in host.kata.report().sandboxes[0].reason
