"""A workload over time on a terminal: which memory was used when, and how much. Shades say it, colours repeat it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reconciler.cli.render import Page
from reconciler.quantities import human_bytes

Matrix = NDArray[np.float64]
MARGIN = 9  # columns for labels
WIDTH, HEIGHT, BARS = 100, 16, 6  # of the map without a terminal, and of both charts
_LABEL_EVERY = 4  # lines
_SHORT_S = 600.0  # clock times with seconds
_GAP = 2.5  # times the usual step: a longer time without a moment is shown as one
SHADES = " ·░▒▓█"
_COLORS = ("", "2", "34", "36", "33", "31")  # dim, blue, cyan, yellow, red
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_COLD = "░"


def lines(document: Mapping[str, Any], page: Page) -> list[str]:
    """Map and sizes, over the same time; what is not known is left out."""
    picture, sizes = document["map"], document["sizes"]["fine"]
    moments = [*picture.get("when", ()), *sizes["when"]]
    if not moments:
        return ["nothing is known yet: the first moment comes after 15 s"]
    columns = max((page.width or WIDTH + MARGIN) - MARGIN, 20)
    span = min(moments), max(*moments, min(moments) + 60)
    result = _heat(picture, span, columns, page) if picture.get("when") else []
    return [*result, *_sizes(sizes, span, columns)]


def _heat(picture: Mapping[str, Any], span: tuple[float, float], columns: int, page: Page) -> list[str]:
    heat = np.array(picture["heat"], np.float64)
    grid = _coarser(_over_time(picture["when"], heat, span, columns), HEIGHT)[::-1]  # low addresses below
    step = picture["size_bytes"] / len(grid)
    labels = [
        human_bytes(int(step * (len(grid) - line))) if line % _LABEL_EVERY == 0 else "" for line in range(len(grid))
    ]
    drawn = [f"{label:>{MARGIN - 2}} ┤{_shaded(row, page)}" for label, row in zip(labels, grid, strict=True)]
    words = ("not", "hardly", "a bit", "mostly", "all")
    key = "  ".join(f"{shade} {word}" for shade, word in zip(SHADES[1:], words, strict=True))
    return [
        "memory by address, gaps left out; how much of it was used from look to look:",
        *(line.rstrip() for line in drawn),
        *_axis(span, columns),
        f"{'':{MARGIN}}{key} used",
    ]


def _over_time(when: Sequence[float], rows: Matrix, span: tuple[float, float], columns: int) -> Matrix:
    """Cells x columns: in each column the mean of the rows that fall into it, or the last one before it."""
    at = np.array(when)
    begin, end = span
    step = (end - begin) / columns
    usual = float(np.median(np.diff(at))) if len(at) > 1 else step
    found = np.zeros((columns, rows.shape[1]))
    column = np.clip(((at - begin) / step).astype(int), 0, columns - 1)
    for index in range(columns):
        inside = rows[column == index]
        if len(inside):
            known = (inside > 0).sum(axis=0)
            found[index] = inside.sum(axis=0) / np.maximum(known, 1)
            continue
        last = int(np.searchsorted(at, begin + index * step, side="right")) - 1
        if last >= 0 and begin + index * step - at[last] <= _GAP * usual:
            found[index] = rows[last]
    return found.T


def _coarser(grid: Matrix, lines_: int) -> Matrix:
    """Neighbouring cells together: the mean of those that hold something."""
    blocks = grid.reshape(lines_, -1, grid.shape[1])
    mean: Matrix = blocks.sum(axis=1) / np.maximum((blocks > 0).sum(axis=1), 1)
    return mean


def _shaded(row: NDArray[np.float64], page: Page) -> str:
    levels = [_level(value) for value in row.tolist()]
    return "".join(page.paint(SHADES[level] * len([*run]), _COLORS[level]) for level, run in groupby(levels))


def _level(value: float) -> int:
    """0 = nothing there, 1 = not used, up to 5 = all of it used."""
    share = (value - 1) / 254
    return 0 if value < 1 else 1 + sum(share > limit for limit in (0.002, 0.1, 0.5, 0.9))


def _axis(span: tuple[float, float], columns: int) -> list[str]:
    """Clock times below ticks, as many as have room."""
    ticks = max(columns // 20, 1)
    marks, words = [" "] * columns, ""
    for tick in range(ticks + 1):
        at = min(tick * columns // ticks, columns - 1)
        marks[at] = "┴"
        word = _clock(span[0] + (span[1] - span[0]) * tick / ticks, seconds=span[1] - span[0] < _SHORT_S)
        room = at - len(word) + 1 if tick == ticks else at
        words = f"{words:<{max(room, 0)}}{word}"
    line = "".join(mark if mark != " " else "─" for mark in marks)
    return [f"{'0B':>{MARGIN - 2}} └{line}", f"{'UTC':>{MARGIN - 2}}  {words}"]


def _clock(at: float, *, seconds: bool) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%H:%M:%S" if seconds else "%H:%M")


def _sizes(sizes: Mapping[str, Sequence[float]], span: tuple[float, float], columns: int) -> list[str]:
    """Used memory as bars, what is tracked and was not used above it; without a tracker what is in use."""
    tracked = np.array(sizes["tracked_bytes"], np.float64)
    whole = tracked if tracked.any() else np.array(sizes["usage_bytes"], np.float64)
    used = whole - np.array(sizes["idle_bytes"], np.float64) if tracked.any() else whole
    if not whole.any():
        return []
    both = np.column_stack((np.maximum(used, 1), np.maximum(whole, 1)))
    hot, all_ = _over_time(sizes["when"], both, span, columns)
    top = float(all_.max())
    drawn = []
    for line in range(BARS, 0, -1):
        label = human_bytes(int(top * line / BARS)) if line % 2 == 0 else ""
        bars = "".join(_bar(one, other, top, line) for one, other in zip(hot, all_, strict=True))
        drawn.append(f"{label:>{MARGIN - 2}} ┤{bars}".rstrip())
    what = "working set (█ used, ░ not used for the policy's time)" if tracked.any() else "memory in use"
    now = (
        f"{human_bytes(int(used[-1]))} of {human_bytes(int(whole[-1]))}"
        if tracked.any()
        else human_bytes(int(whole[-1]))
    )
    return ["", f"{what}, now {now}:", *drawn, *_axis(span, columns)]


def _bar(used: float, whole: float, top: float, line: int) -> str:
    """The character of one column on one of the chart's lines."""
    if whole <= 0:
        return " "
    full = used / top * BARS - (line - 1)
    if full >= 1 / 8:
        return _EIGHTHS[min(int(full * 8), 8)]
    return _COLD if whole / top * BARS - (line - 1) >= 1 / 2 else " "
