"""`ebbtide top`: word by word, what it is sorted by, and keys on a real terminal."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from reconciler.cli import render, top
from reconciler.cli.render import Page
from reconciler.report import EngineReport, Report, SavedReport
from tests.cli.node import SAVED, Node, conforms, golden, report, workload

MIB = 1 << 20
ENGINE = EngineReport(tracker="damon", tracked_bytes=250 * MIB, idle_bytes=20 * MIB)
ROWS = (
    workload("shop/cart-5d8f7c-x2x9z/db"),
    workload("shop/cart-5d8f7c-x2x9z/cache", id="t", engine=ENGINE, usage_bytes=900 * MIB, swap_bytes=MIB),
    workload("b/web-1/web", id="u", class_name="", engine=None, state="unmanaged", saved=SavedReport(), swap_bytes=0),
)
BEFORE = report(*ROWS, time="2020-11-25T10:03:16+00:00")


def later(out: int, back: int) -> Report:
    saved = replace(SAVED, out_bytes=SAVED.out_bytes + out, back_bytes=SAVED.back_bytes + back)
    return replace(BEFORE, workloads=(replace(ROWS[0], saved=saved), *ROWS[1:], workload(id="new")))


def page(width: int) -> str:
    after = later(50 * MIB, 5 * MIB)
    found = top.ordered(after, top.rates(BEFORE, after, 5.0), "out")
    return "".join(f"{render.shown(line)}\n" for line in top.lines(after, found, "out", Page(width=width)))


@pytest.mark.parametrize("width", [80, 140])
def test_word_by_word(width: int) -> None:
    assert page(width) == golden(f"top-{width}")
    assert max(map(len, page(width).splitlines()[1:])) <= width


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("usage", ["cache", "web", "db"]),
        ("hot", ["cache", "db", "web"]),
        ("cold", ["db", "cache", "web"]),
        ("swap", ["db", "cache", "web"]),
        ("saved", ["cache", "db", "web"]),
        ("name", ["web", "cache", "db"]),
    ],
)
def test_orders(order: str, names: list[str]) -> None:
    found = top.ordered(BEFORE, {}, order)

    assert [line.row.name.rpartition("/")[2] for line in found] == names


def test_rates_are_of_the_time_between_and_never_negative() -> None:
    found = top.rates(BEFORE, later(50 * MIB, -MIB), 5.0)

    assert found["4f" * 32] == (10.0 * MIB, 0.0)
    assert "new" not in found


def test_on_a_pipe_it_looks_once(node: Node) -> None:
    node.publish(report(*ROWS))
    shown = node.ebbtide("top")

    assert shown.code == 0
    assert len(shown.out.splitlines()) == 5
    assert "\x1b" not in shown.out


def test_as_json_a_look_is_a_line(node: Node) -> None:
    node.publish(BEFORE)
    lines = node.ebbtide("top", "-o", "json", "-n", "2", "-d", "0.01", "-k", "swap").out.splitlines()

    documents = [json.loads(line) for line in lines]
    for each in documents:
        conforms("top", each)
    assert [each["workloads"][0]["out_bytes_per_second"] for each in documents] == [None, 0.0]
    assert documents[0]["workloads"][2]["hot_bytes"] is None


@pytest.mark.parametrize("words", [["-d", "0"], ["-n", "0"], ["-k", "beauty"]])
def test_what_can_be_wrong(node: Node, words: list[str]) -> None:
    node.publish(BEFORE)

    assert node.ebbtide("top", *words).code == 64


def test_a_daemon_that_has_ended_is_said(node: Node) -> None:
    node.publish(BEFORE)  # long ago
    shown = node.ebbtide("top")

    assert shown.code == 3
    assert shown.out.startswith("ebbtide not running at 10:03:16: 3 workloads, ")


def test_no_daemon(node: Node) -> None:
    assert node.ebbtide("top").code == 3


class Terminal:
    """A process on a pseudo terminal."""

    def __init__(self, descriptor: int, process: "subprocess.Popen[bytes]") -> None:
        self.descriptor, self.process = descriptor, process
        self.seen = ""

    def until(self, text: str) -> None:
        deadline = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if select.select([self.descriptor], [], [], 0.1)[0]:
                self.seen += os.read(self.descriptor, 65536).decode()

    def press(self, key: str) -> None:
        self.seen = ""
        os.write(self.descriptor, key.encode())


@contextmanager
def on_a_terminal(node: Node, *words: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "reconciler", "top", "--run-dir", str(node.run), *words]
    environment = {**os.environ, "COLUMNS": "100", "LINES": "30", "NO_COLOR": "1"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        try:
            yield Terminal(ours, process)
        finally:
            process.kill()
            os.close(ours)


def test_keys_choose_the_order_and_end_it(node: Node) -> None:
    node.publish(BEFORE)
    with on_a_terminal(node, "-d", "1000") as terminal:
        terminal.until("by usage")
        terminal.press("s")
        terminal.until("by swap")
        assert "\x1b[5F\x1b[J" in terminal.seen, "over what was shown before"
        terminal.press("?")
        terminal.until("by swap")
        node.publish(replace(BEFORE, time="2999-11-25T11:11:11+00:00"))
        terminal.press(" ")
        terminal.until("at 11:11:11")
        terminal.press("q")
        assert terminal.process.wait(60) == 0
