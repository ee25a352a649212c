"""`ebbtide ctl connect`: kata-agent-ctl's words, to a fake agent behind a hypervisor's socket or none."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import node
from tests.cli.node import Node, conforms
from tests.control.fake_agent import FakeAgent

__all__ = ["node"]  # a fixture


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    made = FakeAgent(tmp_path / "kata.hvsock", hybrid_port=1024)
    yield made
    made.close()


def connect(node: Node, agent: FakeAgent, *words: str, hybrid: bool = True) -> list[str]:
    return ["ctl", "connect", "--server-address", f"unix://{agent.path}", *(["--hybrid-vsock"] * hybrid), *words]


def test_a_real_agents_socket(node: Node, agent: FakeAgent) -> None:
    commands = ["--cmd", 'MemAgentMemcgSet json://{"swap":true, "period_secs": null}', "--cmd"]
    words = connect(node, agent, *commands, 'MemAgentCompactSet json://{"compact_force_times":9223372036854775807}')

    done = node.ebbtide(*words)

    assert (done.code, done.out) == (0, "MemAgentMemcgSet: done\nMemAgentCompactSet: done\n"), done.err
    assert [(each.service, each.method) for each in agent.heard] == [
        ("grpc.AgentService", "MemAgentMemcgSet"),
        ("grpc.AgentService", "MemAgentCompactSet"),
    ]
    assert agent.heard[0].fields == {2: 1}
    assert agent.heard[1].fields.keys() == {8}
    done = node.ebbtide(*words, "-o", "json")
    conforms("ctl", done.document)


def test_without_a_hypervisor_and_on_another_port(node: Node, tmp_path: Path) -> None:
    plain = FakeAgent(tmp_path / "agent.sock")
    done = node.ebbtide(*connect(node, plain, "-c", "MemAgentMemcgSet json://{}", hybrid=False))
    assert (done.code, plain.heard[0].fields) == (0, {})
    plain.close()
    other = FakeAgent(tmp_path / "other.sock", hybrid_port=77)
    done = node.ebbtide(*connect(node, other, "--hybrid-vsock-port", "77", "-c", "MemAgentMemcgSet json://{}"))
    assert (done.code, len(other.heard)) == (0, 1)
    other.close()


def test_what_the_agent_says_is_shown(node: Node, agent: FakeAgent) -> None:
    agent.error = "mem-agent is disabled"

    done = node.ebbtide(*connect(node, agent, "-c", 'MemAgentMemcgSet json://{"swap":true}'))

    assert (done.code, done.err) == (1, f"ebbtide: hvsock://{agent.path}:1024: mem-agent is disabled (code 13)\n")


def test_a_failed_command_ends_it_unless_told_otherwise(node: Node, agent: FakeAgent) -> None:
    agent.error = "no"
    two = ["-c", "MemAgentMemcgSet json://{}", "MemAgentCompactSet json://{}"]

    assert node.ebbtide(*connect(node, agent, *two)).code == 1
    assert len(agent.heard) == 1
    done = node.ebbtide(*connect(node, agent, *two, "--ignore-errors", "-o", "json"))
    assert (done.code, [bool(one["error"]) for one in done.document["commands"]]) == (1, [True, True])
    conforms("ctl", done.document)
    assert len(agent.heard) == 3


def test_a_silent_agent_has_a_deadline(node: Node, agent: FakeAgent) -> None:
    agent.silent = True

    done = node.ebbtide(*connect(node, agent, "--timeout", "200ms", "-c", "MemAgentMemcgSet json://{}"))

    assert (done.code, "no answer within 0.2 s" in done.err) == (1, True)


def test_list(node: Node) -> None:
    assert node.ebbtide("ctl", "--cmd", "list").out.splitlines()[:2] == ["MemAgentMemcgSet", "MemAgentCompactSet"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "there is no command"),
        (["-c", "MemAgentMemcgset json://{}"], 'did you mean "MemAgentMemcgSet"?'),
        (["-c", "CreateContainer json://{}"], "is none of mem-agent's commands"),
        (["-c", "MemAgentMemcgSet {}"], "needs json://{...} or file:///PATH"),
        (["-c", "MemAgentMemcgSet"], "needs json://{...} or file:///PATH"),
        (["-c", "MemAgentMemcgSet file:///nowhere"], "/nowhere: No such file"),
        (["-c", "MemAgentMemcgSet json://{}", "--hybrid-vsock"], "--hybrid-vsock: is for connect"),
        (["connect", "-c", "MemAgentMemcgSet json://{}"], "--server-address: is missing"),
        (["connect", "--server-address", "/x", "-c", "MemAgentMemcgSet json://{}"], "is no address"),
        (["connect", "--server-address", "unix:///x", "--persist", "-c", "MemAgentMemcgSet json://{}"], "our daemon"),
        (
            ["connect", "--server-address", "unix:///x", "-c", 'MemAgentMemcgSet json://{"swapp":1}'],
            'swapp: unknown key "swapp"',
        ),
        (
            ["connect", "--server-address", "unix:///x", "-c", 'MemAgentMemcgSet json://{"pass_secs":1}'],
            "pass_secs: unknown key",
        ),
        (
            ["connect", "--server-address", "unix:///x", "-c", 'MemAgentMemcgSet json://{"period_secs":1.5}'],
            "no whole number",
        ),
        (["connect", "--server-address", "unix:///x", "-c", "MemAgentMemcgSet json://[]"], "must be a mapping"),
        (["connect", "--server-address", "unix:///x", "-c", "MemAgentMemcgSet json://{"], "is no JSON"),
        (
            ["connect", "--server-address", "unix:///x", "--timeout", "0", "-c", "MemAgentMemcgSet json://{}"],
            "more than",
        ),
    ],
)
def test_wrong_words(node: Node, words: list[str], said: str) -> None:
    done = node.ebbtide("ctl", *words)

    assert (done.code, said in done.err) == (64, True), done.err


def test_nobody_is_there(node: Node) -> None:
    done = node.ebbtide("ctl", "connect", "--server-address", "unix:///nowhere/x", "-c", "MemAgentMemcgSet json://{}")
    assert (done.code, "unix:///nowhere/x: No such file" in done.err) == (1, True)
    assert node.ebbtide("ctl", "-c", "MemAgentMemcgSet json://{}").code == 3
