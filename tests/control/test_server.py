"""The control API, both ends, over a real socket."""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from reconciler.control import client, server, wire
from reconciler.control import control_pb2 as pb
from reconciler.control.answering import Answers, Desk


@dataclass
class Daemon:
    """What the daemon hands to the server."""

    reasons: list[str] = field(default_factory=list)

    def answers(self) -> Answers:
        return Answers(
            status=self.status,
            accessed=self.accessed,
            wake=self.reasons.append,
            heatmap=self.asked,
            stats=self.asked,
        )

    def asked(self, workload: str) -> dict[str, Any]:
        if workload not in {"", "known"}:
            raise LookupError(f"nothing is known of {workload} yet")
        return {"of": workload}

    def status(self) -> dict[str, Any]:
        return {"state": "running", "workloads": []}

    def accessed(self, workload: str, limits: Sequence[float]) -> dict[str, Any]:
        if workload != "known":
            raise LookupError(f"no tracking loop runs for {workload}")
        if list(limits) != sorted(limits):
            raise ValueError("limits must grow")
        return {"workload": workload, "limits": list(limits)}


@dataclass
class Pair:
    daemon: Daemon
    client: client.Client
    path: Path


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    daemon, path = Daemon(), tmp_path / "a 50% full #1 folder?" / "control.sock"
    path.parent.mkdir()
    serving = server.serve(str(path), daemon.answers())
    with client.Client(str(path)) as ends:
        yield Pair(daemon, ends, path)
    serving.close()


def test_status_is_what_the_daemon_says(pair: Pair) -> None:
    assert pair.client.status() == {"state": "running", "workloads": []}


def test_wake_tells_the_reason(pair: Pair) -> None:
    pair.client.wake("resume")

    assert pair.daemon.reasons == ["resume"]


def test_accessed_passes_workload_and_limits(pair: Pair) -> None:
    assert pair.client.accessed("known", [0, 1.5]) == {"workload": "known", "limits": [0.0, 1.5]}


@pytest.mark.parametrize("workload", ["", "known"])
def test_pictures_and_figures_of_a_workload_or_of_all(pair: Pair, workload: str) -> None:
    assert pair.client.heatmap(workload) == pair.client.stats(workload) == {"of": workload}
    for ask in (pair.client.heatmap, pair.client.stats):
        with pytest.raises(client.Unknown, match="nothing is known of other yet"):
            ask("other")


def test_unknown_workload_keeps_the_daemons_words(pair: Pair) -> None:
    with pytest.raises(client.Unknown, match="no tracking loop runs for other"):
        pair.client.accessed("other", [])


@pytest.mark.parametrize(("workload", "limits"), [("known", [2, 1]), ("", [0]), ("known", [-1])])
def test_a_wrong_question_is_refused(pair: Pair, workload: str, limits: list[Any]) -> None:
    with pytest.raises(client.Wrong):
        pair.client.accessed(workload, limits)


def test_only_the_owner_may_connect(pair: Pair) -> None:
    assert stat.S_IMODE(pair.path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(one.stat().st_mode) for one in pair.path.parent.iterdir() if one.is_dir()] == [0o700]


def test_nobody_answers(tmp_path: Path) -> None:
    with client.Client(str(tmp_path / "control.sock"), timeout=5) as lonely, pytest.raises(client.Unavailable):
        lonely.status()


def test_a_dead_daemons_socket_is_replaced_and_a_successors_is_left_alone(tmp_path: Path) -> None:
    path, daemon = str(tmp_path / "control.sock"), Daemon()
    first = server.serve(path, daemon.answers())
    second = server.serve(path, daemon.answers())
    first.close()
    with client.Client(path) as ends:
        assert ends.status()["state"] == "running"
    second.close()

    assert not os.path.exists(path)


def test_a_path_that_no_socket_can_have_is_said(tmp_path: Path) -> None:
    daemon = Daemon()
    with pytest.raises(ValueError, match="107 bytes"):
        server.serve(str(tmp_path / ("x" * 120)), daemon.answers())


def test_every_method_of_the_description_is_served() -> None:
    described = pb.DESCRIPTOR.services_by_name["Control"]

    assert described.full_name == wire.SERVICE
    assert {one.name: (one.input_type.name, one.output_type.name) for one in described.methods} == {
        name: (method.asked.DESCRIPTOR.name, method.answered.DESCRIPTOR.name) for name, method in wire.METHODS.items()
    }
    desk = Desk(Answers(), str, may_change=True)
    assert desk.handlers().keys() == wire.METHODS.keys()


def test_every_method_is_on_its_page_and_who_looks_knows_which_are_theirs() -> None:
    page = (Path(__file__).parents[2] / "docs/agent-control.md").read_text()
    rights = page.partition("## Who may do what")[2].partition("Limits:")[0]

    assert [name for name in wire.METHODS if f"`{name}`" not in page] == []
    looks = [name for name, one in wire.METHODS.items() if not one.changes and not name.endswith(("Get", "Status"))]
    assert [name for name in looks if name not in rights] == []


@pytest.mark.parametrize("name", [name for name, method in wire.METHODS.items() if not method.stream])
def test_what_a_daemon_does_not_have_is_said(tmp_path: Path, name: str) -> None:
    serving = server.serve(str(tmp_path / "control.sock"), Answers())
    with client.Client(serving.socket_path) as ends, pytest.raises(client.Unavailable, match="no answer to that"):
        ends._ask(name, wire.METHODS[name].asked(**({"workload": "a"} if name in {"Accessed", "History"} else {})))
    serving.close()
