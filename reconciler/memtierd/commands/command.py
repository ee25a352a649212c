"""What a command is, and how it ends when it cannot go on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Flag, Given

Run = Callable[[Given, Desk], Iterator[str]]  # gives pieces of text, each without the last newline


class Wrong(Exception):
    """The command cannot be done; its text says why, and what to do."""


class Over(Exception):
    """The prompt is left, with an exit status."""

    def __init__(self, status: int = 0) -> None:
        super().__init__(status)
        self.status = status


class Again(Exception):
    """Not done yet: the same line is run again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    name: str
    summary: str
    run: Run
    flags: tuple[Flag, ...] = ()
    words: str = ""  # that may follow the flags


def no_words(given: Given) -> None:
    """For commands, or flags, that take no words."""
    if given.words:
        raise Wrong(f"unexpected word {given.words[0]!r}; a flag begins with -, and -h lists them")
