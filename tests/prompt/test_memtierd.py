"""The verb `memtierd` as a process of its own: real memory, exit statuses, signals, pipes."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.control import server
from reconciler.control.answering import Answers
from tests.cli.node import ID, Node, report, until, workload
from tests.prompt import children
from tests.prompt.children import ROOT, SIZE, Sleeper, memtierd

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="must run as root")

AGE = """\
policy:
  name: age
  config: |
    intervalms: 200
    pidwatcher:
      name: pidlist
      config: |
        pids: [{pid}]
    tracker:
      name: referenced
      config: |
        pagesinregion: 512
        scanintervalms: 200
        regionsupdatems: 0
"""


@pytest.fixture(scope="module")
def sleeper() -> Iterator[Sleeper]:
    with children.sleeper() as found:
        yield found


@pytest.fixture
def config(tmp_path: Path, sleeper: Sleeper) -> Path:
    path = tmp_path / "age.yaml"
    path.write_text(AGE.format(pid=sleeper.pid))
    return path


def test_pages_aranges_and_swap_of_a_real_process(tmp_path: Path, sleeper: Sleeper) -> None:
    lines = [
        f"pages -pid {sleeper.pid} -ranges {sleeper.range}",
        "arange -split-length 1024",
        f"swap -pid {sleeper.pid} -ranges {sleeper.range} -status",
        f"pages -pid {sleeper.pid} -ranges {sleeper.start:x} -pm 5",
        "pages | grep -c pages",
    ]

    done = memtierd(tmp_path, "-c", "\n".join(lines))

    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown[4] == f"pages = <{SIZE // 4096} pages of pid {sleeper.pid}>"
    assert shown[5] == "selected address ranges: 2"
    assert shown[7] == f"{sleeper.pid} 0 / 2048 pages, 0 / 8 MB (0.0 %) swapped out"
    assert re.fullmatch(rf"{sleeper.start:x}: bits: \d1000\d pfn: \d+", shown[12])
    assert shown[13] == "1"


def test_a_tracker_by_hand(tmp_path: Path, sleeper: Sleeper) -> None:
    lines = [
        f'tracker -create referenced -config {{"ScanIntervalMs":100,"RegionsUpdateMs":0}} -start {sleeper.pid}',
        "time -sleep 1",
        "tracker -counters | tail -n 1",
        f"tracker -heat | grep -c {sleeper.start:x}- ",
        "tracker -stop -counters | wc -l",
    ]

    done = memtierd(tmp_path, "-prompt", lines="\n".join(lines))

    assert done.returncode == 0, done.stderr
    assert "tracker configured successfully\ntracker started\n" in done.stdout
    assert re.search(
        rf"a=\d+ r=0 w=0 AddrRanges\{{pid={sleeper.pid} ranges=[0-9a-f]+-[0-9a-f]+ \(\d+ B\)\}}", done.stdout
    )
    assert done.stdout.endswith("memtierd> quit: EOF\nquit.\n")


def test_commands_on_standard_input_with_a_configuration_alone(tmp_path: Path, config: Path, sleeper: Sleeper) -> None:
    lines = "time -sleep 1\npolicy -dump accessed 0,1m,0\nq\nnop\n"

    done = memtierd(tmp_path, "-config", str(config), lines=lines)

    assert done.returncode == 0, done.stderr
    assert "memtierd> policy -dump accessed 0,1m,0\ntable: time since last access\n" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == [str(sleeper.pid)]]
    assert len(rows) == 2
    assert sum(int(row[3]) for row in rows) * 4096 >= SIZE
    assert done.stdout.endswith("memtierd> q\nquit.\n"), "q ends it"


def test_the_order_is_c_then_f_then_standard_input(tmp_path: Path) -> None:
    (tmp_path / "commands").write_text("time -start b\n# a comment\n\ntime -start c")

    done = memtierd(
        tmp_path, "--c", "time -start a", "--f", str(tmp_path / "commands"), "-prompt", lines="time -start d"
    )

    assert re.findall(r'stopwatch "(\w)"', done.stdout) == ["a", "b", "c", "d"]
    assert done.returncode == 0


def test_echo(tmp_path: Path) -> None:
    done = memtierd(tmp_path, "-c", "time -start a", "-echo")

    assert done.stdout.startswith('time -start a\nstopwatch "a" started ')


@pytest.mark.parametrize(
    ("words", "lines", "status"),
    [
        (["-c", "nop"], None, 0),
        (["-c", "bad\nnop"], None, 1),
        (["-prompt"], "bad\nq\n", 1),
        (["-prompt"], "q\nbad\n", 0),
        (["-prompt", "-c", "q"], "bad\n", 0),
        (["-c", "log -f the end\nnop"], None, 1),
        (["-prompt", "-c", ""], "nop", 0),
        (["-c", "nop | no-such-program"], None, 1),
        (["-c", "nop | false"], None, 0),
    ],
)
def test_exit_statuses(tmp_path: Path, words: list[str], lines: str | None, status: int) -> None:
    assert memtierd(tmp_path, *words, lines=lines).returncode == status


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ([], 64, "nothing to do\nhint: give -prompt, -config FILE"),
        (["-confg", "x"], 64, 'unknown flag -confg\nhint: did you mean "config"?'),
        (["-config", "/no/such"], 1, "/no/such: No such file or directory"),
        (["-prompt", "-f", "/no/such"], 1, "/no/such: No such file or directory"),
        (["-prompt", "-l", "/no/such/log"], 1, "/no/such/log: No such file or directory"),
    ],
)
def test_what_cannot_be_started(tmp_path: Path, words: list[str], status: int, said: str) -> None:
    done = memtierd(tmp_path, *words)

    assert done.returncode == status
    assert said in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            AGE.replace("intervalms: 200\n    pid", "intervalmss: 200\n    pid"),
            ':4:5: /policy/config/intervalmss: unknown key "',
        ),
        ("policy: {name: age", "age.yaml:2:1: not valid YAML"),
        ("policy: {name: age, config: {interval: 1s}}", "whose memory?"),
    ],
)
def test_a_wrong_configuration_starts_nothing(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "age.yaml"
    path.write_text(text)

    done = memtierd(tmp_path, "-config", str(path), "-c", "nop")

    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""


def test_what_the_daemon_has_is_left_alone(node: Node, config: Path, sleeper: Sleeper) -> None:
    node.publish(report(workload()))
    serving = server.serve(str(node.run / "control.sock"), Answers(held=lambda: {sleeper.pid: ID}))
    lines = f"time -sleep 1.5\ntracker -counters\nswap -pid {sleeper.pid} -in"

    left = memtierd(node.run, "-config", str(config), "-prompt", lines=lines)
    forced = memtierd(node.run, "-config", str(config), "-prompt", "-force", lines=lines)
    serving.close()

    reason = "workload shop/cart-1/db of the daemon"
    assert f"WARN: policy: process {sleeper.pid} is left alone: {reason}" in left.stderr
    assert "no counter entries" in left.stdout
    assert f"swap: process {sleeper.pid} is left alone: {reason}" in left.stdout
    assert (left.returncode, forced.returncode) == (1, 0)
    assert f"AddrRanges{{pid={sleeper.pid}" in forced.stdout
    assert reason not in forced.stderr


def test_version(tmp_path: Path) -> None:
    assert memtierd(tmp_path, "--version").stdout.startswith("memtierd command line of ebbtide ")


def test_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"

    memtierd(tmp_path, "-debug", "-l", str(log), "-c", "log -d 'a 100% {}'\nlog -e oh dear\nlog -copy\ntime -start x")

    assert log.read_text().splitlines()[:2] == ["DEBUG: a 100% {}", "ERROR: oh dear"]
    assert log.read_text().splitlines()[2].startswith('INFO: stopwatch "x" started')


# -- the life of the process -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130), (signal.SIGHUP, 0)])
def test_a_signal_ends_it_in_an_orderly_way(tmp_path: Path, config: Path, number: int, status: int) -> None:
    words = children.command(tmp_path, "-config", str(config), "-c", "time -start begun")
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert "begun" in child.stdout.readline()
        assert child.poll() is None, "with a configuration it runs on"
        child.send_signal(number)

        assert child.wait(60) == status


def test_a_service_without_input_runs_on(tmp_path: Path, config: Path) -> None:
    log = tmp_path / "log"
    words = children.command(tmp_path, "-config", str(config), "-l", str(log), "-debug")
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as child:
        until(lambda: _comm(child.pid) == "memtierd" or child.poll() is not None, "it does not start")
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1)
        child.terminate()
        assert child.wait(60) == 0


def test_pidof_finds_the_launcher(tmp_path: Path) -> None:
    launcher = [sys.executable, str(ROOT / "packaging/launchers/memtierd"), "-prompt"]
    with subprocess.Popen(launcher, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.read(10) == "memtierd> "
        assert _comm(child.pid) == "memtierd"
        found = subprocess.run(["pidof", "memtierd"], capture_output=True, text=True, check=False)
        assert str(child.pid) in found.stdout.split()
        child.communicate("q\n")
        assert child.returncode == 0


def _comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path, sleeper: Sleeper) -> None:
    line = f"pages -pid {sleeper.pid} -pm 2000"
    shell = f"{sys.executable} -m reconciler memtierd --run-dir {tmp_path} -c '{line}' | head -n 1"

    done = subprocess.run(["sh", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.stdout == f"searching for address ranges of pid {sleeper.pid}\n"
    assert done.stderr == ""


# -- at a terminal ---------------------------------------------------------------------------------------------------


def test_a_terminal_has_line_editing_and_history(tmp_path: Path) -> None:
    import pty

    main, side = pty.openpty()
    words = ["setsid", "--ctty", *children.command(tmp_path, "-prompt")]
    environment = {**os.environ, "HOME": str(tmp_path), "TERM": "dumb"}
    environment.pop("XDG_STATE_HOME", None)
    with subprocess.Popen(words, cwd=ROOT, stdin=side, stdout=side, stderr=side, env=environment) as child:
        os.close(side)
        _read_until(main, "memtierd> ")
        os.write(main, b"time -stopp x\x7f\x7f\x7f x\n")
        shown = _read_until(main, "memtierd> ")
        os.write(main, b"\x04")
        _read_until(main, "quit.")
        assert child.wait(60) == 0, "what is mistyped at a terminal is no failure"
    os.close(main)

    assert 'stopwatch "x" is not started' in shown
    history = tmp_path / ".local/state/ebbtide/prompt.history"
    assert history.read_text().splitlines()[-1] == "time -stop x"
    assert history.stat().st_mode & 0o777 == 0o600


def _read_until(descriptor: int, wanted: str) -> str:
    found = ""
    while wanted not in found:
        try:
            piece = os.read(descriptor, 4096)
        except OSError:
            break
        found += piece.decode()
    assert wanted in found
    return found
