"""`mover`, `swap -out -mover` and `stats` at the prompt of an engine of its own, which moves what is asked for."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from reconciler.memtierd.console import Console
from reconciler.memtierd.own import Own
from sysfs import move_pages
from tests.engine.conftest import Bench
from tests.engine.fake_nodes import FakeMovePages
from tests.engine.fake_process import BASE, FakeKernel, FakeProcess

PID, PAGES = 42, 64
ADDRESS = f"{BASE:x}"


@dataclass
class Prompt:
    bench: Bench
    console: Console

    @property
    def kernel(self) -> FakeKernel:
        return self.bench.kernel

    def __call__(self, line: str) -> list[str]:
        answer = self.console.run(line)
        assert answer.ok, answer.text
        return answer.text.splitlines()

    def on(self, node: int) -> int:
        process = self.kernel.processes[PID]
        return int((process.node[:PAGES] == node).sum())


@pytest.fixture
def prompt(tmp_path: Path) -> Iterator[Prompt]:
    """On a machine with two memory nodes."""
    kernel = FakeKernel(tmp_path)
    bench = Bench(kernel)
    kernel.nodes.add(0, 100_000, (10,), cpu=True)
    kernel.nodes.add(1, 50_000, (20, 10))
    kernel.add(FakeProcess(kernel.root, PID, allowed="0-1").map(0, PAGES).present(0, PAGES))
    own = Own(kernel.tree, bench.features, lambda _: None, engine=bench.engine)
    yield Prompt(bench, Console(own))
    own.close()


def test_selected_pages_move_and_everything_tells_of_it(prompt: Prompt) -> None:
    prompt(f"pages -pid {PID}")
    assert prompt("mover -pages-to 1") == []
    assert prompt("mover -tasks") == [
        f"1        MoverTask{{pid: {PID}, next: {ADDRESS}, page: 0 out of {PAGES}, dest: [node1]}}"
    ]
    prompt.bench.run(2)

    assert prompt.on(1) == PAGES
    assert prompt("mover -tasks") == []
    assert prompt("mover -wait") == ["mover wait received: AllDone"]
    assert prompt("stats") == [
        f"move_pages on pid: {PID}",
        "    calls: 1",
        f"    requested: {PAGES} pages (0 MB)",
        f"    on target: {PAGES} pages (0 MB)",
        f"        to node 1: {PAGES} pages (0 MB)",
        "    errors: 0 pages (0 MB)",
    ]
    (last,) = prompt(f"stats -lm {PID}")
    call, result = last.split(" => ")
    assert call == f"move_pages(pid={PID}, pagecount={PAGES}, firstpage={ADDRESS} dest=1)"
    assert result == f"(return=0 on_dest={PAGES} on_other=0 [errno:pagecount]=map[])"
    assert prompt(f"stats -le {PID}") == [f"no move with errors of pid {PID}"]
    assert prompt("stats -t move_pages -f csv")[1:] == [
        "pid,calls,req[pages],ok[pages],moved[G],targetnode:moved[G]",
        f"{PID},1,{PAGES},{PAGES},0.000244,1:0.000",
    ]


def test_tasks_rest_go_on_and_are_removed(prompt: Prompt) -> None:
    prompt(f"pages -pid {PID} -ranges {ADDRESS}+16k")
    prompt("mover -pause")
    prompt("mover -pages-to 1")
    prompt(f"pages -pid {PID} -ranges {BASE + 0x10000:x}+16k")
    prompt("mover -pages-to 1")
    prompt.bench.run(2)
    assert prompt("mover -wait") == ["mover wait received: Paused"]
    assert [line.split()[0] for line in prompt("mover -tasks")] == ["1", "2"]

    prompt("mover -remove-task 1 -continue")
    prompt.bench.run(2)

    assert np.flatnonzero(prompt.kernel.processes[PID].node[:PAGES] == 1).tolist() == [16, 17, 18, 19]
    assert not prompt.console.run("mover -remove-task 1").ok


@pytest.mark.parametrize(("rest", "work"), [("-pause", "-continue"), ("-stop", "-start")])
def test_both_words_for_resting(prompt: Prompt, rest: str, work: str) -> None:
    prompt(f"mover {rest}")
    assert prompt("mover -wait") == ["mover wait received: Paused"]
    prompt(f"mover {work}")
    assert prompt("mover -wait") == ["mover wait received: AllDone"]


def test_its_configuration_holds_for_what_comes(prompt: Prompt) -> None:
    prompt('mover -config {"IntervalMs":50,"Bandwidth":7}')

    assert prompt("mover -config-dump") == ['{"IntervalMs": 50, "Bandwidth": 7}']
    assert 'did you mean "bandwidth"' in prompt.console.run('mover -config {"Bandwith":7}').text


def test_swapping_by_the_mover(prompt: Prompt) -> None:
    prompt(f"swap -pid {PID} -out -mover")
    assert prompt("mover -tasks")[0].endswith("dest: [swap]}")
    prompt.bench.run(2)

    assert prompt(f"swap -pid {PID} -status") == [f"{PID} 64 / 64 pages, 0 / 0 MB (100.0 %) swapped out"]
    assert prompt("stats") == [
        f"process_madvise on pid: {PID}",
        "    calls: 1",
        "    paged out: 64 pages (0 MB) of 64 pages (0 MB)",
    ]


def test_a_task_that_fails_stays_and_says_why(prompt: Prompt) -> None:
    prompt.kernel.nodes.pinned = set(range(8))
    prompt(f"pages -pid {PID}")
    prompt("mover -pages-to 1")
    prompt.bench.run(20)

    assert prompt.on(1) == PAGES - 8
    (task,) = prompt("mover -tasks")
    assert "8 of 64 pages stayed: 8 pinned or in use by the kernel just now" in task
    assert prompt("mover -wait") == ["mover wait received: AllDone"]
    assert prompt("stats -t move_pages_errors -f csv")[2].startswith(f"{PID},")


def test_recorded_moves_are_also_those_of_loops_that_begin_later(prompt: Prompt) -> None:
    assert prompt("stats -dump moves start") == ["recording moves"]
    prompt(f"pages -pid {PID}")
    prompt("mover -pages-to 1")
    prompt.bench.run(2)

    assert [line.split(" =>")[0] for line in prompt("stats -dump moves new")] == [
        f"move_pages(pid={PID}, pagecount={PAGES}, firstpage={ADDRESS} dest=1)"
    ]
    assert prompt("stats -dump moves new") == []
    prompt("stats -dump moves stop")
    prompt("mover -pages-to 0")
    prompt.bench.run(2)
    assert prompt("stats -dump moves new") == []


def test_which_pages_are_on_a_node(prompt: Prompt, monkeypatch: pytest.MonkeyPatch) -> None:
    process = prompt.kernel.processes[PID]
    process.node[:16] = 1
    fake = FakeMovePages(prompt.kernel.nodes, process, lambda: None)
    monkeypatch.setattr(move_pages.MovePages, "_call", lambda _, *arguments: fake._call(*arguments))

    assert prompt(f"pages -pid {PID} -node 1")[-1] == f"pages = <16 pages of pid {PID}>"
    assert prompt("pages") == [f"pages of pid {PID}", "node 1: 16"]


def test_nothing_was_done_yet(prompt: Prompt) -> None:
    assert prompt("stats") == ["nothing was scanned or moved"]
    assert prompt.console.run("stats -t nothing").ok is False
