"""What routines may ask of the engine in memtierd's words, and who answers."""

import shlex
from typing import Protocol

from reconciler.engine import stats
from reconciler.engine.processes import Figures


class Asked(Protocol):
    """What is asked about: one workload's loop, or all of them."""

    @property
    def page_size(self) -> int: ...

    def dump_policy(self, words: tuple[str, ...]) -> str: ...

    def figures(self) -> dict[int, Figures]: ...


class Console(Protocol):
    def run(self, command: str | tuple[str, ...]) -> str:
        """Do what a line of the prompt, or its words, say; the lines that it prints. ValueError says what is wrong.

        Called from threads of routines, and may take as long as it likes.
        """
        ...


class Answers:
    """The commands that every class may use: policy -dump and stats."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def run(self, command: str | tuple[str, ...]) -> str:
        words = tuple(shlex.split(command)) if isinstance(command, str) else command
        match words:
            case ("policy", "-dump", *rest):
                return self._asked.dump_policy(tuple(rest)) + "\n"
            case ("stats", *rest):
                return stats.tables(rest, self._asked.figures(), self._asked.page_size) + "\n"
            case _:
                raise ValueError(f"unknown command {' '.join(words)!r}: policy -dump accessed T,T or stats expected")
