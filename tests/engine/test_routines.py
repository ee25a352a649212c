"""Routines: what runs when, what is kept of it and what is said, with real commands beside a fake kernel."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC
from pathlib import Path

import pytest

from reconciler.engine.console import Answers
from reconciler.engine.engine import Engine
from reconciler.engine.errands import Errands
from reconciler.engine.routines import Routines, Stage
from reconciler.engineconfig import AgeConfig, Command, RoutineConfig
from reconciler.model import EngineSettings, Features
from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_process import FakeKernel, FakeProcess
from tests.engine.silent import Silent
from tests.eventually import eventually

MIB = 1 << 20
NOW_NS = 1_770_091_506_078_009_010  # 2026-02-03 04:05:06 UTC
AT_ONCE = Errands(send=lambda _, work: work(), wall_ns=lambda: NOW_NS, zone=UTC)


def shell(script: str) -> Command:
    return Command(words=("sh", "-c", script))


@dataclass
class Hall:
    """Where routines run: a console that knows few words, and what came out."""

    errands: Errands = AT_ONCE
    out: int = 0  # bytes paged out
    shown: list[str] = field(default_factory=list)
    cgroup: str = ""

    def run(self, words: tuple[str, ...]) -> str:
        if words[0] == "crash":
            raise KeyError("a bug")
        if words[0] != "echo":
            raise ValueError(f"unknown command {words[0]!r}")
        return " ".join(words[1:]) + "\n"

    def begin(self, *configs: RoutineConfig) -> Routines:
        stage = Stage(
            name="w",
            console=self,
            paged_out=lambda: self.out,
            output=self.shown.append,
            errands=self.errands,
            cgroup=self.cgroup,
        )
        return Routines(configs, stage, 0.0)


STRANGE = "/cg/$(touch x);a b"


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (
            Command(words=("echo", "$CGROUP2_ABS_PATH/memory.stat", "x$CGROUP2_ABS_PATH")),
            "{}/memory.stat x$CGROUP2_ABS_PATH\n",
        ),
        (Command(words=("echo", "$CGROUP2_ABS_PATH"), runner="memtier"), "{}\n"),
        (shell('echo "$CGROUP2_ABS_PATH/memory.stat"'), "{}/memory.stat\n"),
        (Command(words=('echo a | cat; echo "$CGROUP2_ABS_PATH"',), runner="memtier-prompt"), "a\n{}\n"),
    ],
)
def test_the_workloads_cgroup_is_a_value_and_never_a_program(command: Command, text: str) -> None:
    hall = Hall(cgroup=STRANGE)
    hall.begin(RoutineConfig(interval_ms=1000, command=command)).run(1.0)

    assert hall.shown == [text.format(STRANGE)]


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (Command(words=("printf", "%s|", "a b", "$HOME")), "a b|$HOME|"),
        (shell("echo out; echo err >&2"), "out\nerr\n"),
        (Command(words=("echo", "a", "|", "b"), runner="memtier"), "a | b\n"),
        (Command(words=("echo a b",), runner="memtier-prompt"), "a b\n"),
        (Command(words=("echo a b | tr a-z A-Z | rev",), runner="memtier-prompt"), "B A\n"),
        (Command(words=("| echo alone",), runner="memtier-prompt"), "alone\n"),
    ],
)
def test_runners(command: Command, text: str) -> None:
    hall = Hall()
    routines = hall.begin(RoutineConfig(interval_ms=1000, command=command))
    routines.run(1.0)

    assert (hall.shown, routines.notes()) == ([text], [])


@pytest.mark.parametrize(
    ("command", "text", "note"),
    [
        (shell("echo said; echo why; exit 3"), "said\nwhy\n", "exit status 3: why"),
        (shell("kill -9 $$"), "", "exit status 137"),
        (Command(words=("/no/such",)), "/no/such: No such file or directory\n", "exit status 127: "),
        (Command(words=("what",), runner="memtier"), "unknown command 'what'\n", "exit status 1: "),
        (Command(words=("what | cat",), runner="memtier-prompt"), "unknown command 'what'\n", "exit status 1: "),
        (Command(words=("echo a | exit 5",), runner="memtier-prompt"), "", "exit status 5"),
        (Command(words=("echo", "a"), runner="memtier-prompt"), "memtier-prompt wants one line, not 2 words\n", "1: "),
        (Command(words=("echo",), runner="shell"), "runner 'shell' is none of exec, memtier, memtier-prompt\n", "1: "),
        (Command(words=("crash",), runner="memtier"), "'a bug'\n", "exit status 1: "),
    ],
)
def test_failures_are_said_and_the_routine_goes_on(command: Command, text: str, note: str) -> None:
    hall = Hall()
    routines = hall.begin(RoutineConfig(interval_ms=1000, command=command))
    for now in (1.0, 2.0):
        routines.run(now)

    assert hall.shown == [text, text]
    assert len(routines.notes()) == 1
    assert routines.notes()[0].startswith("routine 1 failed 2 of 2 times, now with exit status ")
    assert note in routines.notes()[0]


def test_a_stranger_behind_a_command_cannot_forge_notes() -> None:
    hall = Hall()
    routines = hall.begin(RoutineConfig(interval_ms=1000, command=shell("printf 'a\\033[2Jb\\r' ; exit 1")))
    routines.run(1.0)

    assert routines.notes() == ['routine 1 failed 1 of 1 times, now with exit status 1: "a\\u001b[2Jb"']


def test_failing_and_recovering_are_logged_once_each(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hall = Hall()
    routines = hall.begin(
        RoutineConfig(interval_ms=1000, command=shell(f"test -e {tmp_path}/file"), pageout_command=shell("true"))
    )
    for now in (1.0, 2.0):
        routines.run(now)
    (tmp_path / "file").touch()
    for now in (3.0, 4.0):
        routines.run(now)

    assert [line.message.split(" command=")[0] for line in caplog.records] == [
        "event=routine-failed workload=w",
        "event=routine-works-again workload=w",
    ]
    assert routines.notes() == []


def test_stamps_stand_around_the_output_and_nothing_is_added() -> None:
    hall = Hall()
    config = RoutineConfig(
        interval_ms=1000,
        command=Command(words=("printf", "x")),
        timestamp="rfc3339 ",
        timestamp_after=" duration.milli\n",
    )
    hall.begin(config).run(1.0)

    assert hall.shown == ["2026-02-03T04:05:06Z x 0.000\n"]


def test_intervals_do_not_drift() -> None:
    hall = Hall()
    routines = hall.begin(
        RoutineConfig(interval_ms=1000, command=Command(words=("echo", "a"), runner="memtier")),
        RoutineConfig(interval_ms=2500, command=Command(words=("echo", "b"), runner="memtier")),
    )
    while (now := routines.due()) <= 5:
        routines.run(now)

    assert "".join(hall.shown).split() == ["a", "a", "b", "a", "a", "a", "b"]


@pytest.mark.parametrize(
    ("pageout_mib", "outs", "runs"),
    [
        (2, (0, 1, 2, 3, 4, 4, 9), [3, 5, 7]),
        (0, (0, 0, 0), [1, 2, 3]),
        (5, (4, 4, 4), []),
    ],
)
def test_the_pageout_command_runs_whenever_so_much_more_left(
    pageout_mib: int, outs: tuple[int, ...], runs: list[int]
) -> None:
    hall = Hall(out=7 * MIB)  # before the routine began
    command = Command(words=("echo", "out"), runner="memtier")
    routines = hall.begin(RoutineConfig(interval_ms=1000, pageout_mib=pageout_mib, pageout_command=command))
    found = []
    for now, out in enumerate(outs, 1):
        hall.out = (7 + out) * MIB
        routines.run(float(now))
        found += [now] * len(hall.shown)
        hall.shown.clear()

    assert found == runs


def test_the_interval_command_comes_first() -> None:
    hall = Hall()
    first, second = (Command(words=("echo", word), runner="memtier") for word in "ab")
    hall.begin(RoutineConfig(interval_ms=1000, command=first, pageout_command=second)).run(1.0)

    assert hall.shown == ["a\n", "b\n"]


def test_who_takes_too_long_is_killed_and_said() -> None:
    hall = Hall(errands=replace(AT_ONCE, limit=0.05))
    routines = hall.begin(RoutineConfig(interval_ms=1000, command=Command(words=("sleep", "1000"))))
    routines.run(1.0)
    said = "killed after 0.05 s, the limit of a routine's command"

    assert hall.shown == [f"[{said}]\n"]
    assert routines.notes() == [f'routine 1 failed 1 of 1 times, now with exit status 137: "{said}"']


def test_output_is_bounded() -> None:
    hall = Hall(errands=replace(AT_ONCE, most_output=10))
    hall.begin(RoutineConfig(interval_ms=1000, command=shell("printf '%0100d' 0"))).run(1.0)

    assert hall.shown == ["0000000000\n[90 bytes more were left out]\n"]


# -- beside the engine -----------------------------------------------------------------------------------------------


def test_a_run_delays_nobody_and_is_not_doubled(tmp_path: Path) -> None:
    hall = Hall(errands=Errands())
    script = f"echo run >> {tmp_path}/runs; while ! test -e {tmp_path}/go; do sleep 0.01; done; echo done"
    routines = hall.begin(RoutineConfig(interval_ms=1000, command=shell(script)))
    routines.run(1.0)
    assert eventually((tmp_path / "runs").exists)
    for now in (2.0, 3.0):
        routines.run(now)
    notes = routines.notes()
    (tmp_path / "go").touch()

    assert eventually(lambda: hall.shown == ["done\n"])
    assert notes == ["routine 1 was still running at 2 of its ticks, which were skipped"]
    assert (tmp_path / "runs").read_text() == "run\n"
    assert eventually(lambda: not routines._all[0]._under_way)
    routines.run(4.0)
    assert eventually(lambda: len(hall.shown) == 2), "then it runs again"


def test_stopping_ends_what_is_under_way(tmp_path: Path) -> None:
    hall = Hall(errands=Errands())
    script = f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 1000"
    routines = hall.begin(RoutineConfig(interval_ms=1000, command=shell(script), pageout_command=shell("echo no")))
    routines.run(1.0)
    assert eventually((tmp_path / "pid").exists)
    routines.stop()

    assert eventually(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists())
    assert eventually(lambda: not routines._all[0]._under_way)
    routines.run(2.0)
    assert (hall.shown, routines.notes()) == ([], [])


def test_without_a_thread_it_is_said() -> None:
    def full(name: str, work: Callable[[], None]) -> None:
        raise RuntimeError("can't start new thread")

    hall = Hall(errands=replace(AT_ONCE, send=full))
    routines = hall.begin(RoutineConfig(interval_ms=1000, command=shell("true")))
    for now in (1.0, 2.0):
        routines.run(now)

    assert routines.notes() == [
        'routine 1 failed 2 of 2 times, now with exit status 1: "can\'t start new thread"',
    ]


# -- of a workload and of the node -----------------------------------------------------------------------------------


def idle(kernel: FakeKernel, pid: int, pages: int) -> None:
    kernel.add(FakeProcess(kernel.root, pid).map(0, pages).present(0, pages))


@pytest.fixture
def quiet(bench: Bench) -> Bench:
    """Pages out, and has no routines yet."""
    bench.kernel.swap(1 << 40)
    return bench


def test_a_workloads_routine_counts_what_was_verified(quiet: Bench) -> None:
    idle(quiet.kernel, 50, 512)
    quiet.kernel.effect = False
    routine = RoutineConfig(interval_ms=1000, pageout_mib=1, pageout_command=Command(words=("echo", "out")))
    quiet.engine.start(quiet.task(config=replace(CONFIG, routines=(routine,))))
    quiet.run(10)
    asked, shown = len(quiet.kernel.advised), list(quiet.outputs)
    quiet.kernel.effect = True
    quiet.run(40)

    assert asked > 0
    assert shown == [], "the kernel was asked, but nothing left"
    assert quiet.outputs[0] == ("w", "out\n")


def test_failing_routines_are_in_the_report(bench: Bench) -> None:
    idle(bench.kernel, 50, 8)
    routine = RoutineConfig(interval_ms=1000, command=shell("exit 4"))
    bench.engine.start(bench.task(config=replace(CONFIG, routines=(routine,))))
    bench.run(3)
    said = bench.engine.report("w")

    assert said is not None
    assert "routine 1 failed 3 of 3 times, now with exit status 4" in said.notes
    assert said.error == ""


def begin_two(bench: Bench) -> None:
    for name, pid in (("a", 50), ("b", 51)):
        idle(bench.kernel, pid, 384)
        plain = replace(CONFIG, policy=AgeConfig(interval_ms=1000, swapout_ms=2000), routines=())
        bench.engine.start(replace(bench.task(config=plain, pids=(pid,)), workload=name))


def test_the_nodes_routines_sum_up_all_workloads_also_those_that_ended(quiet: Bench) -> None:
    begin_two(quiet)
    routine = RoutineConfig(interval_ms=1000, pageout_mib=3, pageout_command=Command(words=("echo", "3 MiB")))
    quiet.engine.update(quiet.features, quiet.settings, routines=(routine,))
    quiet.run(8)

    assert quiet.engine.paged_out() == 3 * MIB
    assert quiet.outputs == [("", "3 MiB\n")]

    quiet.engine.stop("a")

    assert quiet.engine.paged_out() == 3 * MIB


def test_the_nodes_console_answers_for_all(bench: Bench) -> None:
    begin_two(bench)
    words = ("policy", "-dump", "accessed", "0,1s,0")
    routine = RoutineConfig(interval_ms=2000, command=Command(words=words, runner="memtier"))
    bench.engine.update(bench.features, bench.settings, routines=(routine,))
    bench.run(2)

    assert [line for line in bench.outputs[0][1].splitlines() if line.startswith("workload")] == [
        "workload: a",
        "workload: b",
    ]
    assert "      50 " in bench.outputs[0][1]
    assert Answers(bench.engine).run(("stats", "-t", "process_madvise")).startswith("table:")


def test_the_nodes_routines_begin_afresh_only_if_they_are_others(bench: Bench) -> None:
    one, other = (RoutineConfig(interval_ms=2000, command=Command(words=("echo", word))) for word in ("one", "other"))
    for routines in ((one,), (one,), (other,), ()):
        bench.engine.update(bench.features, bench.settings, routines=routines)
        bench.run(1.5)

    assert bench.outputs == [("", "one\n")], "the second update let it go on; the third and fourth came too early"
    bench.run(10)
    assert len(bench.outputs) == 1, "there are none any more"


def test_the_nodes_failures_are_said(bench: Bench) -> None:
    routine = RoutineConfig(interval_ms=1000, command=shell("exit 4"))
    bench.engine.update(bench.features, bench.settings, routines=(routine,))
    bench.run(2)

    assert bench.engine.node_notes() == ("routine 1 failed 2 of 2 times, now with exit status 4",)


def test_no_command_outlives_the_engine(kernel: FakeKernel, tmp_path: Path) -> None:
    engine = Engine(
        kernel.tree, Features(kernel="", page_size=4096), EngineSettings(), lambda _: None, bells=Silent(kernel.tree)
    )
    script = f"echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pid; sleep 1000"
    engine.update(
        Features(kernel="", page_size=4096),
        EngineSettings(),
        routines=(RoutineConfig(interval_ms=10, command=shell(script)),),
    )
    assert eventually((tmp_path / "pid").exists)
    engine.close()

    assert eventually(lambda: not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists())
