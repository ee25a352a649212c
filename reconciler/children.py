"""The only module that starts child processes. No shell, no inherited descriptors, and no child that outlives us."""

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


# -- commands of an administrator, kept (reconciler/errand.py) ---------------------------------------------------------

_OURS_ALONE = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}

# Stands between us and the command: when the command ends, or when we do (then our end of the lifeline closes, however
# we die), it kills all that the command has left, and what had left its process group has become its own child
# (PR_SET_CHILD_SUBREAPER, 36). PR_SET_PDEATHSIG (1) ends the command if the keeper itself is killed.
_KEEPER = """
import ctypes, os, select, signal, sys, time
lifeline, command, libc = int(sys.argv[1]), sys.argv[2:], ctypes.CDLL(None)
os.set_inheritable(lifeline, False)
libc.prctl(36, 1, 0, 0, 0)
child = os.fork()
if child == 0:
    os.setsid()
    libc.prctl(1, 9, 0, 0, 0)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and the ignoring would be inherited
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\\n".encode(errors="replace"))
        os._exit(127)
os.close(0)
ended = os.pidfd_open(child)
status = 128 + 9
if ended in select.select([ended, lifeline], [], [])[0]:
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = code if code >= 0 else 128 - code

def rest():
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(pid) for pid in file.read().split()]
    except OSError:
        return []

while True:
    for pid in (-child, *rest()):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        break
    time.sleep(0.01)
os._exit(status)
"""


def kept(words: Sequence[str], lifeline: int, *, fed: bool) -> subprocess.Popen[bytes]:
    """Start a command below a keeper, which has the reading end of `lifeline`; standard error goes to the output."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _KEEPER, str(lifeline), *words],
        stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lifeline,),
        cwd="/",
        env={key: value for key, value in os.environ.items() if key not in _OURS_ALONE},
        start_new_session=True,
    )


def end_of(keeper: subprocess.Popen[bytes], patience: float) -> int:
    """Its exit status; after `patience` seconds it is killed."""
    try:
        return keeper.wait(patience)
    except subprocess.TimeoutExpired:  # a process hangs in the kernel, and the keeper waits for it
        keeper.kill()
        return keeper.wait()
