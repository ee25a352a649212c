"""Heats as one JSON document, as memtierd's forecasters know them.

    {"PID": [{"addr": BYTES, "length": PAGES, "heat": PER_PAGE, "created": NANOSECONDS, "updated": NANOSECONDS}]}

What comes back is a stranger's data: it is believed only as a whole, and only if every value of it can be true.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from reconciler import checking
from reconciler.engine import heatmap
from reconciler.engine.heatmap import HEAT, Heats, Ranges

_ADDRESSES = 1 << 64
_TIMES = 1 << 63
_ODD = "no JSON document of the form {PID: [{addr, length, heat, created, updated}]}"


def question(heats: Heats) -> bytes:
    """One line."""
    found = {
        str(pid): [
            {"addr": start, "length": pages, "heat": heat, "created": created, "updated": updated}
            for start, pages, heat, created, updated in ranges.tolist()
        ]
        for pid, ranges in heats.items()
    }
    return json.dumps(found, separators=(",", ":")).encode() + b"\n"


class Wrong(ValueError):
    """It is no answer, and says why not."""


class Collector:
    """Puts an answer together from the pieces in which it comes; Wrong if it cannot become one."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._text = bytearray()
        self._open = 0  # braces

    def take(self, piece: bytes) -> bool:
        """Whether this was the last piece: no key and no value of ours has a brace in it, so they can be counted."""
        self._text += piece if self._text else piece.lstrip()
        self._open += piece.count(b"{") - piece.count(b"}")
        if len(self._text) > self._most:
            raise Wrong(f"more than {self._most} bytes: is that an answer?")
        begin = bytes(self._text[:64])
        if begin.startswith(b"{"):
            return self._open <= 0
        if begin and not b"null".startswith(begin.rstrip()):
            raise Wrong(f"{_ODD}, but {checking.show(begin.decode(errors='replace'))}")
        return begin.rstrip() == b"null"

    def text(self) -> str:
        return self._text.decode(errors="replace")


def answer(text: str, asked: Heats, page_size: int) -> Heats | None:
    """The heats of the processes that were asked about; None for `null`. Wrong says what is wrong with it."""
    try:
        found = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{_ODD}: {error}") from None
    if found is None:
        return None
    if not isinstance(found, Mapping):
        raise Wrong(_ODD)
    return {pid: _ranges(pid, found[str(pid)], page_size) for pid in asked if str(pid) in found}


def _refuse(constant: str) -> float:
    raise Wrong(f"{constant} is no heat")


def _ranges(pid: int, rows: Any, page_size: int) -> Ranges:
    if rows is None:  # how Go writes a list of nothing
        return heatmap.none()
    if not isinstance(rows, list):
        raise Wrong(f"pid {pid}: {checking.show(rows)} is no list of ranges")
    result = np.array([_range(pid, row, page_size) for row in rows], HEAT)
    result.sort(order="start")
    if (heatmap.ends(result, page_size)[:-1] > result["start"][1:]).any():
        raise Wrong(f"pid {pid}: ranges overlap")
    return result


def _range(pid: int, row: Any, page_size: int) -> tuple[int, int, float, int, int]:
    if not isinstance(row, Mapping):
        raise Wrong(f"pid {pid}: {checking.show(row)} is no range")
    start = _whole(pid, row, "addr", 0, _ADDRESSES - 1)
    if start % page_size:
        raise Wrong(f"pid {pid}: addr {start} is not where a page begins")
    pages = _whole(pid, row, "length", 1, (_ADDRESSES - 1 - start) // page_size)
    created, updated = (_whole(pid, row, key, -_TIMES, _TIMES - 1, default=0) for key in ("created", "updated"))
    return start, pages, _heat(pid, row.get("heat")), created, updated


def _whole(pid: int, row: Mapping[str, Any], key: str, least: int, most: int, default: int | None = None) -> int:
    value = row.get(key, default)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise Wrong(f"pid {pid}: {key} {checking.show(value)} is no whole number from {least} to {most}")


def _heat(pid: int, value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= sys.float_info.max:
        return float(value)
    raise Wrong(f"pid {pid}: heat {checking.show(value)} is no number from 0 on")
