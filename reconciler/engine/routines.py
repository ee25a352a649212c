"""What `statactions` routines may ask of the engine, answered in memtierd's words. No shell, no child processes."""

from typing import Protocol

from reconciler.engine import stats
from reconciler.engine.processes import Figures


class Asked(Protocol):
    @property
    def page_size(self) -> int: ...

    def dump_policy(self, words: tuple[str, ...]) -> str: ...

    def figures(self) -> dict[int, Figures]: ...


def answer(command: tuple[str, ...], asked: Asked) -> str:
    match command:
        case ("policy", "-dump", *rest):
            return asked.dump_policy(tuple(rest))
        case ("stats", *rest):
            return stats.tables(rest, asked.figures(), asked.page_size)
        case _:
            return f"unknown command {' '.join(command)!r}: policy -dump accessed TIMESPEC,TIMESPEC or stats expected"
