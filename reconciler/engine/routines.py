"""What `statactions` routines may ask of the engine, answered in memtierd's words. No shell, no child processes."""

from typing import Protocol


class Asked(Protocol):
    def dump_policy(self, words: tuple[str, ...]) -> str: ...

    def stats(self, words: tuple[str, ...]) -> str: ...


def answer(command: tuple[str, ...], asked: Asked) -> str:
    match command:
        case ("policy", "-dump", *rest):
            return asked.dump_policy(tuple(rest))
        case ("stats", *rest):
            return asked.stats(tuple(rest))
        case _:
            return f"unknown command {' '.join(command)!r}: policy -dump accessed TIMESPEC,TIMESPEC or stats expected"
