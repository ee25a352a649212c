"""`ebbtide memtierd` and a process whose memory it looks at, both real."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_SLEEPER = """
import ctypes, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
at = libc.mmap(None, {size}, 3, 0x22, -1, 0)
libc.madvise(ctypes.c_void_p(at), {size}, 15)
ctypes.memset(at, 1, {size})
print(f"{{at:x}}", flush=True)
sys.stdin.read()
"""
SIZE = 8 << 20


@dataclass(frozen=True)
class Sleeper:
    pid: int
    start: int  # of memory that it has written once

    @property
    def range(self) -> str:
        return f"{self.start:x}+{SIZE}"


@contextmanager
def sleeper() -> Iterator[Sleeper]:
    """A process with 8 MiB of its own in one mapping, without huge pages."""
    child = subprocess.Popen(
        [sys.executable, "-c", _SLEEPER.format(size=SIZE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        yield Sleeper(child.pid, int(child.stdout.readline(), 16))
        child.stdin.close()


def command(run_dir: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "reconciler", "memtierd", "--run-dir", str(run_dir), *words]


def memtierd(run_dir: Path, *words: str, lines: str | None = None) -> subprocess.CompletedProcess[str]:
    """To its end; `lines` on its standard input, by default it has none."""
    channel = subprocess.DEVNULL if lines is None else subprocess.PIPE
    environment = {**os.environ, "HOME": str(run_dir)}
    with subprocess.Popen(
        command(run_dir, *words),
        stdin=channel,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as child:
        out, err = child.communicate(lines, timeout=120)
    return subprocess.CompletedProcess(words, child.returncode, out, err)
