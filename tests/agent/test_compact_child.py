"""The real child: it writes by itself, it can be killed inside the write, and it never outlives us."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from reconciler import children
from reconciler.agent.alarm import Alarm
from reconciler.agent.compact import Compact
from reconciler.agent.compact_run import Doors
from reconciler.agentconfig import AgentTask, CompactConfig
from tests.agent.fake_memory import PAGE, FakeNode
from tests.eventually import eventually

ROOT = Path(children.__file__).parents[1]


def ended(child: children.Writing) -> int:
    child.process.wait()
    status = child.ended()
    assert status is not None
    return status


def test_it_writes_in_one_go(tmp_path: Path) -> None:
    file = tmp_path / "compact"
    file.write_text("0\n")

    assert ended(children.writing(str(file), "1")) == 0
    assert file.read_text() == "1\n"


@pytest.mark.parametrize(("name", "error"), [("missing", 2), (".", 21), ("x" * 300, 36)])
def test_it_brings_the_kernels_refusal(tmp_path: Path, name: str, error: int) -> None:
    assert ended(children.writing(str(tmp_path / name), "1")) == error
    assert not (tmp_path / "missing").exists()


def test_a_killed_one_is_no_success(tmp_path: Path) -> None:
    """It blocks in the kernel: nobody reads the other end."""
    os.mkfifo(tmp_path / "fifo")
    child = children.writing(str(tmp_path / "fifo"), "1")
    assert child.ended() is None

    child.kill()
    assert ended(child) == -signal.SIGKILL


def blocked_in(path: Path) -> list[int]:
    """Processes that were told to write there."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(path).encode() in words and b"-I" in words:
            found.append(int(folder.name))
    return found


def test_it_ends_with_us_even_when_we_are_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = f"from reconciler import children; children.writing({str(fifo)!r}, '1'); print(flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout
        parent.stdout.readline()
        assert eventually(lambda: bool(blocked_in(fifo)))
        parent.kill()

    assert eventually(lambda: not blocked_in(fifo))


@pytest.fixture
def node(tmp_path: Path) -> FakeNode:
    """Its memory is fragmented, and writing to compact_memory lasts for ever."""
    made = FakeNode(root=tmp_path)
    made.write()
    (tmp_path / "proc/sys/vm/compact_memory").unlink()
    os.mkfifo(tmp_path / "proc/sys/vm/compact_memory")
    return made


def asked(**values: float) -> AgentTask:
    return AgentTask(compact=CompactConfig(period_secs=3600, **values))  # type: ignore[arg-type]  # seconds only


@pytest.mark.parametrize("by", ["end", "change", "time"])
def test_a_compaction_for_real_is_stopped_for_real(node: FakeNode, by: str) -> None:
    """Its own clock, bell and child; only the tree is ours. The alarm is left out: it would write to fake files."""
    part = Compact(Doors(tree=node.tree, clock=time.monotonic, alarm=lambda *_: Alarm()), PAGE)
    file = node.root / "proc/sys/vm/compact_memory"
    part.change(asked())
    due = part.run(time.monotonic())
    thread = Thread(target=part.run, args=(due,), daemon=True)
    thread.start()
    assert eventually(lambda: bool(blocked_in(file)))

    match by:
        case "end":
            part.stop()
        case "change":
            part.change(AgentTask())
        case _:
            part.change(asked(compact_sec_max=0))
    thread.join(60)
    assert not thread.is_alive()
    assert part.report().stopped == {by: 1}
    assert blocked_in(file) == []
