"""Tables and colours for terminals: plain text on pipes, shortened lines on narrow windows, a word beside every colour.

A `Page` knows where it is printed; everything else here turns values into lines, and `show` is the only door to the
terminal. Names and messages come from strangers' files and containers: at the door they lose what could drive it.
"""

import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from reconciler.model import Problem, Severity

RED, GREEN, YELLOW, BOLD, DIM = "31", "32", "33", "1", "2"
STATE_COLORS = {
    "converged": GREEN,
    "pending": YELLOW,
    "drift": YELLOW,
    "held": YELLOW,
    "observed": GREEN,
    "gone": DIM,
    "unmanaged": DIM,
    "released": DIM,
}
SEVERITY_COLORS = {Severity.ERROR: RED, Severity.WARNING: YELLOW, Severity.NOTE: DIM}

_INK = f"\x00{secrets.token_hex(8)}"
"""Begins a colour in a line that is not shown yet. No stranger can write it: so our colours are told from theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    width: int = 0  # columns; 0 = as wide as it takes
    color: bool = False
    legend: bool = True

    def paint(self, text: str, color: str) -> str:
        return f"{_INK}{color}m{text}{_INK}0m" if self.color and color and text else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    title: str
    right: bool = False
    colors: Mapping[str, str] | None = None  # cell's text, up to a colon -> colour
    shrinks: bool = False  # gives way on a narrow terminal


def show(lines: Iterable[str], *, stream: TextIO | None = None) -> None:
    """Everything that people are told goes through here."""
    print("".join(f"{shown(line)}\n" for line in lines), end="", file=stream, flush=True)


def ask(text: str) -> None:
    """A question, with the cursor behind it."""
    print(shown(text), end="", flush=True)


def show_over(lines: Sequence[str], before: int) -> None:
    """The same, over the `before` lines that were shown last."""
    print(f"\x1b[{before}F\x1b[J" if before else "", end="")
    show(lines)


def show_document(document: Any, output: str = "json") -> None:
    """For programs: every name as it is; JSON and YAML write control characters as escapes."""
    if output == "yaml":
        import yaml

        print(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, width=100), end="")
    else:
        print(json.dumps(document, indent=2))


def show_text(text: str) -> None:
    """A file for programs, as it is; whoever made it has seen to strangers' words in it."""
    print(text, end="", flush=True)


def show_line(document: str) -> None:
    """The same for JSON that comes line by line."""
    print(document, flush=True)


def shown(line: str) -> str:
    """A line as the terminal gets it."""
    return "\x1b[".join(clean(part) for part in line.split(_INK))


def page(*, color: bool | None = None, legend: bool = True, stream: TextIO | None = None) -> Page:
    """What standard output is: a terminal has a width and colours unless it is told otherwise (no-color.org)."""
    stream = stream or sys.stdout
    terminal = stream.isatty()
    quiet = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return Page(
        width=shutil.get_terminal_size().columns if terminal else 0,
        color=(terminal and not quiet) if color is None else color,
        legend=legend,
    )


def height() -> int:
    """Lines of the terminal."""
    return max(shutil.get_terminal_size().lines, 2)


def cut(line: str, page: Page) -> str:
    """A line that does not wrap: without colours, and at the page's edge, if it is too long."""
    plain = re.sub(rf"{_INK}[\d;]*m", "", line)
    return line if not page.width or len(plain) <= page.width else plain[: page.width - 1] + "…"


def table(page: Page, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned lines under a heading, two spaces apart, no wider than the page where a column can give way."""
    cells = [[column.title for column in columns], *([cell or "-" for cell in row] for row in rows)]
    widths = fit([max(map(len, column)) for column in zip(*cells, strict=True)], columns, page.width)
    heading = [page.paint(_line(columns, widths, cells[0], Page()), BOLD)]
    return (heading if page.legend else []) + [_line(columns, widths, row, page) for row in cells[1:]]


def fit(widths: list[int], columns: Sequence[Column], limit: int) -> list[int]:
    """Take what is too wide from the widest column that may shrink, never below its heading or five characters."""
    floors = [
        max(len(column.title), 5) if column.shrinks else width for column, width in zip(columns, widths, strict=True)
    ]
    excess = sum(widths) + 2 * (len(widths) - 1) - limit if limit else 0
    for index in sorted(range(len(widths)), key=lambda index: floors[index] - widths[index]):
        give = max(0, min(excess, widths[index] - floors[index]))
        widths[index] -= give
        excess -= give
    return widths


def shorten(text: str, width: int) -> str:
    """Cut in the middle: both ends of namespace/pod/container say something."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def ago(seconds: float) -> str:
    """As systemctl says it, with the two largest units: "2h 3min"."""
    left, words = max(int(seconds), 0), []
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number:
            words.append(f"{number}{unit}")
    return " ".join(words[:2]) or "0s"


def clean(text: str) -> str:
    """Without control characters, line ends included: one name cannot look like two lines."""
    return "".join(character if character.isprintable() else "�" for character in text)


def problems(page: Page, found: Iterable[Problem]) -> list[str]:
    """FILE:LINE:COL: POINTER: what is wrong, and a hint below it."""
    lines: list[str] = []
    for problem in found:
        word = "" if problem.severity is Severity.ERROR else f"{problem.severity}: "
        parts = [problem.place(), problem.pointer, f"{word}{problem.message}"]
        lines.append(page.paint(": ".join(filter(None, parts)), SEVERITY_COLORS[problem.severity]))
        if problem.hint:
            lines.append(f"    hint: {problem.hint}")
    return lines


def _line(columns: Sequence[Column], widths: Sequence[int], row: Sequence[str], page: Page) -> str:
    done = []
    for column, width, cell in zip(columns, widths, row, strict=True):
        short = shorten(cell, width)
        padded = short.rjust(width) if column.right else short.ljust(width)
        color = (column.colors or {}).get(cell.partition(":")[0], "")
        done.append(padded.replace(short, page.paint(short, color), 1) if color else padded)
    return "  ".join(done).rstrip()
