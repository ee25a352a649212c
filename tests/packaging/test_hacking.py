"""HACKING.md: its debugger sessions, typed as they stand there, and looking into running processes."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reconciler import children
from tests.cli import kernel_tree
from tests.cli.node import until

ROOT = Path(__file__).parents[2]
SESSIONS = re.findall(
    r"^    \.venv/bin/python (-m pdb .+)\n((?:    \(Pdb\) .+\n)+)", (ROOT / "HACKING.md").read_text(), re.MULTILINE
)


def test_there_is_one_for_each_process() -> None:
    assert [re.findall("daemon|nri", command)[0] for command, _ in SESSIONS] == ["daemon", "nri"]


@pytest.mark.parametrize(("command", "typed"), SESSIONS, ids=["daemon", "nri"])
def test_a_debugger_session(tmp_path: Path, command: str, typed: str) -> None:
    """On a node of plain files. The daemon stops where it was told to; the plugin gets as far as a missing runtime."""
    reached = "plan.py(" if "daemon" in command else "event=disconnected"
    words = shlex.split(command.replace("/tmp/", f"{tmp_path}/"))
    words += ["--root", str(kernel_tree.make(tmp_path / "node"))]
    words += ["--socket", str(tmp_path / "nobody")] if "nri" in command else []
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            [sys.executable, "-u", *words], stdin=subprocess.PIPE, stdout=output, stderr=output, text=True, cwd=ROOT
        ) as running,
    ):
        assert running.stdin
        running.stdin.write(typed.replace("    (Pdb) ", ""))
        running.stdin.flush()
        until(lambda: reached in log.read_text() or running.poll() is not None, "it gets nowhere")
        running.kill()

    assert "Breakpoint 1 at" in log.read_text()
    assert reached in log.read_text()
    assert "***" not in log.read_text()


def test_the_examples_folder_is_one_of_class_files(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "reconciler", "check", "--config-dir", "etc/examples", "--state-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("verb", "ready"),
    [
        ("daemon", lambda folder: (folder / "run/status.json").exists()),
        ("nri", lambda folder: "event=disconnected" in (folder / "log").read_text()),
    ],
)
def test_a_running_process_shows_its_stacks_and_goes_on(
    tmp_path: Path, verb: str, ready: Callable[[Path], bool]
) -> None:
    places = [f"--state-dir={tmp_path}/state", f"--run-dir={tmp_path}/run", f"--config-dir={tmp_path}/none"]
    own = [f"--socket={tmp_path}/nobody"] if verb == "nri" else []
    root = kernel_tree.make(tmp_path / "node")
    child = children.python(["-m", "reconciler", verb, f"--root={root}", *places, *own], tmp_path / "log")
    try:
        until(lambda: ready(tmp_path), "it does not start")
        for number in range(2):
            os.kill(child.pid, signal.SIGUSR1)
            shown = number + 1
            until(lambda: (tmp_path / "log").read_text().count("Current thread 0x") >= shown, "no stacks")  # noqa: B023
        assert child.ended() is None
    finally:
        child.end()
