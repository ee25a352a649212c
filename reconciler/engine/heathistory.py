"""Which of a workload's memory was used when: a picture of time x address in bounded memory. Pure.

A moment is a row of BINS cells, one byte each: NOTHING, or how much of the data there was used since the moment before
(1 = none, 255 = all). Cells are equal parts of the addresses that hold data, process after process, with the gaps left
out: that is a Layout. Memory comes and goes, so layouts change; each row keeps the one that it was made with, and is
fitted to the newest one when somebody asks. At most 240 rows and 16 layouts: 15 KiB, and with many mappings 40 KiB.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.regions import Addresses, Regions
from reconciler.model import Identity

BINS, MOMENTS, EVERY_S = 64, 240, 15.0
NOTHING = 0
MOST_LAYOUTS, MOST_EXTENTS, MOST_PROCESSES = 16, 64, 32
_BITS = 57  # of an address, with five levels of page tables
_OUTSIDE = 1 / 64  # of the data may have no place before there is a new layout
_TOO_WIDE = 2  # times the addresses that hold data
_MOSTLY = 0.25  # of a cell must have been somewhere before, or it was nothing

Positions = NDArray[np.float64]
Cells = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """A process after a look; `looked` and the regions' times are deciseconds of the same clock."""

    identity: Identity
    regions: Regions
    looked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Sorted disjoint extents of addresses, keyed by the process's number above the address."""

    processes: tuple[Identity, ...] = ()
    start: Addresses = field(default_factory=lambda: np.empty(0, np.uint64))
    end: Addresses = field(default_factory=lambda: np.empty(0, np.uint64))
    before: Positions = field(default_factory=lambda: np.zeros(1))  # bytes before each extent, and in all

    @property
    def size(self) -> float:
        return float(self.before[-1])

    def positions(self, keys: Addresses) -> Positions:
        """Bytes of the layout below each key; a key in a gap is where the gap is."""
        at = np.searchsorted(self.start, keys, side="right") - 1
        mine = np.maximum(at, 0)
        inside = np.minimum(keys, self.end[mine]) - np.minimum(self.start[mine], keys)
        return np.where(at < 0, 0.0, self.before[mine] + inside)

    def keys(self, positions: Positions) -> Addresses:
        at = np.clip(np.searchsorted(self.before, positions, side="right") - 1, 0, len(self.start) - 1)
        result: Addresses = self.start[at] + (positions - self.before[at]).astype(np.uint64)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Moments, oldest first."""

    when: Positions = field(default_factory=lambda: np.zeros(0))  # seconds
    cells: Cells = field(default_factory=lambda: np.zeros((0, BINS), np.uint8))
    which: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))  # index into layouts
    layouts: tuple[Layout, ...] = ()  # oldest first, each with a row


@dataclass(slots=True)
class HeatHistory:
    """One thread samples, others ask: what they read is replaced as a whole."""

    page_size: int
    _rows: Rows = field(default_factory=Rows)
    _layout: Layout = field(default_factory=Layout)
    _at: float = float("-inf")
    _looked: dict[Identity, int] = field(default_factory=dict)  # at the last moment

    def due(self, now: float) -> bool:
        return now - self._at >= EVERY_S

    def sample(self, looked: Sequence[Looked], now: float) -> None:
        """Keep a moment; `now` in seconds on any clock that does not go backwards."""
        self._at = now
        present = [each for each in looked if len(each.regions)][:MOST_PROCESSES]
        if present:
            if not self._fits(present):
                self._layout = _layout(self._layout, present, self.page_size)
            self._rows = _bounded(_appended(self._rows, now, self._layout, self._cells(present)))
            self._looked = {each.identity: each.looked for each in present}

    def document(self, now: float, wall: float) -> dict[str, Any]:
        """Cells of every moment in the newest layout. `wall`: what a wall clock shows `now`."""
        rows = self._rows
        layout = rows.layouts[-1] if rows.layouts else Layout()
        heat = [
            _fitted(cells, rows.layouts[which], layout).tolist()
            for cells, which in zip(rows.cells, rows.which.tolist(), strict=True)
        ]
        return {
            "when": np.round(wall - (now - rows.when), 3).tolist(),
            "size_bytes": int(layout.size),
            "extents": list(_extents(layout)),
            "heat": heat,
        }

    def _fits(self, present: Sequence[Looked]) -> bool:
        layout = self._layout
        if {each.identity for each in present} != set(layout.processes):
            return False
        inside, wide = 0.0, 0.0
        for number, each in _numbered(layout.processes, present):
            start, end = _keys(number, each.regions, self.page_size)
            wide += float((end - start).sum())
            inside += float((layout.positions(end) - layout.positions(start)).sum())
        return wide - inside <= wide * _OUTSIDE and layout.size <= wide * _TOO_WIDE

    def _cells(self, present: Sequence[Looked]) -> Cells:
        """By amounts summed up over the regions' borders, which are cut at the cells' borders."""
        layout = self._layout
        knots, data, used = [np.zeros(1)], [np.zeros(1)], [np.zeros(1)]
        for number, each in _numbered(layout.processes, present):
            start, end = _keys(number, each.regions, self.page_size)
            pages = regions.data_pages(each.regions).astype(np.float64)
            hot = each.regions["changed"] >= self._looked.get(each.identity, each.looked)
            knots.append(np.column_stack((layout.positions(start), layout.positions(end))).ravel())
            data.append(np.column_stack((np.zeros(len(pages)), pages)).ravel())
            used.append(np.column_stack((np.zeros(len(pages)), pages * hot)).ravel())
        borders, at = np.linspace(0, layout.size, BINS + 1), np.concatenate(knots)
        known, hot_pages = (np.diff(np.interp(borders, at, np.cumsum(np.concatenate(each)))) for each in (data, used))
        share = np.clip(hot_pages / np.maximum(known, 1e-9), 0, 1)
        return np.where(known > 1e-3, 1 + np.round(254 * share), NOTHING).astype(np.uint8)


def _numbered(processes: Sequence[Identity], present: Sequence[Looked]) -> Iterator[tuple[int, Looked]]:
    by_identity = {each.identity: each for each in present}
    return ((number, by_identity[one]) for number, one in enumerate(processes) if one in by_identity)


def _keys(number: int, mine: Regions, page_size: int) -> tuple[Addresses, Addresses]:
    above = np.uint64(number << _BITS)
    return mine["start"] + above, regions.ends(mine, page_size) + above


def _layout(old: Layout, present: Sequence[Looked], page_size: int) -> Layout:
    """Processes keep their order, new ones follow; extents that hold nothing now stay while they are not too many."""
    here = {each.identity for each in present}
    known = [one for one in old.processes if one in here]
    order = (*known, *(each.identity for each in present if each.identity not in known))
    keys = [_keys(number, each.regions, page_size) for number, each in _numbered(order, present)]
    now = regions.merged(np.concatenate([start for start, _ in keys]), np.concatenate([end for _, end in keys]))
    both = regions.merged(*(np.concatenate(pair) for pair in zip(now, _renumbered(old, order), strict=True)))
    start, end = _few(*(both if _wide(*both) <= _TOO_WIDE * _wide(*now) else now))
    before = np.concatenate(([0.0], np.cumsum((end - start).astype(np.float64))))
    return Layout(processes=order, start=start, end=end, before=before)


def _wide(start: Addresses, end: Addresses) -> float:
    return float((end - start).sum())


def _renumbered(old: Layout, order: Sequence[Identity]) -> tuple[Addresses, Addresses]:
    """Extents of the processes that are still there."""
    numbers = {one: number for number, one in enumerate(order)}
    owner = (old.start >> np.uint64(_BITS)).astype(np.int64)
    shift = [numbers.get(one, -1) for one in old.processes]
    kept = np.array([shift[number] >= 0 for number in owner.tolist()], np.bool_)
    above = np.array([(shift[number] << _BITS) for number in owner[kept].tolist()], np.uint64)
    low = np.uint64((1 << _BITS) - 1)
    # An extent's end may be the first address above its process's: only its length is safe to carry over.
    start = (old.start[kept] & low) + above
    return start, start + (old.end[kept] - old.start[kept])


def _few(start: Addresses, end: Addresses) -> tuple[Addresses, Addresses]:
    """Extents with small gaps between them are one; the largest gaps, those between processes first, stay."""
    if len(start) <= MOST_EXTENTS:
        return start, end
    cut = np.sort(np.argsort(start[1:] - end[:-1], kind="stable")[-(MOST_EXTENTS - 1) :]) + 1
    return start[np.append(0, cut)], end[np.append(cut - 1, len(end) - 1)]


def _fitted(cells: Cells, old: Layout, new: Layout) -> Cells:
    """A row in another layout: the mean of what was in each cell's addresses."""
    if old is new:
        return cells
    at = _old_positions(np.linspace(0, new.size, BINS + 1), old, new) / (old.size / BINS)
    ticks, full = np.arange(BINS + 1), cells != NOTHING
    summed = np.diff(np.interp(at, ticks, np.append(0, np.cumsum(cells.astype(np.float64)))))
    known = np.diff(np.interp(at, ticks, np.append(0, np.cumsum(full))))
    mean = np.round(summed / np.maximum(known, 1e-9))
    return np.where(known >= _MOSTLY * min(new.size / old.size, 1), np.clip(mean, 1, 255), NOTHING).astype(np.uint8)


def _old_positions(borders: Positions, old: Layout, new: Layout) -> Positions:
    """Where the new borders are in the old layout; processes that it does not have come after all that it has."""
    keys = new.keys(borders)
    numbers = {one: number for number, one in enumerate(old.processes)}
    shift = np.array([numbers.get(one, -1) for one in new.processes], np.int64)
    extent = np.clip(np.searchsorted(new.start, keys, side="right") - 1, 0, None)
    owner = (new.start[extent] >> np.uint64(_BITS)).astype(np.int64)
    address = keys - (owner.astype(np.uint64) << np.uint64(_BITS))
    there = shift[owner] >= 0
    mine = address + (np.maximum(shift[owner], 0).astype(np.uint64) << np.uint64(_BITS))
    return np.maximum.accumulate(np.where(there, old.positions(mine), old.size))


def _appended(rows: Rows, now: float, layout: Layout, cells: Cells) -> Rows:
    """With a moment more; the oldest go, and so do layouts that have no row any more."""
    layouts = rows.layouts if rows.layouts and rows.layouts[-1] is layout else (*rows.layouts, layout)
    which = np.append(rows.which, np.uint8(len(layouts) - 1))[-MOMENTS:]
    return Rows(
        when=np.append(rows.when, now)[-MOMENTS:],
        cells=np.concatenate([rows.cells, cells[None]])[-MOMENTS:],
        which=which - which[0],
        layouts=layouts[int(which[0]) :],
    )


def _bounded(rows: Rows) -> Rows:
    """The oldest layout goes when there are too many: its rows are fitted to the next."""
    if len(rows.layouts) <= MOST_LAYOUTS:
        return rows
    oldest, following = rows.layouts[:2]
    cells = rows.cells.copy()
    for index in np.flatnonzero(rows.which == 0).tolist():
        cells[index] = _fitted(cells[index], oldest, following)
    which = np.maximum(rows.which, 1) - np.uint8(1)
    return Rows(when=rows.when, cells=cells, which=which, layouts=rows.layouts[1:])


def _extents(layout: Layout) -> Iterator[dict[str, int]]:
    for start, end, before in zip(layout.start.tolist(), layout.end.tolist(), layout.before.tolist(), strict=False):
        number = start >> _BITS
        above = number << _BITS
        pid = layout.processes[number][0]
        yield {"pid": pid, "start": start - above, "end": end - above, "from_bytes": int(before)}
