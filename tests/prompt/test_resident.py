"""The prompt of the daemon: on a real engine with a fake kernel, over the control socket, by the verb `prompt`."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.cli.beside import Neighbour
from reconciler.cli.options import Options
from reconciler.control import client, server
from reconciler.control.answering import Answers
from reconciler.memtierd.console import Answer, Console
from reconciler.memtierd.resident import Chosen, Prompts, Resident
from reconciler.report import EngineReport
from sysfs.tree import Tree
from tests.cli.node import ID, Node, report, workload
from tests.engine.conftest import Bench
from tests.engine.fake_process import FakeKernel, FakeProcess


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    kernel = FakeKernel(tmp_path)
    kernel.add(FakeProcess(tmp_path, 42).map(0, 64).present(0, 64))
    kernel.add(FakeProcess(tmp_path, 43, comm="containerd").map(0, 4).present(0, 4))
    made = Bench(kernel)
    yield made
    made.engine.close()


def resident(bench: Bench, chosen: str = "w") -> Resident:
    tree = bench.kernel.tree
    return Resident(tree, lambda: bench.features, bench.engine, Chosen(id=chosen, class_name="swap-idle-data"))


def test_it_shows_what_the_class_has_started(bench: Bench) -> None:
    bench.engine.start(bench.task(pids=(42,)))
    bench.run(2.5)
    console = Console(resident(bench))

    dump = console.run("policy -dump accessed 0,1m")
    assert dump.ok
    assert dump.text.splitlines()[2].split()[:1] == ["42"]
    assert console.run("tracker -counters").text.splitlines()[0].startswith("a=")
    assert '"swapout": "2s"' in console.run("policy -config-dump").text
    assert console.run("pidwatcher -dump").text == "pidwatcher pidlist: [42]\n"
    assert console.run("routines -dump").text == 'routine "statactions": running=true\n'
    assert console.run("tracker -dump raw start").ok


@pytest.mark.parametrize(
    "line",
    ["policy -stop", "policy -create age", "tracker -create idlepage", "routines -stop", "pidwatcher -create proc"],
)
def test_it_changes_nothing_that_the_class_gives(bench: Bench, line: str) -> None:
    bench.engine.start(bench.task(pids=(42,)))

    answer = Console(resident(bench)).run(line)

    assert not answer.ok
    assert 'class "swap-idle-data" gives it: change its file' in answer.text
    assert list(bench.engine.running()) == ["w"]


def test_without_a_workload(bench: Bench) -> None:
    console = Console(resident(bench, ""))

    assert console.run("pages -pid 42").ok
    assert "no policy" in console.run("policy -dump accessed").text
    assert "no workload is chosen" in console.run("policy -create age").text


def test_moving_by_hand_says_who_will_undo_it(bench: Bench) -> None:
    bench.engine.start(bench.task(pids=(42,)))
    bench.run(1.5)
    host = resident(bench)
    host.target = bench.kernel.target  # type: ignore[method-assign] # the fake kernel's page-out

    answer = Console(host).run("swap -pid 42 -out -status")

    assert answer.ok, answer.text
    assert answer.text.splitlines() == [
        "note: the age policy of workload w goes on, and may soon move it elsewhere",
        "42 64 / 64 pages, 0 / 0 MB (100.0 %) swapped out",
    ]


def test_who_is_never_managed_is_not_moved_by_hand_either(bench: Bench) -> None:
    answer = Console(resident(bench)).run("swap -pid 43 -out")

    assert "process 43 is left alone: containerd: container runtime" in answer.text


def test_idle_marks_that_a_loop_looks_at_are_left_alone(bench: Bench) -> None:
    bench.kernel.idle_bitmap()
    bench.engine.start(bench.task("idlepage", pids=(42,)))

    assert "workload w looks at these marks" in Console(resident(bench)).run("pages -si 1").text


def test_everybody_has_a_selection_of_his_own(bench: Bench) -> None:
    prompts = Prompts(lambda _: resident(bench))
    prompts.answer("w", "one", "arange -pid 42")

    assert prompts.answer("w", "one", "arange").text == "selected address ranges: 1\n"
    assert not prompts.answer("w", "two", "arange").ok
    for number in range(40):
        prompts.answer("w", str(number), "nop")
    assert not prompts.answer("w", "one", "arange").ok, "it was forgotten"


# -- over the socket -------------------------------------------------------------------------------------------------


def answered(chosen: str, person: str, line: str) -> Answer:
    if chosen == "gone":
        raise LookupError("no workload gone is here")
    if line == "slow":
        answered.times -= 1  # type: ignore[attr-defined] # counts down
        return Answer(text="working\n", again=answered.times > 0)  # type: ignore[attr-defined]
    if line == "q":
        return Answer(over=True)
    pipe = line.removeprefix("pipe ") if line.startswith("pipe ") else ""
    return Answer(text=f"{chosen[:4]} {len(person)} {line.split(maxsplit=1)[0]}\n", ok=line != "bad", pipe=pipe)


@pytest.fixture
def daemon(node: Node) -> Iterator[Node]:
    answered.times = 3  # type: ignore[attr-defined]
    node.publish(report(workload(), workload("shop/cart-1/log", id="other", engine=None)))
    answers = Answers(held=lambda: {42: ID}, prompt=answered)
    serving = server.serve(str(node.run / "control.sock"), answers)
    yield node
    serving.close()


def test_the_client_asks(daemon: Node) -> None:
    with client.Client(str(daemon.run / "control.sock")) as ends:
        assert ends.held() == {42: ID}
        assert ends.prompt("w", "me", "nop") == {
            "text": "w 2 nop\n",
            "ok": True,
            "pipe": "",
            "over": False,
            "again": False,
        }
        with pytest.raises(client.Unknown, match="no workload gone"):
            ends.prompt("gone", "me", "nop")


@pytest.mark.parametrize(
    ("words", "code", "out"),
    [
        (["-c", "nop"], 0, "4f4f 32 nop\n"),
        (["-w", "shop/cart-1/log", "-c", "nop"], 0, "othe 32 nop\n"),
        (["-c", "bad\nnop"], 1, "4f4f 32 bad\n4f4f 32 nop\n"),
        (["-c", "q\nnop"], 0, ""),
        (["-c", "slow", "--echo"], 0, "slow\nworking\nworking\nworking\n"),
    ],
)
def test_prompt(daemon: Node, words: list[str], code: int, out: str) -> None:
    shown = daemon.ebbtide("prompt", *words)

    assert (shown.code, shown.out) == (code, out)


def test_pipes_run_at_the_client(daemon: Node, tmp_path: Path) -> None:
    shown = daemon.ebbtide("prompt", "-c", f"pipe tr a-z A-Z > {tmp_path}/out")

    assert shown.code == 0
    assert (tmp_path / "out").read_text() == "4F4F 32 PIPE\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-w", "nobody", "-c", "nop"], 4, "no such workload"),
        (["-x"], 64, "unrecognized arguments: -x"),
    ],
)
def test_what_prompt_cannot_do(daemon: Node, words: list[str], code: int, said: str) -> None:
    shown = daemon.ebbtide("prompt", *words)

    assert shown.code == code
    assert said in shown.err


def test_no_daemon(node: Node) -> None:
    assert node.ebbtide("prompt", "-c", "nop").code == 3


# -- another engine beside the daemon --------------------------------------------------------------------------------


def neighbour(node: Node, root: Path) -> Neighbour:
    return Neighbour(options=Options(state_dir=str(node.state), run_dir=str(node.run)), tree=Tree(root))


def in_cgroup(root: Path, pid: int, path: str) -> None:
    folder = root / f"proc/{pid}"
    folder.mkdir(parents=True)
    (folder / "cgroup").write_text(f"0::{path}\n")


def test_what_the_daemon_manages_is_named(daemon: Node, tmp_path: Path) -> None:
    beside = neighbour(daemon, tmp_path / "root")
    in_cgroup(tmp_path / "root", 7, "/kubepods/podX/4f4f/inner")
    in_cgroup(tmp_path / "root", 8, "/kubepods/podX/4f4f0")

    assert beside.taken(42).startswith("workload shop/cart-1/db of the daemon (process ")
    assert "-force does it all the same" in beside.taken(42)
    assert "shop/cart-1/db" in beside.taken(7)
    assert beside.taken(8) == ""
    assert beside.taken(9) == "", "it is gone"
    assert "would believe that the page was not used" in beside.marking()


@pytest.mark.parametrize("state", ["released", "unmanaged", "gone"])
def test_what_the_daemon_has_let_go_is_free(daemon: Node, tmp_path: Path, state: str) -> None:
    in_cgroup(tmp_path / "root", 7, "/kubepods/podX/4f4f")
    row = replace(workload(), state=state, engine=EngineReport(tracker="referenced"))
    daemon.publish(report(row))
    beside = neighbour(daemon, tmp_path / "root")

    assert (beside.taken(7), beside.marking()) == ("", "")


def test_without_a_daemon_everything_is_free(node: Node, tmp_path: Path) -> None:
    in_cgroup(tmp_path / "root", 7, "/kubepods/podX/4f4f")
    beside = neighbour(node, tmp_path / "root")

    assert (beside.taken(7), beside.taken(42), beside.marking()) == ("", "", "")


def test_an_engine_leaves_alone_what_is_somebody_elses(bench: Bench) -> None:
    from reconciler.engine.claims import Claims

    claims = Claims(foreign=lambda pid: "it is the daemon's" if pid == 42 else "")

    assert claims.take(bench, "w", (42, 1, ())) == "it is the daemon's"
    assert claims.take(bench, "w", (43, 1, ())) == ""
    assert claims.held() == {43: "w"}
