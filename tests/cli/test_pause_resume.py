"""`ebbtide pause` and `resume`: flags and marks, with and without a daemon."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler import released
from reconciler.control import server
from reconciler.control.answering import Answers
from reconciler.report import Report
from tests.cli.node import ID, Node, conforms, report, workload


@pytest.fixture
def woken(node: Node) -> Iterator[list[str]]:
    """A daemon that publishes what the flag says each time it is woken."""
    reasons: list[str] = []

    def cycle(reason: str) -> None:
        reasons.append(reason)
        node.publish(_told(node))

    node.publish(_told(node))
    serving = server.serve(str(node.run / "control.sock"), Answers(status=dict, wake=cycle))
    yield reasons
    serving.close()


def _told(node: Node) -> Report:
    return replace(report(workload()), state="paused" if (node.run / "paused").exists() else "running")


def test_pause_reaches_the_daemon_and_resume_ends_it(node: Node, woken: list[str]) -> None:
    assert (node.ebbtide("pause").out, woken) == ("paused\n", ["pause"])
    assert node.ebbtide("status").out.startswith("● ebbtide: paused")

    assert (node.ebbtide("resume").out, woken) == ("resumed\n", ["pause", "resume"])
    assert not (node.run / "paused").exists()


def test_for_programs(node: Node, woken: list[str]) -> None:
    paused = node.ebbtide("pause", "-o", "json").document
    released.mark(node.state, ID)
    one, all_of_them = (node.ebbtide("resume", *words, "-o", "json").document for words in ([ID], []))

    conforms("pause", paused)
    assert paused == {"version": 1, "paused": True, "daemon": True}
    for document in (one, all_of_them):
        conforms("resume", document)
    assert (one["resumed"], one["managed"]) == (False, [{"id": ID, "name": "shop/cart-1/db"}])
    assert (all_of_them["resumed"], all_of_them["managed"]) == (True, [])


def test_for_programs_without_a_daemon(node: Node) -> None:
    assert node.ebbtide("pause", "-o", "json").document["daemon"] is False
    assert node.ebbtide("resume", "-o", "json").document["daemon"] is False


def test_pause_without_a_daemon_stays_for_the_next(node: Node) -> None:
    shown = node.ebbtide("pause")

    assert shown.code == 0
    assert "not running" in shown.out
    assert (node.run / "paused").exists()


@pytest.mark.parametrize("words", [[], ["shop/cart-1/db"], [ID[:6]]])
def test_resume_manages_released_workloads_again(node: Node, woken: list[str], words: list[str]) -> None:
    released.mark(node.state, ID)

    shown = node.ebbtide("resume", *words)

    assert shown.out.endswith("managed again: shop/cart-1/db\n")
    assert released.read(node.state) == set()


def test_one_workload_is_resumed_and_the_pause_stands(node: Node) -> None:
    node.ebbtide("pause")
    released.mark(node.state, "a")
    released.mark(node.state, "b")

    assert node.ebbtide("resume", "a").out == "managed again: a; the daemon is not running\n"
    assert (node.run / "paused").exists()
    assert released.read(node.state) == {"b"}


def test_one_of_all_cannot_be_resumed(node: Node) -> None:
    released.mark(node.state, "*")

    shown = node.ebbtide("resume", "shop/cart-1/db")

    assert shown.code == 1
    assert "takes all back" in shown.err


def test_what_was_not_released_cannot_be_resumed(node: Node) -> None:
    assert node.ebbtide("resume", "nothing").code == 4
