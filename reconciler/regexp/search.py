"""Searching: all ways through the expression at once, so no text takes longer than its length times their number."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

from reconciler.regexp import syntax
from reconciler.regexp.syntax import Border, Choice, Node, One, Repeat, Row

MOST_PLACES = 500  # of an expression; x{100} counts a hundred times
MOST_TEXT = 4096  # characters; the kernel's paths are no longer (PATH_MAX)
_MOST_REMEMBERED = 500  # steps of one expression; each may name all its places

_Place = int
_Places = frozenset[_Place]
_Key = TypeVar("_Key")
_WORD = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz")


@dataclass(frozen=True, slots=True)
class Fork:
    """Go on at all of these."""

    to: tuple[_Place, ...]


class Found:
    """The end of the expression."""


Step = One | Border | Fork | Found
Between = tuple[bool, bool, bool]  # at the begin of the text, at its end, at a border of a word


@lru_cache(maxsize=256)
def compiled(expression: str) -> "Regexp":
    """ValueError says what is wrong, in words that continue "the regular expression ..."."""
    steps: list[Step] = []
    _emit(syntax.parse(expression), steps)
    steps.append(Found())
    return Regexp(steps)


class Regexp:
    def __init__(self, steps: list[Step]) -> None:
        self._steps = steps
        self._reached: dict[tuple[_Places, Between], _Places] = {}
        self._moved: dict[tuple[_Places, str], _Places] = {}

    def search(self, text: str) -> bool:
        """Whether it is found anywhere; only the first MOST_TEXT characters count."""
        text = text[:MOST_TEXT]
        end, places = len(self._steps) - 1, frozenset[_Place]()
        for at in range(len(text) + 1):
            places = self._reach(places | {0}, _between(text, at))
            if end in places:
                return True
            if at < len(text):
                places = self._move(places, text[at])
        return False

    def _reach(self, places: _Places, between: Between) -> _Places:
        """All places that are reached without another character."""
        key = places, between
        found = self._reached.get(key)
        if found is None:
            found = self._spread(places, between)
            _remember(self._reached, key, found)
        return found

    def _spread(self, places: _Places, between: Between) -> _Places:
        seen, todo = set(places), list(places)
        while todo:
            for place in self._onward(todo.pop(), between):
                if place not in seen:
                    seen.add(place)
                    todo.append(place)
        return frozenset(seen)

    def _onward(self, place: _Place, between: Between) -> tuple[_Place, ...]:
        match self._steps[place]:
            case Fork(to):
                return to
            case Border(kind):
                begin, end, word = between
                return (place + 1,) if {"^": begin, "$": end, "b": word, "B": not word}[kind] else ()
            case _:
                return ()

    def _move(self, places: _Places, sign: str) -> _Places:
        """All places behind one more character."""
        key = places, sign
        found = self._moved.get(key)
        if found is None:
            code = ord(sign)
            found = frozenset(place + 1 for place in places if self._accepts(place, code))
            _remember(self._moved, key, found)
        return found

    def _accepts(self, place: _Place, code: int) -> bool:
        step = self._steps[place]
        return isinstance(step, One) and any(low <= code <= high for low, high in step.ranges)


def _remember(known: dict[_Key, _Places], key: _Key, found: _Places) -> None:
    """Threads may do this at once: at worst something is found out twice."""
    if len(known) >= _MOST_REMEMBERED:
        known.clear()
    known[key] = found


def _between(text: str, at: int) -> Between:
    before = at > 0 and text[at - 1] in _WORD
    after = at < len(text) and text[at] in _WORD
    return at == 0, at == len(text), before != after


# -- from the tree to places -----------------------------------------------------------------------------------------


def _emit(node: Node, steps: list[Step]) -> None:
    """Append what leads through the node; afterwards the next place is behind it."""
    if len(steps) > MOST_PLACES:
        raise ValueError(f"is too large: its repeats multiply to more than {MOST_PLACES} places")
    match node:
        case One() | Border():
            steps.append(node)
        case Row(parts):
            for part in parts:
                _emit(part, steps)
        case Choice(parts):
            _emit_choice(parts, steps)
        case Repeat(part, least, most):
            _emit_repeat(part, least, most, steps)


def _emit_choice(parts: tuple[Node, ...], steps: list[Step]) -> None:
    fork = len(steps)
    steps.append(Fork(()))
    begins, ends = [], []
    for part in parts:
        begins.append(len(steps))
        _emit(part, steps)
        ends.append(len(steps))
        steps.append(Fork(()))
    steps[fork] = Fork(tuple(begins))
    for end in ends:
        steps[end] = Fork((len(steps),))


def _emit_repeat(part: Node, least: int, most: int | None, steps: list[Step]) -> None:
    for _ in range(least):
        begin = len(steps)
        _emit(part, steps)
        if len(steps) == begin:  # nothing, a thousand times
            break
    if most is None:
        fork = len(steps)
        steps.append(Fork(()))
        _emit(part, steps)
        steps.append(Fork((fork,)))
        steps[fork] = Fork((fork + 1, len(steps)))
        return
    forks = []
    for _ in range(most - least):
        forks.append(len(steps))
        steps.append(Fork(()))
        _emit(part, steps)
    for fork in forks:
        steps[fork] = Fork((fork + 1, len(steps)))
