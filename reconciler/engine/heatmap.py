"""How hot a process's memory is: address ranges that never overlap, in columns, 40 bytes each.

Heat is per page. What a tracker counts adds to it, time takes it away: `retention` of it is left after a second. A
whole round of counts is one update: old and new ranges are split at each other's borders, and

    heat = new + old * retention ^ (seconds since the old one's update), at most heat_max

Ranges that were not counted keep their heat and the time it is of, and cool when they are read. Borders that mappings
left behind when they changed go again, once the heats on their two sides are alike.

Times are nanoseconds, of whatever clock the caller uses.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.regions import Addresses
from reconciler.engineconfig import HeatmapConfig

HEAT = np.dtype(
    [
        ("start", np.uint64),
        ("pages", np.uint64),  # of address space
        ("heat", np.float64),
        ("created", np.int64),
        ("updated", np.int64),
    ]
)
assert HEAT.itemsize == 40

Ranges = NDArray[np.void]  # sorted by address, disjoint
Heats = Mapping[int, Ranges]  # by pid
Degrees = NDArray[np.float64]
Index = NDArray[np.intp]
NOBODY = -1
UNKNOWN = -1  # class of a region whose heat is NaN
_LEVELS = 1024  # heats of one of so many equal steps are alike


def none() -> Ranges:
    return np.empty(0, HEAT)


def ends(ranges: Ranges, page_size: int) -> Addresses:
    result: Addresses = ranges["start"] + ranges["pages"] * np.uint64(page_size)
    return result


def counted(start: Addresses, pages: NDArray[np.integer], seen: NDArray[np.integer], now: int, most: float) -> Ranges:
    """One round of counts (sorted by address, disjoint) as heats: what was seen, spread over the range's pages."""
    result = np.empty(len(start), HEAT)
    result["start"], result["pages"] = start, pages
    result["heat"] = np.minimum(seen / np.maximum(pages, 1), most)
    result["created"] = result["updated"] = now
    return result


def update(old: Ranges, new: Ranges, config: HeatmapConfig, page_size: int) -> Ranges:
    """The map after a round of counts: old ranges, warmed where there are new ones."""
    if _same_borders(old, new):
        return _warmed(old, new, config)
    result, mine, theirs = _pieces(old, new, page_size)
    both = (mine != NOBODY) & (theirs != NOBODY)
    _fill(result, theirs == NOBODY, old, mine)
    _fill(result, mine == NOBODY, new, theirs)
    _fill(result, both, new, theirs)
    met = old[mine[both]]
    left = cooled(met, result["updated"][both], config.retention)
    result["heat"][both] = np.minimum(result["heat"][both] + left, config.heat_max)
    result["created"][both] = met["created"]
    return result


def _fill(result: Ranges, where: NDArray[np.bool_], source: Ranges, row: Index) -> None:
    if where.any():
        for name in ("heat", "created", "updated"):
            result[name][where] = source[name][row[where]]


def _warmed(old: Ranges, new: Ranges, config: HeatmapConfig) -> Ranges:
    """Row by row: the same ranges before and after they were counted."""
    result = new.copy()
    left = cooled(old, new["updated"], config.retention)
    result["heat"] = np.minimum(new["heat"] + left, config.heat_max)
    result["created"] = old["created"]
    return result


def cooled(ranges: Ranges, now: NDArray[np.int64] | int, retention: float) -> Degrees:
    """The heats as they are now."""
    seconds = np.maximum(now - ranges["updated"], 0) / 1e9
    if len(seconds) and (seconds == seconds[0]).all():  # the usual case: one power for all
        seconds = seconds[:1]
    result: Degrees = ranges["heat"] * np.power(retention, seconds)
    return result


def inside(ranges: Ranges, regions: Ranges, page_size: int) -> Ranges:
    """Those that lie in one of the regions, with which they were updated: so none crosses a border."""
    if _same_borders(ranges, regions):
        return ranges
    result: Ranges = ranges[_owner(regions["start"], ends(regions, page_size), ranges["start"]) != NOBODY]
    return result


def joined(ranges: Ranges, regions: Ranges, config: HeatmapConfig, page_size: int) -> Ranges:
    """Neighbours in the same region as one range, if their heats are alike: the heat is the pages' mean.

    All `ranges` lie inside the regions.
    """
    if len(ranges) == len(regions):
        return ranges
    level = np.minimum(ranges["heat"] / config.heat_max * _LEVELS, _LEVELS - 1).astype(np.int64)
    owner = np.searchsorted(regions["start"], ranges["start"], side="right")
    apart = (owner[1:] != owner[:-1]) | (level[1:] != level[:-1]) | (ranges["updated"][1:] != ranges["updated"][:-1])
    apart |= ends(ranges, page_size)[:-1] != ranges["start"][1:]
    first = np.flatnonzero(np.append(True, apart))
    result = ranges[first]
    result["pages"] = np.add.reduceat(ranges["pages"], first)
    result["heat"] = np.add.reduceat(ranges["heat"] * ranges["pages"], first) / result["pages"]
    result["created"] = np.minimum.reduceat(ranges["created"], first)
    return result


def of(regions: Ranges, ranges: Ranges, page_size: int) -> Degrees:
    """The mean heat of each region's pages, as far as it is known; NaN where nothing is."""
    if _same_borders(regions, ranges):
        return ranges["heat"].copy()
    pieces, mine, theirs = _pieces(regions, ranges, page_size)
    both = (mine != NOBODY) & (theirs != NOBODY)
    row, pages = mine[both], pieces["pages"][both]
    known = np.bincount(row, pages, len(regions))
    mean = np.bincount(row, ranges["heat"][theirs[both]] * (pages / known[row]), len(regions))
    return np.where(known > 0, mean, np.nan)


def classes(heat: Degrees, config: HeatmapConfig) -> NDArray[np.int64]:
    """Heat classes from 0, the coldest; UNKNOWN where the heat is."""
    scaled = config.classes * np.nan_to_num(heat, nan=0.0) / config.heat_max
    found = np.clip(scaled, 0, config.classes - 1).astype(np.int64)
    return np.where(np.isnan(heat), UNKNOWN, found)


# -- splitting -------------------------------------------------------------------------------------------------------


def _same_borders(one: Ranges, other: Ranges) -> bool:
    if len(one) != len(other):
        return False
    return bool((one["start"] == other["start"]).all() and (one["pages"] == other["pages"]).all())


def _pieces(one: Ranges, other: Ranges, page_size: int) -> tuple[Ranges, Index, Index]:
    """Both, split at each other's borders (only start and pages are set), and of which row of each a piece is part."""
    one_ends, other_ends = ends(one, page_size), ends(other, page_size)
    # Four sorted runs: a stable sort merges them instead of sorting afresh.
    borders = np.sort(np.concatenate((one["start"], one_ends, other["start"], other_ends)), kind="stable")
    borders = borders[np.append(True, borders[1:] != borders[:-1])] if len(borders) else borders
    start = borders[:-1]
    mine, theirs = _owner(one["start"], one_ends, start), _owner(other["start"], other_ends, start)
    owned = (mine != NOBODY) | (theirs != NOBODY)
    result = np.zeros(int(owned.sum()), HEAT)
    result["start"] = start[owned]
    result["pages"] = ((borders[1:] - start) // np.uint64(page_size))[owned]
    return result, mine[owned], theirs[owned]


def _owner(starts: Addresses, stops: Addresses, at: Addresses) -> Index:
    """Which of the ranges each address lies in, or NOBODY."""
    row = np.searchsorted(starts, at, side="right") - 1
    if not len(starts):
        return row
    return np.where((row >= 0) & (at < stops[np.maximum(row, 0)]), row, NOBODY)
