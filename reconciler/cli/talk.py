"""Somebody at memtierd's prompt: lines are read from a terminal, a pipe or a file, run, and answered.

Who answers is a function: the engine of this process, or the daemon behind its socket. Pipes are run here, with the
rights of whoever sits here.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from reconciler import children
from reconciler.cli import render
from reconciler.memtierd.console import Answer

PROMPT = "memtierd> "
_NOT_RUN = {126, 127}  # a shell's exit statuses
_MOST_LINES = 1000  # of history

Run = Callable[[str], Answer]


class Talk:
    def __init__(self, run: Run) -> None:
        self._run = run
        self.heard = 0  # lines
        self.failed = False  # any line was answered with an error
        self.over = False  # somebody has said q

    def say(self, line: str) -> None:
        """Run one line and show its answer."""
        self.heard += 1
        text, answer = "", Answer(again=True)
        while answer.again:
            answer = self._run(line)
            text += answer.text
            if not answer.pipe:
                render.show(text.splitlines())
                text = ""
        if answer.pipe and children.shell(answer.pipe, text) in _NOT_RUN:
            self.failed = True
        self.failed = self.failed or not answer.ok
        self.over = self.over or answer.over

    def read(self, lines: Iterable[str], *, prompt: bool = False, echo: bool = False) -> None:
        """Until there are no more, or q."""
        for line in _asked(lines, prompt=prompt):
            if echo:
                render.show([line])
            self.say(line)
            if self.over:
                break
        else:
            if prompt:
                render.show(["quit: EOF"])
        if prompt:
            render.show(["quit."])

    def echoed(self, lines: Iterable[str]) -> None:
        """The same, with the prompt only where a line follows: for input that may never come."""
        for line in map(_without_end, lines):
            render.show([PROMPT + line])
            self.say(line)
            if self.over:
                render.show(["quit."])
                return

    def listen(self, history: Path) -> None:
        """To a person at a terminal, with line editing; what is wrong there is no failure of the whole."""
        with remembered(history):
            while not self.over:
                try:
                    line = input(PROMPT)
                except EOFError:
                    render.show(["quit: EOF"])
                    break
                self.say(line)
        self.failed = False
        render.show(["quit."])


def _asked(lines: Iterable[str], *, prompt: bool) -> Iterator[str]:
    if prompt:
        render.ask(PROMPT)
    for line in lines:
        yield _without_end(line)
        if prompt:
            render.ask(PROMPT)


def _without_end(line: str) -> str:
    return line.rstrip("\r\n")


def at_terminal(stream: TextIO | None) -> bool:
    """Whether a person is there; a program in the background must not read from its terminal, or it is stopped."""
    if stream is None or not stream.isatty():
        return False
    with suppress(OSError):
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    return False


def history_file(environment: dict[str, str]) -> Path:
    """In the state folder of the person (XDG Base Directory Specification)."""
    state = environment.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local/state")
    return Path(state) / "ebbtide/prompt.history"


@contextmanager
def remembered(history: Path) -> Iterator[None]:
    """Line editing, with the lines of earlier times; nobody else may read the file."""
    try:
        import readline
    except ImportError:  # a Python without it
        yield
        return
    with suppress(OSError):
        readline.read_history_file(history)
    readline.set_history_length(_MOST_LINES)
    try:
        yield
    finally:
        with suppress(OSError):
            _save(history, readline.write_history_file)


def _save(history: Path, write: Callable[[str], None]) -> None:
    history.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = os.umask(0o077)
    try:
        write(str(history))
    finally:
        os.umask(before)
    os.chmod(history, 0o600)
