"""The only module that starts child processes. No inherited descriptors, no child that outlives us.

A shell is started for one thing only: what a person has typed behind a pipe at a prompt, with that person's rights.
"""

import errno
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

# Asks for SIGTERM when the parent dies, however it dies (PR_SET_PDEATHSIG outlives exec), then becomes the program.
# Code between fork and exec would do the same, but is not safe in a process with threads (gRPC has some).
# Python ignores two signals, and what is ignored stays ignored over exec: the program gets them back.
_LEASH = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, 15, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent has ended")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execv(sys.argv[2], sys.argv[2:])
"""
_CHUNK = 1 << 16


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
            [sys.executable, "-c", _LEASH, str(os.getpid()), sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is ours; we pass it on in an orderly way
        )
    return Child(process=process, log=log)


# -- programs of an administrator, kept (reconciler/errand.py, forecasters) --------------------------------------------

_OURS_ALONE = {"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"}

# Stands between us and the command: when the command ends, or when we do (then our end of the lifeline closes, however
# we die), it kills all that the command has left, and what had left its process group has become its own child
# (PR_SET_CHILD_SUBREAPER, 36). PR_SET_PDEATHSIG (1) ends the command if the keeper itself is killed. SIGTERM is passed
# on to the command's group; the pipes are the command's alone, or nobody would see when it closes them.
_KEEPER = """
import ctypes, os, select, signal, sys, time
lifeline, command, libc = int(sys.argv[1]), sys.argv[2:], ctypes.CDLL(None)
os.set_inheritable(lifeline, False)
libc.prctl(36, 1, 0, 0, 0)
child = os.fork()
if child == 0:
    os.setsid()
    libc.prctl(1, 9, 0, 0, 0)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and the ignoring would be inherited
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\\n".encode(errors="replace"))
        os._exit(127)

def pass_on(number, frame):
    try:
        os.killpg(child, number)
    except OSError:  # it has not its own group yet, or nobody is left
        pass

def reap(number, frame):
    try:
        while (found := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and found.si_pid != child:
            os.waitpid(found.si_pid, 0)
    except ChildProcessError:
        pass

signal.signal(signal.SIGTERM, pass_on)
signal.signal(signal.SIGCHLD, reap)
os.close(0)
os.close(1)
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
_KEEPING = (sys.executable, "-I", "-S", "-c", _KEEPER)
_PATIENCE_S = 5.0  # for processes that were killed


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in _OURS_ALONE}


def kept(words: Sequence[str], lifeline: int, more: Mapping[str, str], *, fed: bool) -> subprocess.Popen[bytes]:
    """Start a command below a keeper, which has the reading end of `lifeline`; standard error goes to the output.

    `more` is added to its environment.
    """
    return subprocess.Popen(
        [*_KEEPING, str(lifeline), *words],
        stdin=subprocess.PIPE if fed else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=(lifeline,),
        cwd="/",
        env={**_environment(), **more},
        start_new_session=True,
    )


def end_of(keeper: subprocess.Popen[bytes], patience: float) -> int:
    """Its exit status; after `patience` seconds it is killed."""
    try:
        return keeper.wait(patience)
    except subprocess.TimeoutExpired:  # a process hangs in the kernel, and the keeper waits for it
        keeper.kill()
        return keeper.wait()


class Ended(Exception):
    """The child has ended, or will not listen or speak any more."""


class Silent(Exception):
    """The child has not answered in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """A running child that is asked on its standard input and answers on its standard output.

    `process` is its keeper, which ends when the child does. `end` or `kill` must be called, once.
    """

    process: subprocess.Popen[bytes]
    lifeline: int

    def ended(self) -> bool:
        """Whether it has exited, and what it has started with it. It is reaped by `kill`."""
        if self.process.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def unasked(self) -> bytes:
        """What it has said since the last answer (at most one chunk of it); Ended if it says nothing any more."""
        try:
            return self._read()
        except BlockingIOError:
            return b""

    def ask(self, question: bytes, take: Callable[[bytes], bool], left: Callable[[], float]) -> None:
        """Send the question, and give `take` what comes back until it says that this was all; `left`: seconds.

        Both at once: a child may answer before it has read everything, and pipes hold only so much.
        """
        unsent, answered = memoryview(question), False
        with selectors.DefaultSelector() as ready:
            ready.register(self._from, selectors.EVENT_READ)
            ready.register(self._to, selectors.EVENT_WRITE)
            while unsent or not answered:
                if (wait := left()) <= 0:
                    raise Silent
                for key, _ in ready.select(wait):
                    if key.fileobj is self._from:
                        answered = take(self._read())
                    else:
                        unsent = unsent[self._write(unsent) :]
                if not unsent and self._to in ready.get_map():
                    ready.unregister(self._to)

    def end(self, patience: float = 1.0) -> None:
        """End of input and SIGTERM, then SIGKILL, to it and to what it has started."""
        self._to.close()
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(patience)
        self.kill()

    def kill(self) -> None:
        os.close(self.lifeline)
        end_of(self.process, _PATIENCE_S)
        self._to.close()
        self._from.close()

    def _read(self) -> bytes:
        if data := os.read(self._from.fileno(), _CHUNK):
            return data
        raise Ended

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._to.fileno(), data)
        except BlockingIOError:
            return 0
        except BrokenPipeError:
            raise Ended from None

    @property
    def _to(self) -> IO[bytes]:
        assert self.process.stdin is not None
        return self.process.stdin

    @property
    def _from(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout


def answering(command: Sequence[str], errors: int = subprocess.DEVNULL) -> Answering:
    """Start a program that is asked and answers; `errors`: a descriptor for its standard error. It ends when we do."""
    name = command[0] if command else ""
    program = shutil.which(name)
    if program is None:
        raise FileNotFoundError(errno.ENOENT, "there is no such program, or it may not be run", name)
    theirs, ours = os.pipe()
    try:
        process = subprocess.Popen(
            [*_KEEPING, str(theirs), os.path.abspath(program), *command[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            pass_fds=(theirs,),
            env=_environment(),
            start_new_session=True,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    child = Answering(process=process, lifeline=ours)
    for pipe in (process.stdin, process.stdout):
        assert pipe is not None
        os.set_blocking(pipe.fileno(), False)
    return child


# -- one write that may take minutes inside the kernel (reconciler/agent/compact_run.py) -------------------------------

# SIGKILL is what ends such a write, also when we are gone: what another signal would do depends on its handlers.
_WRITER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9, 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the parent has ended")
try:
    os.write(os.open(sys.argv[2], os.O_WRONLY), sys.argv[3].encode())
except OSError as error:
    sys.exit(64 + error.errno)
"""
_REFUSED = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """A child that is itself the writer: killing it ends the write."""

    process: subprocess.Popen[bytes]

    def ended(self) -> int | None:
        """None while it writes; then 0, the errno of the kernel's refusal, or below 0 if it did not get to its end."""
        status = self.process.poll()
        if status is None or status <= 0:
            return status
        return status - _REFUSED if status > _REFUSED else -status

    def kill(self) -> None:
        """It ends as soon as the kernel notices: look at `ended`."""
        self.process.kill()


def writing(path: str, text: str) -> Writing:
    """Start one write to a file that is there; the child ends when the calling thread does, however it ends."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _WRITER, str(os.getpid()), path, text],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
    )
    return Writing(process=process)
