"""Child processes: they say what went wrong, and they never outlive us."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from reconciler import children
from tests.eventually import eventually

FOREVER = "print('here', flush=True); import time; time.sleep(600)"


def test_a_child_is_ended(tmp_path: Path) -> None:
    child = children.python(["-c", FOREVER], tmp_path / "log")
    assert child.output.readline() == "here\n"
    assert child.ended() is None

    assert child.end() == -signal.SIGTERM


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = children.python(["-c", f"import signal; signal.signal(15, signal.SIG_IGN); {FOREVER}"], tmp_path / "log")
    child.output.readline()

    assert child.end(patience=0.2) == -signal.SIGKILL


def test_its_last_words_are_kept(tmp_path: Path) -> None:
    child = children.python(["-c", "raise SystemExit('why it died')"], tmp_path / "log")
    child.output.read()
    child.process.wait()

    assert (child.end(), child.last_words()) == (1, "why it died")


def test_it_sees_our_source(tmp_path: Path) -> None:
    child = children.python(["-c", "import reconciler; print(reconciler.__file__)"], tmp_path / "log")
    where = child.output.read().strip()
    child.end()

    assert Path(where).parent == Path(children.__file__).parent


def test_it_ends_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib, time; from reconciler import children;"
        f"child = children.python(['-c', {FOREVER!r}], pathlib.Path({str(tmp_path / 'log')!r}));"
        "child.output.readline(); print(child.pid, flush=True); time.sleep(600)"
    )

    assert _ends(_said_before_it_was_killed(script))


def test_what_a_program_that_answers_has_started_ends_with_us_even_when_we_are_killed() -> None:
    """Also one that has left its group, and listens to nobody."""
    stubborn = "trap '' TERM HUP INT; echo $$; while :; do sleep 1; done"
    script = (
        "import sys, time; from reconciler import children; said = bytearray();"
        f"child = children.answering(['sh', '-c', 'read line; setsid sh -c \"$0\" & wait', {stubborn!r}]);"
        "take = lambda data: said.extend(data) or said.endswith(b'\\n');"
        "child.ask(b'go\\n', take, lambda: 60.0); print(said.decode(), end='', flush=True); time.sleep(600)"
    )

    assert _ends(_said_before_it_was_killed(script))


def test_a_program_that_answers_may_end_in_an_orderly_way(tmp_path: Path) -> None:
    script = f"trap 'echo ended > {tmp_path}/how; exit' TERM; echo ready; while :; do sleep 0.01; done"
    child = children.answering(["sh", "-c", script])
    child.ask(b"", lambda data: data.endswith(b"\n"), lambda: 60.0)
    child.end(patience=60.0)

    assert (tmp_path / "how").read_text() == "ended\n"


def test_orphans_of_a_program_that_answers_leave_no_zombies() -> None:
    orphans = "for i in 1 2 3; do (sleep 0.01 &); done; echo; read line"
    child = children.answering(["sh", "-c", orphans])
    child.ask(b"", lambda data: data.endswith(b"\n"), lambda: 60.0)
    keeper = child.process.pid
    listed = Path(f"/proc/{keeper}/task/{keeper}/children")

    assert eventually(lambda: len(listed.read_text().split()) == 1)
    assert not child.ended()
    child.kill()


def _said_before_it_was_killed(script: str) -> int:
    root = Path(children.__file__).parents[1]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        said = int(parent.stdout.readline())
        parent.kill()
    return said


def _ends(pid: int) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
    return False
