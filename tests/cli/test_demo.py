"""`ebbtide demo`: its verdict as a table, and the whole of it where this machine allows that."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from reconciler import demo, records
from reconciler.cli import demo as verb
from reconciler.cli import main
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.render import Page
from reconciler.demo import MIB, Range, Sight
from sysfs import advise
from tests.cli.node import conforms, until

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
COLD = Range(role="file-cold", start=0, end=100 * MIB)
HOT = Range(role="write", start=200 * MIB, end=300 * MIB)
WARM = Range(role="file-hot", start=400 * MIB, end=500 * MIB)


def sight(*resident: int, taken: int = 0) -> Sight:
    return Sight(resident=tuple(each * MIB for each in resident), taken=taken * MIB)


@pytest.mark.parametrize(
    ("sights", "left", "stayed"),
    [
        ([sight(0, 100, 100)], True, True),
        ([sight(100, 100, 100), sight(10, 100, 100)], True, True),
        ([sight(100, 100, 100), sight(11, 100, 100)], False, True),
        ([sight(0, 100, 100), sight(100, 100, 100)], False, True),  # it left and came back
        ([sight(0, 98, 98)], True, True),
        ([sight(0, 98, 97)], True, False),
        ([sight(0, 50, 100), sight(0, 100, 100)], True, False),  # taken for a moment
        ([sight(0, 97, 100), sight(0, 100, 97)], True, False),  # a little here, a little there
        ([sight(0, 100, 100, taken=4)], True, True),
        ([sight(0, 100, 100, taken=5)], True, False),  # taken and back between two looks
    ],
)
def test_the_verdict(sights: list[Sight], left: bool, stayed: bool) -> None:
    verdict = demo.judge([COLD, HOT, WARM], sights)

    assert (verdict.left, verdict.stayed) == (left, stayed)


def test_the_verdict_in_words() -> None:
    words = "\n".join(verb.summary(demo.judge([COLD, HOT], [sight(25, 100)]), None, Page()))

    assert "BAD   cold memory: 75M of 100M left memory, 25M was missed" in words
    assert "good  hot memory:  0B of 100M was taken wrongly" in words


@pytest.mark.parametrize(
    ("mounts", "found"),
    [
        ("/dev/a / ext4 rw 0 0", "first"),
        ("/dev/a / ext4 rw 0 0\ntmpfs {}/first tmpfs rw 0 0", "second"),
        ("tmpfs / tmpfs rw 0 0\n/dev/b {}/second xfs rw 0 0", "second"),
        ("/dev/a / ext4 rw 0 0\ntmpfs {} tmpfs rw 0 0\n/dev/b {}/second xfs rw 0 0", "second"),
    ],
)
def test_files_go_to_a_disk(tmp_path: Path, mounts: str, found: str) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    folders = [str(tmp_path / "missing"), str(tmp_path / "first"), str(tmp_path / "second")]

    assert demo.disk_folder(folders, mounts.format(tmp_path, tmp_path)) == tmp_path / found


@pytest.mark.parametrize(
    ("wish", "mounts", "why"),
    [
        ("nosuch", "", "nosuch does not exist"),
        ("file", "", "file is no folder"),
        ("", "tmpfs / tmpfs rw 0 0", "is in memory (tmpfs), where pages cannot leave to"),
        ("", "/dev/a / ext4 rw 0 0\nramfs {} ramfs rw 0 0", "is in memory (ramfs), where pages cannot leave to"),
    ],
)
def test_why_a_folder_will_not_do(tmp_path: Path, wish: str, mounts: str, why: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LookupError, match=rf"{re.escape(why)}$"):
        demo.disk_folder([str(tmp_path / wish)], mounts.format(tmp_path))


def test_a_folder_that_may_not_be_written_to() -> None:
    """A process's is one for root, too."""
    with pytest.raises(LookupError, match="/proc/1 may not be written to"):
        demo.disk_folder(["/proc/1"], "")


def test_all_that_is_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"/a does not exist; .*/b does not exist$"):
        demo.disk_folder([str(tmp_path / "a"), str(tmp_path / "b")], "")


@needs_root
@pytest.mark.parametrize(
    "words", [["--seconds", "0"], ["--seconds", "-1"], ["--seconds", "nan"], ["--folder", "/nosuch"]]
)
def test_wrong_usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["demo", *words], {}) == Exit.USAGE
    assert words[-1] in capsys.readouterr().err


def test_not_root() -> None:
    with pytest.raises(Failure, match="needs root") as failure:
        verb.require_root(1000)

    assert failure.value.code is Exit.PRIVILEGE


needs_clear_refs = pytest.mark.skipif(
    not os.path.exists("/proc/self/clear_refs"), reason="this kernel has no CONFIG_PROC_PAGE_MONITOR"
)


@needs_root
@needs_clear_refs
def test_the_whole_demo() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "demo"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "good  cold memory" in done.stdout
    assert "good  hot memory" in done.stdout
    folder = re.search(r"Everything is in (\S+) ", done.stdout)
    assert folder
    assert not os.path.exists(folder[1])


@needs_root
@needs_clear_refs
def test_a_hot_file_that_is_taken_once_is_seen() -> None:
    command = [sys.executable, "-u", "-m", "reconciler", "demo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        told = "".join(iter(running.stdout.readline, "\n"))
        page_out(int(told.split("(pid ")[1].split(")")[0]), "/hot")
        words = running.stdout.read()

    assert running.returncode == 1, words
    assert "good  cold memory" in words
    # The exerciser goes on meanwhile: on a loaded machine some of it is back before its tally sees it missing.
    taken = re.search(r"BAD   hot memory: +([\d.]+)[KM] of 64M was taken wrongly", words)
    assert taken, words
    assert float(taken[1]) > 0


def page_out(pid: int, file: str) -> None:
    """As a policy would that takes a hot mapping for a cold one."""
    (line,) = [each for each in Path(f"/proc/{pid}/maps").read_text().splitlines() if each.endswith(file)]
    start, end = (np.array([int(each, 16)], np.uint64) for each in line.split()[0].split("-"))
    with advise.Target(pid) as target:
        assert target.page_out(start, end) == int(end[0] - start[0])


@needs_root
@needs_clear_refs
def test_ended_early_it_leaves_nothing_behind() -> None:
    command = [sys.executable, "-u", "-m", "reconciler", "demo"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        told = "".join(iter(running.stdout.readline, "\n"))
        running.terminate()
        running.stdout.read()

    pid, folder = re.search(r"pid (\d+)", told), re.search(r"Everything is in (\S+) ", told)
    assert pid
    assert folder
    assert not os.path.exists(f"/proc/{pid[1]}")
    assert not os.path.exists(folder[1])
    assert running.returncode == 130


@needs_root
@needs_clear_refs
def test_for_programs() -> None:
    command = [sys.executable, "-m", "reconciler", "demo", "-o", "json", "--seconds", "0.1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)

    conforms("demo", document)
    assert (done.returncode, document["complete"]) == (1, True)
    assert (document["cold"]["good"], document["hot"]["good"]) == (False, True)


@pytest.mark.parametrize(("raised", "after"), [(False, signal.default_int_handler), (True, signal.SIG_IGN)])
def test_the_first_signal_is_the_last_one(raised: bool, after: object) -> None:
    before = {number: signal.getsignal(number) for number in verb.ENDING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with contextlib.suppress(KeyboardInterrupt), verb.one_signal():
            if raised:
                signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGINT) is after
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_it_knows_this_machine_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["demo", "--root", str(tmp_path)], {}) == Exit.USAGE
    assert "--root" in capsys.readouterr().err


@needs_root
@needs_clear_refs
def test_impatient_people_leave_nothing_behind() -> None:
    """Ctrl-C again and again, while it undoes everything, and before it has begun in earnest."""
    where = demo.disk_folder([*demo.usual_folders()], Path("/proc/self/mounts").read_text())
    folder = Path(tempfile.mkdtemp(dir=where))
    command = [sys.executable, "-u", "-m", "reconciler", "demo", "--folder", str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as running:
        until(lambda: any(folder.iterdir()), "it does not start")
        while running.poll() is None:
            for number in verb.ENDING:
                running.send_signal(number)
    left = list(folder.iterdir())
    shutil.rmtree(folder)

    assert (left, running.returncode) == ([], 130)


@pytest.mark.parametrize("swapping", [False, True])
def test_its_class_file_and_record_are_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], swapping: bool
) -> None:
    demo.write_configuration(tmp_path, 42, swapping=swapping)

    code = main.main(["check", str(tmp_path / "conf.d/demo.yaml")], {})
    workloads, problems = records.read_all(str(tmp_path / "state"), "any boot")

    assert (code, problems) == (0, ()), capsys.readouterr().out
    assert [(each.pids, each.class_name) for each in workloads] == [((42,), demo.CLASS)]
