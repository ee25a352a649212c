"""The prompt's commands in routines: of a workload, of the node, and with a limit of time."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from reconciler.engine.engine import Engine
from reconciler.memtierd.answering import Answering, ForNode
from reconciler.memtierd.resident import Chosen, Resident
from tests.engine.conftest import Bench
from tests.engine.fake_process import FakeKernel, FakeProcess
from tests.prompt.conftest import Prompt


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    kernel = FakeKernel(tmp_path)
    kernel.add(FakeProcess(tmp_path, 42).map(0, 64).present(0, 64))
    made = Bench(kernel)
    made.engine.start(made.task(pids=(42,)))
    made.run(2.5)  # which is enough to page everything out
    yield made
    made.engine.close()


def answering(engine: Engine, bench: Bench, workload: str) -> Answering:
    chosen = Chosen(id=workload, class_name="c")
    return Answering(lambda: Resident(bench.kernel.tree, lambda: bench.features, engine, chosen))


def test_a_workloads_routine_may_say_everything(bench: Bench) -> None:
    console = answering(bench.engine, bench, "w")

    assert console.run(("policy", "-dump", "accessed", "0,1s,0")).startswith("table: time since last access")
    assert console.run(("pages", "-pid", "42")).endswith("pages = <0 pages of pid 42>\n")
    assert "memory scans on pid: 42" in console.run(("stats",))
    assert console.run(("swap", "-pid", "42", "-status")).startswith("42 64 / 64 pages")


def test_each_command_begins_at_a_prompt_of_its_own(bench: Bench) -> None:
    console = answering(bench.engine, bench, "w")
    console.run(("arange", "-pid", "42"))

    with pytest.raises(ValueError, match="no address ranges are selected"):
        console.run(("arange", "-ls"))


@pytest.mark.parametrize("words", [("polciy",), ("policy", "-stop"), ("log", "-f", "the end"), ("swap", "-status")])
def test_errors_are_errors(bench: Bench, words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        answering(bench.engine, bench, "w").run(words)


def test_the_nodes_routine_asks_about_all_workloads(bench: Bench) -> None:
    console = ForNode(bench.engine, answering(bench.engine, bench, ""))

    assert console.run(("policy", "-dump", "accessed", "0,1s,0")).startswith("workload: w\n")
    assert "memory scans on pid: 42" in console.run(("stats",))
    assert console.run(("swap", "-pid", "42", "-status")).startswith("42 64 / 64 pages")


def test_what_takes_long_goes_on_until_the_limit(prompt: Prompt) -> None:
    times = count()
    console = Answering(lambda: prompt.host, limit=3, clock=lambda: float(next(times)))
    prompt.host.patience = 1.0

    assert console.run(("time", "-sleep", "2")) == ""
    with pytest.raises(ValueError, match="not done after 3 s"):
        console.run(("time", "-sleep", "1000"))
