"""All commands of the prompt for routines: each begins at a prompt of its own, as in memtierd."""

import time
from collections.abc import Callable

from reconciler import errand
from reconciler.engine.console import Answers, Asked
from reconciler.memtierd.console import Answer, Console
from reconciler.memtierd.host import Host

Clock = Callable[[], float]


class Answering:
    """engine.console.Console over a host, which is only asked for when a command comes."""

    def __init__(self, host: Callable[[], Host], limit: float = errand.SECONDS, clock: Clock = time.monotonic) -> None:
        self._host, self._limit, self._clock = host, limit, clock

    def run(self, words: tuple[str, ...]) -> str:
        console, text, answer = Console(self._host()), "", Answer(again=True)
        until = self._clock() + self._limit
        while answer.again:
            if self._clock() > until:
                raise ValueError(f"{' '.join(words)}: not done after {self._limit:g} s, the limit of a command")
            answer = console.answer(words)
            text += answer.text
        if not answer.ok:
            raise ValueError(text.strip())
        return text


class ForNode:
    """For the node's routines: `policy -dump` and `stats` are about all workloads together."""

    def __init__(self, asked: Asked, others: Answering) -> None:
        self._all, self._others = Answers(asked), others

    def run(self, words: tuple[str, ...]) -> str:
        match words:
            case ("policy", "-dump", *_) | ("stats", *_):
                return self._all.run(words)
            case _:
                return self._others.run(words)
