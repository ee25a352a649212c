"""The only module that starts child processes. No inherited descriptors, no child that outlives us.

A shell is started for one thing only: what a person has typed behind a pipe at a prompt, with that person's rights.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Asks for SIGTERM when the parent dies, however it dies (PR_SET_PDEATHSIG outlives exec), then becomes the program.
# Code between fork and exec would do the same, but is not safe in a process with threads (gRPC has some).
_LEASH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent has ended")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


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


def shell(command: str, text: str) -> int:
    """Run a person's shell command with `text` as its input, on our terminal; gives its exit status."""
    sys.stdout.flush()
    done = subprocess.run(["sh", "-c", command], input=text, text=True, errors="replace", check=False)  # noqa: S607  sh
    return done.returncode


def python(arguments: Sequence[str], log: Path) -> Child:
    """Start this Python with these arguments and with this very source on its path; it ends when we do."""
    source = str(Path(__file__).parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", _LEASH, str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours; we pass it on in an orderly way
        )
    return Child(process=process, log=log)
