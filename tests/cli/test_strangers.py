"""Names that strangers chose: programs get them exactly, terminals without what could drive them."""

import json
import re
from dataclasses import replace

import pytest

from reconciler.report import EngineReport
from tests.cli import kernel_tree
from tests.cli.conftest import Machine
from tests.cli.node import ID, PROBLEM, Node, report, workload

EVIL = "cart\x1b]0;owned\x07\x1b[2J\x9b31m\nebbtide: all is well"
OURS = re.compile(r"\x1b\[(0|1|2|3[123])m")
NAME = f"shop/{EVIL}/db"


@pytest.fixture
def hostile(node: Node) -> Node:
    engine = EngineReport(tracker="idlepage", brake=EVIL, notes=(EVIL,))
    problem = replace(PROBLEM, where=EVIL, message=EVIL, hint=EVIL)
    bad = workload(NAME, class_name=EVIL, reason=EVIL, engine=engine, problems=(problem,))
    twins = [workload(f"{NAME}{number}", id=f"{ID}{number}") for number in range(2)]
    node.publish(report(bad, *twins, summary=EVIL, wakeup=EVIL, pending=(EVIL,)))
    return node


@pytest.fixture
def stranger(machine: Machine) -> Machine:
    record = {"id": "db-1", "namespace": "shop", "pod": EVIL, "container": "db", "cgroup": "/shop/db"}
    text = json.dumps({**record, "annotations": {"class.memtierd.nri.io": EVIL}})
    kernel_tree.write(machine.node.state / "workloads.d" / "db-1.json", text)
    return machine


def harmless(text: str) -> bool:
    return (
        all(character.isprintable() for line in text.split("\n") for character in line) and "\nebbtide: all" not in text
    )


@pytest.mark.parametrize("words", [[], [NAME], ["shop"], [EVIL], ["--color"]])
def test_status(hostile: Node, words: list[str]) -> None:
    shown = hostile.ebbtide("status", *words)

    assert shown.out or shown.err
    assert harmless(OURS.sub("", shown.out))
    assert harmless(shown.err)


@pytest.mark.parametrize("verb", ["accessed", "release", "resume", "explain"])
@pytest.mark.parametrize("word", [EVIL, NAME[:-3]])
def test_words_that_mean_nothing_or_several(hostile: Node, verb: str, word: str) -> None:
    (hostile.state / "released.d").mkdir()
    (hostile.state / "released.d" / "x").touch()

    shown = hostile.ebbtide(verb, word)

    assert shown.code in (1, 4)
    assert shown.err
    assert harmless(shown.err)


@pytest.mark.parametrize("words", [["plan"], ["verify"], ["explain", "db-1"], ["release", "db-1"]])
def test_verbs_that_look_themselves(stranger: Machine, words: list[str]) -> None:
    shown = stranger.ebbtide(*words)

    assert shown.out
    assert harmless(shown.out)
    assert harmless(shown.err)


def test_programs_get_the_name_as_it_is(hostile: Node, stranger: Machine) -> None:
    assert hostile.ebbtide("status", "-o", "json").document["workloads"][0]["name"] == NAME
    assert stranger.ebbtide("explain", "db-1", "-o", "json").document["name"] == NAME
