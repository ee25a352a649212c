"""The only module that starts child processes. No shell, no inherited descriptors, and no child that outlives us."""

import os
import selectors
import subprocess
import sys
import threading
import time
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


# -- errands: commands of an administrator ---------------------------------------------------------------------------

ERRAND_SECONDS = 60.0
ERRAND_OUTPUT = 256 * 1024  # bytes
_PATIENCE_S = 5.0  # for processes that were killed
_READ = 64 * 1024
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What came of a command."""

    status: int  # as a shell has it: 127 = there is no such program, 128 + number = killed by a signal
    output: str  # standard output and standard error as they came, the first part if there was much
    left_out: int = 0  # bytes of the output
    in_time: bool = True  # False: it was killed at its limit, or because nobody wants it any more


class Errand:
    """A command under way. One thread waits for it, any may kill it; nothing that it started outlives either of us."""

    def __init__(self, words: Sequence[str], feed: str = "") -> None:
        """Start it, with `feed` as its standard input; OSError if no process can be made."""
        theirs, self._lifeline = os.pipe()
        self._lock, self._held = threading.Lock(), True
        self._feed = feed.encode(errors="replace")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _KEEPER, str(theirs), *words],
                stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs,),
                cwd="/",
                env={key: value for key, value in os.environ.items() if key not in _OURS_ALONE},
                start_new_session=True,
            )
        except BaseException:
            self.kill()
            raise
        finally:
            os.close(theirs)

    def wait(self, limit: float = ERRAND_SECONDS, most: int = ERRAND_OUTPUT) -> Ended:
        """Until it has ended, or for `limit` seconds: then it is killed. At most `most` bytes of output are kept."""
        output = bytearray()
        with self._process:
            closed, size = self._pump(time.monotonic() + limit, output, most)
            in_time = closed and self._held
            self.kill()  # closes the lifeline in any case
            if not closed:
                size += self._pump(time.monotonic() + _PATIENCE_S, output, most)[1]
            status = self._status()
        text = output.decode(errors="replace")
        return Ended(status=status, output=text, left_out=size - len(output), in_time=in_time)

    def kill(self) -> None:
        """Let go of the lifeline: the keeper kills the command and all that it has started."""
        with self._lock:
            if self._held:
                self._held = False
                os.close(self._lifeline)

    def _status(self) -> int:
        try:
            return self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:  # a process hangs in the kernel, and the keeper waits for it
            self._process.kill()
            return self._process.wait()

    def _pump(self, deadline: float, output: bytearray, most: int) -> tuple[bool, int]:
        """Feed and read until the output is closed (True) or the time is over; how many bytes came."""
        size = 0
        with selectors.DefaultSelector() as selector:
            for pipe, event in (
                (self._process.stdout, selectors.EVENT_READ),
                (self._process.stdin, selectors.EVENT_WRITE),
            ):
                if pipe is not None and not pipe.closed:
                    os.set_blocking(pipe.fileno(), False)
                    selector.register(pipe, event)
            while (rest := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(rest):
                    if key.fileobj is self._process.stdin:
                        self._write(selector)
                        continue
                    data = os.read(key.fd, _READ)
                    if not data:
                        return True, size
                    size += len(data)
                    output += data[: max(most - len(output), 0)]
        return False, size

    def _write(self, selector: selectors.BaseSelector) -> None:
        pipe = self._process.stdin
        assert pipe is not None
        try:
            self._feed = self._feed[os.write(pipe.fileno(), self._feed[:_READ]) :]
        except BrokenPipeError:  # it does not want more
            self._feed = b""
        if not self._feed:
            selector.unregister(pipe)
            pipe.close()
