"""Calls to a kata-agent, over real sockets: what is on the wire, and every way in which it can go wrong."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.agent import kata_agent, kata_rules
from reconciler.agent.kata_agent import Refused, Unreachable
from reconciler.agent.kata_rules import Address
from reconciler.agentconfig import NEVER, KataTask, MemagentConfig
from reconciler.model import Workload
from tests.control.fake_agent import FakeAgent, Heard

Start = Callable[..., FakeAgent]
PATIENT = 60.0
SWAP = kata_rules.message("memcg", [("swap", True)])


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started = []

    def begin(**more: Any) -> FakeAgent:
        started.append(FakeAgent(tmp_path / "kata.hvsock", **more))
        return started[-1]

    yield begin
    for each in started:
        each.close()


def test_every_field_has_its_number_and_absent_ones_are_absent(start: Start) -> None:
    agent = start(hybrid_port=1024)
    memcg = {
        "disabled": False,
        "swap": True,
        "swappiness_max": 200,
        "period_secs": 1 << 40,
        "period_psi_percent_limit": 0,
        "eviction_psi_percent_limit": 255,
        "eviction_run_aging_count_min": 7,
    }
    compact = {
        "disabled": True,
        "period_secs": 300,
        "period_psi_percent_limit": 1,
        "compact_psi_percent_limit": 5,
        "compact_sec_max": 180,
        "compact_order": 9,
        "compact_threshold": 1024,
        "compact_force_times": NEVER,
    }
    config = MemagentConfig(memcg=tuple(memcg.items()), compact=tuple(compact.items()))

    for method, asked in kata_rules.requests(config):
        kata_agent.call(Address(path=str(agent.path), hybrid=True), method, asked, PATIENT)

    assert agent.heard == [
        Heard(
            service="grpc.AgentService",
            method="MemAgentMemcgSet",
            fields=dict(enumerate(map(int, memcg.values()), start=1)),
            timeout_ns=60_000_000_000,
        ),
        Heard(
            service="grpc.AgentService",
            method="MemAgentCompactSet",
            fields=dict(enumerate(map(int, compact.values()), start=1)),
            timeout_ns=60_000_000_000,
        ),
    ]


@pytest.mark.parametrize(("pairs", "fields"), [([("swap", False)], {2: 0}), ([("period_secs", 0)], {4: 0}), ([], {})])
def test_presence_is_kept_also_of_what_is_false_or_zero(
    start: Start, pairs: list[tuple[str, bool | int]], fields: dict[int, int]
) -> None:
    agent = start()

    kata_agent.call(Address(path=str(agent.path)), "MemAgentMemcgSet", kata_rules.message("memcg", pairs), PATIENT)

    assert agent.heard[0].fields == fields


def test_nothing_to_say_is_no_call() -> None:
    assert kata_rules.requests(MemagentConfig()) == ()
    only = kata_rules.requests(MemagentConfig(compact=(("compact_order", 5),)))
    assert [method for method, _ in only] == ["MemAgentCompactSet"]


def test_the_agents_own_words_are_passed_on(start: Start) -> None:
    agent = start(hybrid_port=1024, error="mem-agent is disabled")

    with pytest.raises(Refused, match=r"^mem-agent is disabled \(code 13\)$"):
        kata_agent.call(Address(path=str(agent.path), hybrid=True), "MemAgentMemcgSet", SWAP, PATIENT)


@pytest.mark.parametrize(
    ("more", "address", "seconds", "said"),
    [
        ({"silent": True}, {}, 0.2, "no answer within 0.2 s"),
        ({"silent": True, "hybrid_port": 1024, "knock": b"OK"}, {"hybrid": True}, 0.2, "no answer within 0.2 s"),
        ({"hybrid_port": 1024}, {"hybrid": True, "port": 1025}, PATIENT, "nobody listens on port 1025"),
        ({"hybrid_port": 1024, "knock": b"HTTP/1.1 400\r\n"}, {"hybrid": True}, PATIENT, "is this a hybrid vsock?"),
        ({"hybrid_port": 1024, "knock": b"x" * 200}, {"hybrid": True}, PATIENT, "is this a hybrid vsock?"),
        ({"garbage": b"\x00\x00\x00\x02\x00\x00\x00\x01\x02\x00\xff\xff"}, {}, PATIENT, "no protobuf"),
        ({"garbage": b"\xff\xff\xff\xff\x00\x00\x00\x01\x02\x00"}, {}, PATIENT, "where nothing should come"),
        ({"garbage": b"\x00"}, {}, PATIENT, "closed the connection without an answer"),
    ],
)
def test_what_can_go_wrong_is_said(
    start: Start, more: dict[str, Any], address: dict[str, Any], seconds: float, said: str
) -> None:
    agent = start(**more)

    with pytest.raises(Unreachable, match=said.replace("?", r"\?")):
        kata_agent.call(Address(path=str(agent.path), **address), "MemAgentMemcgSet", SWAP, seconds)


def test_nobody_is_there(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="No such file"):
        kata_agent.call(Address(path=str(tmp_path / "none")), "MemAgentMemcgSet", SWAP, PATIENT)


def test_a_virtual_machine_that_is_not_there() -> None:
    try:
        socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()
    except OSError:
        pytest.skip("this kernel has no vsock")
    with pytest.raises(Unreachable):
        kata_agent.call(Address(cid=4_000_000_000, port=1024), "MemAgentMemcgSet", SWAP, 1.0)


def test_a_path_longer_than_an_address_may_be(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 120)
    folder.mkdir()
    agent = FakeAgent(folder / "kata.hvsock", hybrid_port=1024)

    kata_agent.call(Address(path=f"/{folder.name}/kata.hvsock", hybrid=True), "M", SWAP, PATIENT, str(tmp_path))

    assert [each.method for each in agent.heard] == ["M"]
    agent.close()


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:///run/kata/x/root/kata.hvsock", Address(path="/run/kata/x/root/kata.hvsock")),
        ("UNIX://@abstract", Address(path="@abstract")),
        ("hvsock:///run/kata/x/kata.hvsock:1024", Address(path="/run/kata/x/kata.hvsock", hybrid=True)),
        ("hvsock:///a:77", Address(path="/a", hybrid=True, port=77)),
        ("vsock://3:1024", Address(cid=3)),
        ("vsock://3:77", Address(cid=3, port=77)),
        ("vsock://3", Address(cid=3)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert kata_rules.address(text) == address
    if text.startswith(("vsock://3:", "hvsock")):
        assert str(address) == text


@pytest.mark.parametrize("text", ["", "/run/x", "unix://", "tcp://1.2.3.4:5", "vsock://x:1", "vsock://3:99999999999"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="an address is unix:///PATH"):
        kata_rules.address(text)


# -- which pods --------------------------------------------------------------------------------------------------------

SWAPS = MemagentConfig(memcg=(("swap", True),))


def container(name: str, sandbox: str = "5a", handler: str = "kata-qemu") -> Workload:
    return Workload(
        id=f"{sandbox}-{name}", namespace="shop", pod="cart", container=name, sandbox=sandbox, runtime_handler=handler
    )


@pytest.mark.parametrize(
    ("handler", "sandbox", "is_kata"),
    [
        ("kata", "5a", True),
        ("kata-clh", "5a", True),
        ("", "5a", False),
        ("runc", "5a", False),
        ("gvisor-kata", "5a", False),
        ("kata", "../../etc", False),
        ("kata", "", False),
        ("kata", "x" * 200, False),
    ],
)
def test_which_pods_are_virtual_machines(handler: str, sandbox: str, is_kata: bool) -> None:
    assert kata_rules.is_kata(container("db", sandbox, handler)) is is_kata
    assert bool(kata_rules.wanted([(container("db", sandbox, handler), SWAPS)])) is is_kata


def test_a_pod_has_one_agent_and_its_first_container_is_heard() -> None:
    other = MemagentConfig(memcg=(("swap", False),))
    pairs = [(container("b"), other), (container("a"), SWAPS), (container("c"), SWAPS), (container("z", "77"), other)]

    note = "container b asks for something else, and a pod has one agent"
    assert kata_rules.wanted(pairs) == (
        KataTask(sandbox="5a", name="shop/cart", config=SWAPS, note=note),
        KataTask(sandbox="77", name="shop/cart", config=other),
    )
