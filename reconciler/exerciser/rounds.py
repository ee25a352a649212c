"""A reader or a writer of one array: it touches its window in rounds, and says when the next is due."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler import exercise
from reconciler.exerciser import windows
from reconciler.exerciser.arrays import Array
from reconciler.exerciser.truth import Record
from reconciler.exerciser.windows import Pattern, Span

TELLS_WAKES_S = 0.001  # who pauses for less says nothing in between
READ, WRITE = "read", "write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How all of them touch and tell."""

    touch: str  # "pages" or "bytes"
    report_s: float
    seed: int | None
    say: Callable[[str], None]
    clock: Callable[[], float]


@dataclass(slots=True, kw_only=True)
class Exerciser:
    number: int
    kind: str
    array: Array
    pattern: Pattern
    manner: Manner
    begun: float = 0.0
    due: float = 0.0
    rounds: int = 0
    reported: float = 0.0
    reported_rounds: int = 0
    order: list[int] = field(default_factory=list)

    def start(self) -> None:
        self.order = list(range(self.pattern.portions))
        random.Random(self.manner.seed).shuffle(self.order)  # noqa: S311  an order, not a secret
        self.begun = self.due = self.reported = self.manner.clock()
        self._tell("start", addresses(self.array, self.window()))
        if len(self.order) > 1:
            self.manner.say(f"portion order: {self.order}")

    def stop(self) -> None:
        self._tell("stop", addresses(self.array, self.window()))

    def window(self) -> Span:
        moved = windows.step(self.pattern, self.rounds, max(self.manner.clock() - self.begun, 0.0))
        found = windows.window(self.pattern, moved, self.array.size)
        return found if self.manner.touch == "bytes" else windows.whole(found, exercise.PAGE)

    def round(self, record: Record) -> None:
        """Touch everything once."""
        self._report(self.manner.clock())
        span = self.window()
        if self.rounds and self.pattern.interval_s >= TELLS_WAKES_S:
            shown = addresses(self.array, span).partition(" ")[0]
            self.manner.say(f"wake exerciser {self.number}: round {self.rounds} range {shown}")
        record.add(self.kind, self.array.start + span[0], self.array.start + span[1], self.pattern.stripes)
        self._touch(span)
        self.rounds += 1
        self.due = max(self.due + self.pattern.interval_s, self.manner.clock())

    def _touch(self, span: Span) -> None:
        touch = self._means()
        if self.pattern.portions == 1:
            for piece in windows.pieces(span, self.pattern.stripes):
                touch(piece)
            return
        parts = windows.portions(span, self.pattern.portions, exercise.PAGE)
        for piece in windows.interleaved(parts, self.order, exercise.PAGE):
            touch(piece)

    def _means(self) -> Callable[[Span], None]:
        if self.manner.touch == "bytes":
            return self.array.read_bytes if self.kind == READ else self.array.write_bytes
        return self.array.read if self.kind == READ else self.array.write

    def _report(self, now: float) -> None:
        """Between rounds, so that pauses count."""
        lasted, rounds = now - self.reported, self.rounds - self.reported_rounds
        if self.manner.report_s and lasted >= self.manner.report_s:
            self.manner.say(f"avgspeed exerciser {self.number}: {lasted / rounds:.6f} s/round")
            self.reported, self.reported_rounds = now, self.rounds

    def _tell(self, what: str, where: str) -> None:
        self.manner.say(f"{what} exerciser {self.number}: {self.kind} {where}")


def addresses(array: Array, span: Span) -> str:
    """As meme writes it: hexadecimal, with the last byte."""
    low, high = array.start + span[0], array.start + span[1]
    return f"{low:x}-{max(high - 1, low):x} ({high - low} bytes)"
