"""A line of memtierd's prompt, split as a shell would: quotes, backslashes, and a pipe to a shell command.

Two things are not a shell's. The first `|` that is not quoted ends the command, and what follows is for `sh -c` as it
stands. And JSON may stand behind -config without quotes, as memtierd's manual prints it: then its braces are taken
whole, with the quotes that the JSON needs.
"""

from dataclasses import dataclass

_ESCAPABLE = '\\"$`'  # by a backslash between double quotes
_RAW_AFTER = ("-config", "--config")


class LineError(ValueError):
    """The line cannot be split: a quote or a brace that never closes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    words: tuple[str, ...] = ()
    pipe: str = ""  # for `sh -c`; "" = the answer is printed


def split(text: str) -> Line:
    """Words and pipe of a line; an empty one and a comment (# ...) have neither."""
    if text.lstrip().startswith("#"):
        return Line()
    words: list[str] = []
    at = _skip_blanks(text, 0)
    while at < len(text) and text[at] != "|":
        word, at = _json(text, at) if _is_json(words, text, at) else _word(text, at)
        words.append(word)
        at = _skip_blanks(text, at)
    return Line(words=tuple(words), pipe=text[at + 1 :].strip())


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _word(text: str, at: int) -> tuple[str, int]:
    """One word and where it ends; `-config={...}` keeps its JSON."""
    found: list[str] = []
    while at < len(text) and not text[at].isspace() and text[at] != "|":
        if text[at] == "{" and "".join(found) in (f"{flag}=" for flag in _RAW_AFTER):
            piece, at = _json(text, at)
        elif text[at] in "'\"":
            piece, at = _quoted(text, at)
        elif text[at] == "\\":
            piece, at = text[at + 1 : at + 2], at + 2
        else:
            piece, at = text[at], at + 1
        found.append(piece)
    return "".join(found), min(at, len(text))


def _quoted(text: str, at: int) -> tuple[str, int]:
    """What stands between the quote at `at` and its partner."""
    quote, begin, found = text[at], at, list[str]()
    at += 1
    while at < len(text) and text[at] != quote:
        if quote == '"' and text[at] == "\\" and text[at + 1 : at + 2] in tuple(_ESCAPABLE):
            at += 1
        found.append(text[at])
        at += 1
    if at >= len(text):
        raise LineError(f"the quote {quote} at column {begin + 1} never closes")
    return "".join(found), at + 1


def _is_json(words: list[str], text: str, at: int) -> bool:
    return bool(words) and words[-1] in _RAW_AFTER and text[at] == "{"


def _json(text: str, begin: int) -> tuple[str, int]:
    """Everything from a brace to its partner; braces inside JSON texts do not count."""
    depth, in_text, at = 0, False, begin
    while at < len(text):
        if in_text and text[at] == "\\":
            at += 1
        elif text[at] == '"':
            in_text = not in_text
        elif not in_text:
            depth += (text[at] == "{") - (text[at] == "}")
        at += 1
        if depth == 0:
            return text[begin:at], at
    raise LineError(f"the brace {{ at column {begin + 1} never closes")
