"""Commands as children: real ones, small, and killed when their time is over or nobody wants them any more."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from reconciler.errand import Errand
from tests.eventually import LONG, eventually


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("words", "status", "output"),
    [
        (("echo", "one", "two  three"), 0, "one two  three\n"),
        (("sh", "-c", "echo out; echo err >&2; exit 3"), 3, "out\nerr\n"),
        (("sh", "-c", "kill -TERM $$"), 128 + 15, ""),
        (("/nonexistent/program",), 127, "/nonexistent/program: No such file or directory\n"),
        (("printf", "%s", "$HOME; `id`"), 0, "$HOME; `id`"),
        (("printf", "\\377"), 0, "\ufffd"),
        (("pwd",), 0, "/\n"),
        (("cat",), 0, ""),
    ],
)
def test_what_comes_of_a_command(words: tuple[str, ...], status: int, output: str) -> None:
    ended = Errand(words).wait(LONG)

    assert (ended.status, ended.output, ended.left_out, ended.in_time) == (status, output, 0, True)


def test_it_can_be_fed_and_need_not_eat() -> None:
    lines = "".join(f"line {number}\n" for number in range(50_000))

    assert Errand(("wc", "-l"), lines).wait(LONG).output.split() == ["50000"]
    assert Errand(("sh", "-c", "read first; echo $first"), lines).wait(LONG).output == "line 0\n"


def test_output_is_bounded_and_the_rest_counted() -> None:
    ended = Errand(("head", "-c", "1000000", "/dev/zero")).wait(LONG, most=1000)

    assert (len(ended.output), ended.left_out, ended.status) == (1000, 999_000, 0)


def test_signals_of_pipes_are_as_in_a_shell() -> None:
    """Python ignores SIGPIPE; `yes` would complain instead of ending."""
    assert Errand(("sh", "-c", "yes | head -1")).wait(LONG).output == "y\n"


def test_who_takes_too_long_is_killed() -> None:
    ended = Errand(("sleep", "1000")).wait(0.05)

    assert (ended.in_time, ended.status) == (False, 128 + 9)


@pytest.mark.parametrize(
    "script",
    [
        "exec sleep 1000",
        "trap '' TERM HUP INT; while :; do sleep 1; done",
        "sleep 1000 & setsid sleep 1000 & wait",
        "setsid sh -c 'setsid sleep 1000 & setsid sleep 1000 & wait' & wait",
    ],
)
def test_who_is_killed_takes_along_all_that_it_started(script: str, tmp_path: Path) -> None:
    errand = Errand(("sh", "-c", f"cd {tmp_path}; touch ready; {script}"))
    assert eventually((tmp_path / "ready").exists)
    errand.kill()

    assert errand.wait(LONG).status == 128 + 9
    assert nobody_in(tmp_path)


def nobody_in(folder: Path) -> bool:
    """Whether no process has this as its working directory, and so none of that command's is left."""
    return not any(
        _where(pid) == str(folder) for pid in filter(str.isdigit, os.listdir("/proc")) if not has_ended(int(pid))
    )


def _where(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def test_what_a_command_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    """Also what has left its session, and holds its output."""
    ended = Errand(("sh", "-c", f"cd {tmp_path}; (setsid sleep 1000 &) ; sleep 1000 & echo done")).wait(LONG)

    assert (ended.in_time, ended.status, ended.output) == (True, 0, "done\n")
    assert nobody_in(tmp_path)


def test_anybody_may_kill_it() -> None:
    errand = Errand(("sleep", "1000"))
    threading.Thread(target=errand.kill).start()
    ended = errand.wait(LONG)
    errand.kill()

    assert (ended.in_time, ended.status) == (False, 128 + 9)


def test_nothing_outlives_us_however_we_die(tmp_path: Path) -> None:
    script = (
        f"cd {tmp_path}; setsid sleep 1000 & echo $$ > pid.new; mv pid.new pid; trap '' TERM; sleep 1000; sleep 1000"
    )
    code = f"from reconciler.errand import Errand; Errand(('sh', '-c', {script!r})).wait(1000)"
    with subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2]) as us:
        assert eventually((tmp_path / "pid").exists)
        us.kill()

    assert eventually(lambda: nobody_in(tmp_path))


def test_it_learns_nothing_of_the_service_manager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that could say READY=1 for us would confuse systemd."""
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/secret")
    monkeypatch.setenv("OTHER", "kept")
    shown = Errand(("env",)).wait(LONG).output

    assert "NOTIFY_SOCKET" not in shown
    assert "OTHER=kept" in shown


def test_no_descriptor_is_lost() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        Errand(("cat",), "text").wait(LONG)
        Errand(("sleep", "1000")).wait(0.01)

    assert len(os.listdir("/proc/self/fd")) == before
