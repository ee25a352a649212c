"""JSON as people type it at a prompt: without quotes around the whole, as memtierd's own documentation prints it.

A shell-like splitter eats the quotes inside, and what is left is no JSON any more. `protected` puts such an argument in
quotes before a line is split; `loose` makes JSON of what has lost its quotes already.
"""

import json
import re
import shlex

_MOST_DEPTH = 32
_BARE_KEY = re.compile(r"[^:,{}\[\]\"]+")
_BARE_VALUE = re.compile(r"[^,{}\[\]\"]+")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_SPACE = re.compile(r"\s*")
_PLAIN = re.compile(r"true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def protected(line: str) -> str:
    """The line with every argument that begins with a brace in single quotes; anything else as it was."""
    result, at = [], 0
    while at < len(line):
        end = _word_end(line, at)
        if line[at] == "{" and end:
            result.append(shlex.quote(line[at:end]))
        else:
            end = _plain_end(line, at)
            result.append(line[at:end])
        at = end
    return "".join(result)


def _word_end(line: str, begin: int) -> int:
    """Where the braces that open here are closed, 0 if they never are, or if no argument ends there."""
    end = braced(line, begin)
    return end if end == len(line) or line[end : end + 1].isspace() else 0


def braced(text: str, begin: int = 0) -> int:
    """Just behind the brace that closes the one at `begin`, 0 if there is none; braces in "texts" do not count."""
    depth, at = 0, begin
    while at < len(text):
        if text[at] == '"':
            found = _STRING.match(text, at)
            if found is None:
                return 0
            at = found.end()
            continue
        depth += (text[at] == "{") - (text[at] == "}")
        at += 1
        if depth <= 0:
            return at if depth == 0 and at > begin + 1 else 0
    return 0


def _plain_end(line: str, begin: int) -> int:
    """Behind this word and the space after it; a quoted text is one word with what it touches."""
    at = begin
    while at < len(line) and not line[at].isspace():
        at = _quoted_end(line, at) if line[at] in "'\"" else at + 2 if line[at] == "\\" else at + 1
    while at < len(line) and line[at].isspace():
        at += 1
    return max(at, begin + 1)


def _quoted_end(line: str, begin: int) -> int:
    if line[begin] == '"':
        found = _STRING.match(line, begin)
        return found.end() if found else len(line)
    end = line.find("'", begin + 1)
    return len(line) if end < 0 else end + 1


def loose(text: str) -> str:
    """JSON of a text whose keys and texts may have lost their quotes; ValueError says where it makes no sense."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        result: list[str] = []
        at = _skipped(text, _value(text, 0, result, 0))
        if at < len(text):
            raise _wrong(text, at, "the end") from None
        return "".join(result)
    return text


def _value(text: str, at: int, result: list[str], depth: int) -> int:
    """Appends one value as JSON, and says where it ends."""
    at = _skipped(text, at)
    if depth > _MOST_DEPTH:
        raise ValueError(f"nested deeper than {_MOST_DEPTH} levels")
    if text[at : at + 1] in {"{", "["}:
        return _collection(text, at, result, depth)
    found = _STRING.match(text, at)
    if found is not None:
        result.append(found[0])
        return found.end()
    found = _BARE_VALUE.match(text, at)
    if found is None:
        raise _wrong(text, at, "a value")
    word = found[0].strip()
    result.append(word if _PLAIN.fullmatch(word) else json.dumps(word))
    return found.end()


def _collection(text: str, at: int, result: list[str], depth: int) -> int:
    mapping = text[at] == "{"
    closing = "}" if mapping else "]"
    result.append(text[at])
    at = _skipped(text, at + 1)
    while text[at : at + 1] != closing:
        at = _key(text, at, result) if mapping else at
        at = _skipped(text, _value(text, at, result, depth + 1))
        if text[at : at + 1] == ",":
            result.append(",")
            at = _skipped(text, at + 1)
        elif text[at : at + 1] != closing:
            raise _wrong(text, at, f"a comma or {closing}")
    result.append(closing)
    return at + 1


def _key(text: str, at: int, result: list[str]) -> int:
    """With the colon behind it."""
    found = _STRING.match(text, at) or _BARE_KEY.match(text, at)
    if found is None:
        raise _wrong(text, at, "a key")
    key = found[0].strip()
    result.append((key if key.startswith('"') else json.dumps(key)) + ":")
    at = _skipped(text, found.end())
    if text[at : at + 1] != ":":
        raise _wrong(text, at, "a colon")
    return at + 1


def _skipped(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return at if found is None else found.end()


def _wrong(text: str, at: int, wanted: str) -> ValueError:
    here = f"{text[at]!r}" if at < len(text) else "the end"
    return ValueError(f"{wanted} is wanted at character {at + 1}, where there is {here}")
