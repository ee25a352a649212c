"""`ebbtide exercise` and its launcher as people start them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import versions
from reconciler.cli import main
from tests.cli.node import conforms, until

ROOT = Path(__file__).parents[2]
LAUNCHER = ROOT / "packaging/launchers/meme"
EBBTIDE = [sys.executable, "-m", "reconciler", "exercise"]


def exercise(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([*EBBTIDE, *words], cwd=ROOT, input=given, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("dashes", ["-", "--"])
def test_flags_have_one_dash_or_two(dashes: str) -> None:
    flags = {"bs": "1M", "brsd": "-4k", "bcd": "-6/2m,1/20s", "move-every": "1s", "ttl": "1ms"}
    done = exercise(*(word for name, value in flags.items() for word in (dashes + name, value)))

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^    array: [0-9a-f]+-[0-9a-f]+ \(1048576 bytes\)$", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-bs", "1X"], "-bs: '1X' is not a size; write for example 4096, 50M, 2MiB or 1.5G"),
        (["--ttl", "5"], "-ttl: '5' has no unit; write for example 5s"),
        (["-bsx", "1M"], "unrecognized arguments: -bsx 1M"),
        (["-scenario", "chaos"], "argument -scenario/--scenario: invalid choice: 'chaos'"),
        (["-bs"], "argument -bs/--bs: expected one argument"),
        (["--root", "/tmp"], "it uses this machine's memory, and knows no --root"),
    ],
)
def test_wrong_usage(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["exercise", *words], {}) == 64
    captured = capsys.readouterr()
    assert why in captured.err
    assert captured.out == ""


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-bs", "4000P"], "1 x 4503599627370496000 bytes"),
        (["-bs", "1M", "-file", "/nowhere/x"], "/nowhere/x.0: No such file or directory"),
        (["-bs", "1M", "-truth", "/nowhere/x"], "/nowhere/x: No such file or directory"),
    ],
)
def test_what_cannot_be_had_is_said(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["exercise", "-ttl", "1ms", *words], {}) == 1
    assert why in capsys.readouterr().err


@pytest.mark.parametrize("given", ["\n", "no line", ""])
def test_enter_or_the_end_of_input_ends_it(given: str) -> None:
    done = exercise("-bs", "1M", "-bri", "1ms", "-bwi", "1ms", given=given)

    assert done.returncode == 0
    assert "press enter to exit..." in done.stdout


def test_json_is_the_truth_and_nothing_else(tmp_path: Path) -> None:
    done = exercise("-bs", "1M", "-ttl", "300ms", "-interval", "100ms", "-truth", f"{tmp_path}/t", "-o", "json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]

    for line in lines:
        conforms("exercise", line)
    assert (tmp_path / "t").read_text() == done.stdout
    assert len(lines) >= 2
    assert {kind for line in lines[1:] for *_, kind in line["ranges"]} == {"read", "write"}


def test_children_write_the_same_file_and_end_by_themselves(tmp_path: Path) -> None:
    more = ["-children", "2", "-children-do", "exercise", "-child-ttl", "200ms", "-interval", "100ms", "-ttl", "1s"]
    done = exercise("-scenario", "static", "-bs", "1M", "-bws", "64k", "-truth", f"{tmp_path}/t", *more)
    told = re.search(r"^children: (\d+) (\d+)$", done.stdout, re.MULTILINE)
    lines = [json.loads(line) for line in (tmp_path / "t").read_text().splitlines()]

    assert told
    assert {int(pid) for pid in told.groups()} < {line["pid"] for line in lines}
    assert done.stderr == ""
    ends = {line["pid"]: line["end"] for line in lines}
    assert max(ends[int(pid)] for pid in told.groups()) < max(ends.values())


def test_sigterm_is_an_orderly_end(tmp_path: Path) -> None:
    words = ["-bs", "1M", "-file", f"{tmp_path}/mapped", "-truth", f"{tmp_path}/truth", "-ttl", "1h"]
    with subprocess.Popen([*EBBTIDE, *words], cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        until(lambda: (tmp_path / "truth").exists() and (tmp_path / "truth").stat().st_size > 0, "it has begun")
        process.send_signal(signal.SIGTERM)

        assert process.wait(60) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["truth"]


# -- the launcher ----------------------------------------------------------------------------------------------------


@pytest.fixture
def meme() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(LAUNCHER), "-bs", "1M", "-bri", "10ms", "-bwi", "10ms"]
    with subprocess.Popen(
        command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "memory exerciser\n"
        assert process.stdout.readline() == f"pid: {process.pid}\n"
        yield process
        process.kill()


@pytest.mark.skipif(not shutil.which("pidof"), reason="pidof is not here")
def test_pidof_finds_meme(meme: subprocess.Popen[str]) -> None:
    found = subprocess.run(["pidof", "meme"], capture_output=True, text=True, check=False)

    assert str(meme.pid) in found.stdout.split()


def test_meme_is_its_name_everywhere(meme: subprocess.Popen[str]) -> None:
    assert Path(f"/proc/{meme.pid}/comm").read_text() == "meme\n"
    words = Path(f"/proc/{meme.pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
    assert words == b"meme -bs 1M -bri 10ms -bwi 10ms".split()

    out, _ = meme.communicate("\n", timeout=60)

    assert meme.returncode == 0
    assert "press enter to exit...\n" in out


def test_meme_says_what_ebbtide_exercise_says() -> None:
    command = [sys.executable, str(LAUNCHER)]
    wrong = subprocess.run([*command, "-bs", "x"], capture_output=True, text=True, check=False)
    version = subprocess.run([*command, "-version"], capture_output=True, text=True, check=False)

    assert (wrong.returncode, wrong.stdout) == (64, "")
    assert version.stdout == f"ebbtide {versions.version()}\n"
    assert LAUNCHER.stat().st_mode & 0o111
