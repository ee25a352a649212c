"""A regular expression as a tree. Everything that is not understood is a ValueError that says so."""

from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_CHARACTERS = 1000
MOST_DEPTH = 50  # of groups in groups
MOST_REPEATS = 1000  # Go's limit, too

Ranges = tuple[tuple[int, int], ...]  # of code points, both ends included
_LAST = 0x10FFFF


@dataclass(frozen=True, slots=True)
class One:
    """One character of these ranges."""

    ranges: Ranges


@dataclass(frozen=True, slots=True)
class Border:
    """Holds between two characters, or does not: ^ $ b B."""

    kind: str


@dataclass(frozen=True, slots=True)
class Row:
    """One after the other."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    part: "Node"
    least: int
    most: int | None  # None = any number


Node = One | Border | Row | Choice | Repeat

_DIGIT: Ranges = ((48, 57),)
_SPACE: Ranges = ((9, 10), (12, 13), (32, 32))
_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
_SETS = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_NAMED: dict[str, Ranges] = {
    "alnum": ((48, 57), (65, 90), (97, 122)),
    "alpha": ((65, 90), (97, 122)),
    "digit": _DIGIT,
    "lower": ((97, 122),),
    "punct": ((33, 47), (58, 64), (91, 96), (123, 126)),
    "space": ((9, 13), (32, 32)),
    "upper": ((65, 90),),
    "word": _WORD,
    "xdigit": ((48, 57), (65, 70), (97, 102)),
}
_CONTROLS = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_BORDERS = {"A": "^", "z": "$", "b": "b", "B": "B"}
_SIMPLE_REPEATS: dict[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}


def parse(expression: str) -> Node:
    if len(expression) > MOST_CHARACTERS:
        raise ValueError(f"is longer than {MOST_CHARACTERS} characters")
    any_case = expression.startswith("(?i)")
    reader = _Reader(expression, 4 if any_case else 0, any_case=any_case)
    tree = reader.choice(0)
    if reader.more():
        raise ValueError(f"has a ) without its ( at character {reader.at + 1}")
    return tree


@dataclass(slots=True)
class _Reader:
    text: str
    at: int
    any_case: bool = field(kw_only=True)

    def more(self) -> bool:
        return self.at < len(self.text)

    def peek(self, sign: str) -> bool:
        return self.text.startswith(sign, self.at)

    def skip(self, sign: str) -> bool:
        found = self.peek(sign)
        self.at += len(sign) if found else 0
        return found

    def take(self) -> str:
        if not self.more():
            raise ValueError("ends in the middle of something: after a \\ or a [")
        self.at += 1
        return self.text[self.at - 1]

    # -- rows and choices ----------------------------------------------------------------------------------------

    def choice(self, depth: int) -> Node:
        if depth > MOST_DEPTH:
            raise ValueError(f"has groups more than {MOST_DEPTH} deep")
        rows = [self.row(depth)]
        while self.skip("|"):
            rows.append(self.row(depth))
        return rows[0] if len(rows) == 1 else Choice(tuple(rows))

    def row(self, depth: int) -> Row:
        parts: list[Node] = []
        while self.more() and not self.peek("|") and not self.peek(")"):
            parts.append(self.repeated(self.atom(depth)))
        return Row(tuple(parts))

    def repeated(self, part: Node) -> Node:
        bounds = self.bounds()
        if bounds is None:
            return part
        self.skip("?")  # a lazy repeat finds another place, but not another answer
        if self.bounds() is not None:
            raise ValueError(f"repeats a repeat at character {self.at}: put the inner one into a group")
        return Repeat(part, *bounds)

    def bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in _SIMPLE_REPEATS.items():
            if self.skip(sign):
                return bounds
        inside, closed, _ = self.text[self.at + 1 :].partition("}")
        least, comma, most = inside.partition(",")
        if not self.peek("{") or not closed or not least.isdecimal() or not (most.isdecimal() or not most):
            return None  # then { is a character like others
        self.at += len(inside) + 2
        low, high = int(least), int(most) if most else None if comma else int(least)
        if max(low, high or 0) > MOST_REPEATS or (high is not None and high < low):
            raise ValueError(f"has a repeat {{{inside}}}, which must go from small to large, {MOST_REPEATS} at most")
        return low, high

    # -- atoms -----------------------------------------------------------------------------------------------------

    def atom(self, depth: int) -> Node:
        match self.take():
            case "(":
                return self.group(depth)
            case "[":
                return One(self.bracket())
            case ".":
                return One(_without(((10, 10),)))
            case "^" | "$" as sign:
                return Border(sign)
            case "\\":
                return self.escaped()
            case "*" | "+" | "?" as sign:
                raise ValueError(f"has a {sign} with nothing to repeat before it, at character {self.at}")
            case sign:
                return One(self.cased(((ord(sign), ord(sign)),)))

    def group(self, depth: int) -> Node:
        if self.skip("?") and not self.skip(":"):
            named = self.skip("P<") or (self.skip("<") and not (self.peek("=") or self.peek("!")))
            name, closed, _ = self.text[self.at :].partition(">")
            if not (named and closed and name.isidentifier()):
                said = "has a (? group that is none of (?:x) and (?P<name>x); (?i) may only stand first of all"
                raise ValueError(said)
            self.at += len(name) + 1
        tree = self.choice(depth + 1)
        if not self.skip(")"):
            raise ValueError("has a ( without its )")
        return tree

    def escaped(self) -> Node:
        sign = self.take()
        if sign in _BORDERS:
            return Border(_BORDERS[sign])
        return One(self.cased(self.class_of(sign)))

    def class_of(self, sign: str) -> Ranges:
        """What a backslash and this letter stand for."""
        if sign.lower() in _SETS:
            return _SETS[sign] if sign in _SETS else _without(_SETS[sign.lower()])
        if sign == "x":
            return self.hexadecimal()
        code = _CONTROLS.get(sign, ord(sign))
        if sign not in _CONTROLS and (sign.isalnum() or not sign.isascii()):
            raise ValueError(f"has \\{sign}, which is not known here: back references and \\p classes are not accepted")
        return ((code, code),)

    def hexadecimal(self) -> Ranges:
        braced = self.skip("{")
        digits = self.text[self.at :].partition("}")[0] if braced else self.text[self.at : self.at + 2]
        if not digits or len(digits) > 6 or not all(sign in "0123456789abcdefABCDEF" for sign in digits):
            raise ValueError("has a \\x without a number such as \\x2f or \\x{2f}")
        self.at += len(digits) + braced
        code = min(int(digits, 16), _LAST)
        return ((code, code),)

    # -- brackets ------------------------------------------------------------------------------------------------

    def bracket(self) -> Ranges:
        negated = self.skip("^")
        ranges = list(self.member())
        while not self.skip("]"):
            ranges += self.member()
        found = self.cased(tuple(ranges))
        return _without(found) if negated else found

    def member(self) -> Ranges:
        """One entry: a character, a range, or a class; the first may be a ] that closes nothing."""
        if self.skip("[:"):
            return self.posix()
        first = self.single()
        if len(first) != 1 or not self.peek("-") or self.text.startswith("-]", self.at):
            return first
        self.take()
        last = self.single()
        (low, end), (begin, high) = first[0], last[0]
        if (low, len(last)) != (end, 1) or begin != high or high < low:
            raise ValueError(
                f"has a range in [...] that does not go from small to large, before character {self.at + 1}"
            )
        return ((low, high),)

    def single(self) -> Ranges:
        sign = self.take()
        return self.class_of(self.take()) if sign == "\\" else ((ord(sign), ord(sign)),)

    def posix(self) -> Ranges:
        name, closed, _ = self.text[self.at :].partition(":]")
        if not closed or name.removeprefix("^") not in _NAMED:
            raise ValueError(f"has a [: class that is none of {', '.join(_NAMED)}")
        self.at += len(name) + 2
        found = _NAMED[name.removeprefix("^")]
        return _without(found) if name.startswith("^") else found

    def cased(self, ranges: Ranges) -> Ranges:
        """With (?i) also the other case, of ASCII letters."""
        if not self.any_case:
            return ranges
        return ranges + tuple(_other_case(ranges))


def _other_case(ranges: Ranges) -> Iterator[tuple[int, int]]:
    for low, high in ranges:
        for first, last, shift in ((65, 90, 32), (97, 122, -32)):
            if max(low, first) <= min(high, last):
                yield max(low, first) + shift, min(high, last) + shift


def _without(ranges: Ranges) -> Ranges:
    """All characters but these."""
    result, begin = [], 0
    for low, high in sorted(ranges):
        if low > begin:
            result.append((begin, low - 1))
        begin = max(begin, high + 1)
    return (*result, (begin, _LAST)) if begin <= _LAST else tuple(result)
