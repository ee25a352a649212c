"""The only module that starts child processes. No shell, no inherited descriptors, and no child that outlives us."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A running child; its standard error goes to `log`, its standard output is a pipe."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def output(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self.process.poll()

    def last_words(self, lines: int = 5) -> str:
        """The end of its log, for the message about its death."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def end(self, patience: float = 10.0) -> int:
        """SIGTERM, then SIGKILL; gives its exit status."""
        self.process.terminate()
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            self.output.close()


def python(arguments: Sequence[str], log: Path) -> Child:
    """Start this Python with these arguments and with this very source on its path."""
    source = str(Path(__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return start([sys.executable, *arguments], log, {**os.environ, "PYTHONPATH": os.pathsep.join(paths)})


def start(command: Sequence[str], log: Path, environment: dict[str, str]) -> Child:
    """Start a child that is told to end (SIGTERM) when we die, however we die."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours; we pass it on in an orderly way
            preexec_fn=_end_with(os.getpid()),  # noqa: PLW1509  one system call, no lock, no allocation worth the name
        )
    return Child(process=process, log=log)


def _end_with(parent: int) -> Callable[[], None]:
    def ask() -> None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask
            os._exit(1)

    return ask
