"""Forecasters: real children that answer, are silent, die, or talk nonsense."""

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from reconciler.engine.forecasters import catalogue, heatjson
from reconciler.engine.forecasters.chain import Chain
from reconciler.engine.forecasters.forecaster import Forecaster, Means
from reconciler.engine.forecasters.stdio import Stdio
from reconciler.engine.forecasters.stub import Stub
from reconciler.engine.forecasters.trace import Trace
from reconciler.engine.heatmap import HEAT, Heats
from reconciler.engineconfig import AgeConfig, ForecasterConfig, HeatConfig

PAGE = 4096
HEATS: Heats = {
    7: np.array([(0x7F0000000000, 512, 0.25, 1_000, 5_000), (0x7F0000200000, 1, 0.0, 2_000, 5_000)], HEAT),
    8: np.array([(0x400000, 3, 1.0, 0, 5_000)], HEAT),
}
ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"
HALVED = """
import json, sys
for line in sys.stdin:
    heats = json.loads(line)
    for rows in heats.values():
        for row in rows:
            row["heat"] /= 2
    print(json.dumps(heats, indent=2), flush=True)
"""
SILENT = "import sys\nfor line in sys.stdin: pass"
DEAF = "import time; time.sleep(600)"


def means(clock: Callable[[], float] = time.monotonic) -> Means:
    return Means(page_size=PAGE, clock=clock, wall_clock=lambda: 1_700_000_000_000_000_000)


def python(program: str, *words: str, **settings: object) -> ForecasterConfig:
    values = {"name": "stdio", "deadline_ms": 60_000, **settings}
    return ForecasterConfig(command=(sys.executable, "-c", program, *words), **values)  # type: ignore[arg-type]


Start = Callable[..., Stdio]


@pytest.fixture
def start() -> Iterator[Start]:
    started = []

    def make(config: ForecasterConfig, clock: Callable[[], float] = time.monotonic) -> Stdio:
        started.append(Stdio(config, means(clock)))
        return started[-1]

    yield make
    for each in started:
        each.close()


def heat_of(heats: Heats | None) -> dict[int, list[float]] | None:
    return None if heats is None else {pid: ranges["heat"].tolist() for pid, ranges in heats.items()}


def child_of(forecaster: Stdio) -> int:
    assert forecaster._child is not None
    return forecaster._child.process.pid


def program_of(forecaster: Stdio) -> int:
    """The program that has answered: its keeper's first child."""
    keeper = child_of(forecaster)
    return int(Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()[0])


def kill_program_of(forecaster: Stdio) -> None:
    """And wait until it is noticed."""
    os.kill(program_of(forecaster), signal.SIGKILL)
    os.waitid(os.P_PID, child_of(forecaster), os.WEXITED | os.WNOWAIT)


def ticks(step: float) -> Callable[[], float]:
    """A clock that goes on by so much whenever somebody looks at it."""
    numbers = count()
    return lambda: next(numbers) * step


# -- programs --------------------------------------------------------------------------------------------------------


def test_what_goes_to_a_program_comes_back_the_same(start: Start) -> None:
    answer = start(python(ECHO)).forecast(HEATS)

    assert answer is not None
    assert {pid: ranges.tolist() for pid, ranges in answer.items()} == {p: r.tolist() for p, r in HEATS.items()}


def test_a_program_is_kept_and_its_answer_may_have_many_lines(start: Start) -> None:
    forecaster = start(python(HALVED))
    answers = [heat_of(forecaster.forecast(HEATS)) for _ in range(2)]

    assert answers == [{7: [0.125, 0.0], 8: [0.5]}] * 2
    first = child_of(forecaster)
    forecaster.forecast(HEATS)
    assert child_of(forecaster) == first
    assert forecaster.note == ""
    assert f"(below pid {first})" in forecaster.dump(())


def test_pipes_do_not_fill_up(start: Start) -> None:
    many = {1: np.array([(i * PAGE, 1, 0.5, 0, 0) for i in range(20_000)], HEAT)}
    copy = "sys.stdout.buffer.write(data); sys.stdout.buffer.flush()"
    answer = start(python(f"import sys\nwhile data := sys.stdin.buffer.read1(): {copy}")).forecast(many)

    assert answer is not None
    assert len(answer[1]) == 20_000


@pytest.mark.parametrize("program", [SILENT, DEAF, "import sys, time; print('{', flush=True); time.sleep(600)"])
def test_a_silent_program_is_killed_and_started_again_in_the_next_round(start: Start, program: str) -> None:
    forecaster = start(python(program, deadline_ms=50))
    many = {1: np.array([(i * PAGE, 1, 0.5, 0, 0) for i in range(20_000)], HEAT)}  # more than a pipe holds

    assert forecaster.forecast(many) is None
    assert "has not answered within 50 ms" in forecaster.note
    assert "(not running)" in forecaster.dump(())
    assert forecaster.forecast(HEATS) is None  # a child of its own: nobody blocks


def test_the_deadline_is_for_the_whole_round(start: Start) -> None:
    """Each look at the clock takes a second: a program that dies as fast as it is started cannot go on for ever."""
    forecaster = start(python("pass", deadline_ms=10_000, retries=1_000_000), ticks(1.0))

    assert forecaster.forecast(HEATS) is None
    assert "has not answered within 10000 ms" in forecaster.note


ONCE = """
import pathlib, sys
marker = pathlib.Path(sys.argv[1])
first = not marker.exists()
marker.touch()
line = sys.stdin.readline()
if first: sys.exit("dies at the first question")
print(line, flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize(("retries", "answered"), [(0, False), (1, True)])
def test_a_program_that_dies_costs_no_round_while_retries_are_left(
    start: Start, tmp_path: Path, retries: int, answered: bool
) -> None:
    forecaster = start(python(ONCE, str(tmp_path / "marker"), retries=retries))

    assert (forecaster.forecast(HEATS) is not None) == answered
    assert ("has ended without an answer" in forecaster.note) == (not answered)
    assert forecaster.forecast(HEATS) is not None
    assert forecaster.note == ""


def test_who_died_between_two_rounds_costs_nothing(start: Start) -> None:
    forecaster = start(python(ECHO, retries=0))
    forecaster.forecast(HEATS)
    kill_program_of(forecaster)

    assert forecaster.forecast(HEATS) is not None


@pytest.mark.parametrize(
    "said",
    [
        "good morning",
        "[]",
        "{bad}",
        "{} {}",
        "nul!",
        '{"7": 5}',
        '{"7": [5]}',
        '{"7": [{"addr": 4096, "length": 1, "heat": NaN}]}',
        '{"7": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"7": [{"addr": 4096, "length": 1, "heat": ' + "9" * 10_000 + "}]}",
    ],
    ids=lambda said: said[:32],  # the environment of children holds the test's name
)
def test_nonsense_is_no_forecast_and_its_program_is_killed(start: Start, tmp_path: Path, said: str) -> None:
    file = tmp_path / "said"
    file.write_text(said)
    program = (
        "import pathlib, sys, time; sys.stdin.readline(); print(pathlib.Path(sys.argv[1]).read_text(), flush=True)"
    )
    forecaster = start(python(f"{program}; time.sleep(600)", str(file)))

    assert forecaster.forecast(HEATS) is None
    assert "its answer is wrong" in forecaster.note
    assert len(forecaster.note) < 600
    assert "(not running)" in forecaster.dump(())


def test_an_endless_answer_is_cut(start: Start) -> None:
    forecaster = start(python("import sys; sys.stdin.readline()\nwhile True: print('{' * 1000)"))

    assert forecaster.forecast(HEATS) is None
    assert "is that an answer?" in forecaster.note


def test_what_was_said_unasked_is_no_answer(start: Start) -> None:
    """The second document waits in the pipe; nobody must take it for the next answer."""
    twice = "import sys\nfor line in sys.stdin: print(line, end='', flush=True); print('{}', flush=True)"
    forecaster = start(python(twice))
    answers = []
    for _ in range(3):
        answers.append(forecaster.forecast(HEATS))
        if forecaster._child:  # both documents at once are nonsense, and it is killed
            select.select([forecaster._child.process.stdout.fileno()], [], [], 60)  # type: ignore[union-attr]

    assert {} not in answers


def test_null_is_no_forecast_and_no_fault(start: Start) -> None:
    forecaster = start(python("import sys\nfor line in sys.stdin: print('null', flush=True)"))

    assert (forecaster.forecast(HEATS), forecaster.note) == (None, "")
    assert forecaster.forecast(HEATS) is None


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (ForecasterConfig(name="stdio", command=("no-such-program",)), "there is no such program"),
        (ForecasterConfig(name="stdio"), "there is no such program"),
        (python(ECHO, "a\0b"), "cannot be started"),
        (python(ECHO, stderr="file:/nowhere/at/all"), "No such file or directory: /nowhere/at/all"),
    ],
)
def test_what_cannot_be_started_is_said(start: Start, config: ForecasterConfig, said: str) -> None:
    forecaster = start(config)

    assert forecaster.forecast(HEATS) is None
    assert said in forecaster.note


def test_standard_error_goes_to_its_file(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    forecaster = start(python(f"import sys; print('hello', file=sys.stderr, flush=True)\n{ECHO}", stderr=f"file:{log}"))
    forecaster.forecast(HEATS)

    assert log.read_text() == "before\nhello\n"


@pytest.mark.parametrize("end", ["close", "deadline", "its own"])
def test_nothing_is_left_behind(start: Start, tmp_path: Path, end: str) -> None:
    """Not even what the program itself has started, and that does not listen."""
    nested = (
        "import subprocess, sys\n"
        "stubborn = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(600)'\n"
        "other = subprocess.Popen([sys.executable, '-c', stubborn], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)\n"
        "other.stdout.readline(); open(sys.argv[1], 'w').write(str(other.pid))\n"
        "sys.stdin.readline(); print('{}', flush=True)\nsys.stdin.readline()\nimport time; time.sleep(600)"
    )
    pids = tmp_path / "pid"
    steps = iter([0.0])
    forecaster = start(python(nested, str(pids), deadline_ms=1_000), lambda: next(steps, 0.0))  # it has all the time
    assert forecaster.forecast(HEATS) == {}
    other = int(pids.read_text())
    if end == "deadline":
        steps = iter([0.0, 0.9, 2.0])
        assert forecaster.forecast(HEATS) is None
    elif end == "its own":
        kill_program_of(forecaster)
        forecaster.forecast(HEATS)
    else:
        forecaster.close()

    assert _gone(other)


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
    return False


# -- answers ---------------------------------------------------------------------------------------------------------


def row(**values: object) -> str:
    return json.dumps({"7": [{"addr": PAGE, "length": 1, "heat": 0.5, "created": 1, "updated": 2, **values}]})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (row(addr=-PAGE), "addr -4096"),
        (row(addr=1), "not where a page begins"),
        (row(addr=1 << 64), "addr 18446744073709551616"),
        (row(addr="0x1000"), "addr the text"),
        (row(addr=True), "addr true"),
        (row(length=0), "length 0"),
        (row(length=1.5), "length 1.5"),
        (row(length=1 << 53), "length"),  # beyond the last address
        (row(heat=-0.1), "heat -0.1"),
        (row(heat=None), "heat nothing"),
        (row(heat="hot"), "heat the text"),
        (row(heat=1e400), "Infinity is no heat"),
        (row(created=1 << 63), "created"),
        ('{"7": [{"addr": 4096, "length": 2, "heat": 0}, {"addr": 8192, "length": 1, "heat": 0}]}', "overlap"),
        ('{"7": [{"addr": 4096, "length": 1, "heat": 1e999}]}', "heat inf"),
        ("", "no JSON document"),
    ],
)
def test_answers_that_cannot_be_true_are_refused(text: str, said: str) -> None:
    with pytest.raises(heatjson.Wrong, match=said):
        heatjson.answer(text, HEATS, PAGE)


def test_an_answer_is_sorted_and_only_about_whom_was_asked() -> None:
    text = '{"7": [{"addr": 8192, "length": 1, "heat": 1}, {"addr": 0, "length": 2, "heat": 7e9}], "99": 5, "8": null}'
    answer = heatjson.answer(text, HEATS, PAGE)

    assert answer is not None
    assert {pid: ranges.tolist() for pid, ranges in answer.items()} == {
        7: [(0, 2, 7e9, 0, 0), (8192, 1, 1.0, 0, 0)],
        8: [],
    }


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_an_answer_may_come_in_pieces(size: int) -> None:
    text = b" " * 100 + b"\n" + heatjson.question(HEATS)
    collector = heatjson.Collector(len(text))
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    last = next(i for i, piece in enumerate(pieces) if collector.take(piece))

    assert b"".join(pieces[last + 1 :]).strip() == b""
    assert heat_of(heatjson.answer(collector.text(), HEATS, PAGE)) == heat_of(HEATS)


# -- files and chains ------------------------------------------------------------------------------------------------

TABLE = """table: heat forecast 1700000000000000000 pid addr size heat created updated
7 7f0000000000 2097152 0.250000000 1000 5000
7 7f0000200000 4096 0.000000000 2000 5000
8 400000 12288 1.000000000 0 5000
"""


def trace(path: Path, most: int = 1 << 20, *, hide: bool = False) -> Trace:
    return Trace(ForecasterConfig(name="trace", file=str(path), hide_heat_zero=hide), means(), most)


def test_a_trace_is_appended_table_by_table(tmp_path: Path) -> None:
    forecaster = trace(tmp_path / "heats")

    assert [forecaster.forecast(HEATS) for _ in range(2)] == [None, None]
    assert (tmp_path / "heats").read_text() == TABLE * 2
    assert (tmp_path / "heats").stat().st_mode & 0o777 == 0o600
    assert forecaster.note == ""


def test_a_trace_can_hide_what_is_cold(tmp_path: Path) -> None:
    trace(tmp_path / "heats", hide=True).forecast(HEATS)

    assert (tmp_path / "heats").read_text() == "".join(
        line for line in TABLE.splitlines(keepends=True) if "0.000000000" not in line
    )


def test_a_full_trace_says_so_until_it_is_moved_away(tmp_path: Path) -> None:
    file = tmp_path / "heats"
    forecaster = trace(file, most=10)
    for _ in range(3):
        forecaster.forecast(HEATS)

    assert file.read_text() == TABLE
    assert "move it away" in forecaster.note
    file.rename(tmp_path / "old")
    forecaster.forecast(HEATS)
    assert (file.read_text(), forecaster.note) == (TABLE, "")


def _link(path: Path) -> None:
    path.symlink_to(path.with_name("victim"))


def _second_name(path: Path) -> None:
    path.hardlink_to(path.with_name("victim"))


def _strangers(path: Path) -> None:
    path.touch()
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("trap", [_link, _second_name, os.mkfifo, Path.mkdir, _strangers])
def test_a_trace_never_writes_to_what_is_not_its_own(tmp_path: Path, trap: Callable[[Path], None]) -> None:
    if trap is _strangers and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    (tmp_path / "victim").touch()
    trap(tmp_path / "heats")
    forecaster = trace(tmp_path / "heats")
    forecaster.forecast(HEATS)

    assert "cannot write" in forecaster.note
    assert (tmp_path / "victim").read_text() == ""


def test_a_name_that_no_file_can_have_is_said() -> None:
    forecaster = trace(Path("a\0b"))

    assert forecaster.forecast(HEATS) is None
    assert "cannot write a?b" in forecaster.note


class Adding:
    """A forecaster of the tests: so much hotter, or nothing to say."""

    def __init__(self, heat: float | None, note: str = "") -> None:
        self._heat, self.note, self.closed = heat, note, False
        self.given: list[float] = []

    def forecast(self, heats: Heats) -> Heats | None:
        self.given = heats[8]["heat"].tolist()
        if self._heat is None:
            return None
        result = {pid: ranges.copy() for pid, ranges in heats.items()}
        for ranges in result.values():
            ranges["heat"] += self._heat
        return result

    def dump(self, words: tuple[str, ...]) -> str:
        return f"adding {self._heat} {' '.join(words)}"

    def close(self) -> None:
        self.closed = True


def test_a_chain_hands_on_the_last_forecast_and_says_whose_failed() -> None:
    links = [Adding(None, "one is ill"), Adding(1.0), Adding(None, "three, too"), Adding(2.0), Adding(None)]
    chain = Chain(links)

    assert heat_of(chain.forecast(HEATS)) == {7: [3.25, 3.0], 8: [4.0]}
    assert [link.given for link in links] == [[1.0], [1.0], [2.0], [2.0], [4.0]]
    assert chain.note == "one is ill; three, too"
    assert chain.dump(("x",)).splitlines()[:2] == ["chain of 5:", "adding None x"]
    chain.close()
    assert all(link.closed for link in links)


def test_a_chain_of_silence_has_no_forecast() -> None:
    assert Chain([Adding(None), Stub()]).forecast(HEATS) is None
    assert Chain([]).forecast(HEATS) is None


def test_what_a_configuration_makes() -> None:
    names = ("stub", "trace", "stdio")
    chain = ForecasterConfig(name="chain", forecasters=tuple(ForecasterConfig(name=name) for name in names))
    made = catalogue.of_policy(HeatConfig(forecaster=chain), means())

    assert isinstance(made, Chain)
    assert [type(each) for each in made._forecasters] == [Stub, Trace, Stdio]
    assert catalogue.of_policy(HeatConfig(), means()) is None
    assert catalogue.of_policy(AgeConfig(), means()) is None


def test_all_of_them_are_forecasters() -> None:
    made: list[Forecaster] = [Stub(), Chain([]), trace(Path("/x")), Stdio(python(ECHO), means())]

    assert [each.note for each in made] == [""] * 4
