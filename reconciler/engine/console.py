"""What routines may ask of the engine in memtierd's words, and who answers."""

from typing import Protocol


class Asked(Protocol):
    """What is asked about: one workload's loop, or all of them."""

    @property
    def workload(self) -> str:
        """Its id, "" for all of them."""

    def dump_policy(self, words: tuple[str, ...]) -> str: ...

    def stats(self, words: tuple[str, ...]) -> str: ...


class Console(Protocol):
    def run(self, words: tuple[str, ...]) -> str:
        """Do what the words of a prompt's line say; the lines that it prints. ValueError says what is wrong.

        Called from threads of routines, and may take as long as it likes.
        """
        ...


class Answers:
    """What needs nothing but the engine: policy -dump and stats."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def run(self, words: tuple[str, ...]) -> str:
        match words:
            case ("policy", "-dump", *rest):
                return self._asked.dump_policy(tuple(rest)) + "\n"
            case ("stats", *rest):
                return self._asked.stats(tuple(rest)) + "\n"
            case _:
                raise ValueError(f"unknown command {' '.join(words)!r}: policy -dump accessed T,T or stats expected")
