"""Ages beyond the kernel's four generations: what was known of older ones is carried on.

A generation's beginning is a border in time: so many bytes were last used before it. When the kernel makes a new one
it merges the oldest two, and their border is lost, long before memory is old enough to be interesting. So borders are
remembered here. How much is used or leaves from before the oldest that the kernel still has is known; of which age that
was is estimated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from reconciler.agent import coldness
from reconciler.agent.coldness import Amounts

SPACING = 0.05  # of its age: borders that are closer together say nothing more
OLDEST_S = 2 * coldness.EDGES[-1]

Sizes = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Border:
    """A generation of one cgroup on one node began, and `older` bytes were last used before that."""

    number: int  # of the generation
    at: float  # seconds on the clock of whoever looks
    older: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All borders, oldest first, and all bytes."""

    borders: tuple[Border, ...] = ()
    total: int = 0


def ledger(generations: Sequence[tuple[int, float, int]], now: float) -> Ledger:
    """Of the kernel's own view: number, age in seconds and bytes of each generation, oldest first."""
    borders, older = [], 0
    for n, (number, age, size) in enumerate(generations):
        if n:
            borders.append(Border(number=number, at=now - age, older=older))
        older += size
    return Ledger(borders=tuple(borders), total=older)


def continued(before: Ledger, found: Ledger, now: float, evicted: int = 0) -> Ledger:
    """`found`, with the borders that only `before` knows; `evicted` bytes have left memory since then."""
    if not found.borders:
        return found
    first = found.borders[0]
    gone = [each for each in before.borders if each.number < first.number]
    same = next((each.older for each in before.borders if each.number == first.number), before.total)
    sizes = np.diff([0, *(each.older for each in gone), same]).clip(min=0).astype(np.float64)
    ages = now - np.array([*(each.at for each in gone), first.at])
    left = np.cumsum(_lost(sizes, ages, max(same - first.older, 0), evicted))
    kept = [replace(each, older=min(int(size), first.older)) for each, size in zip(gone, left[:-1], strict=True)]
    return replace(found, borders=(*_thinned(kept, first, now), *found.borders))


def _lost(sizes: Sizes, ages: Sizes, lost: float, evicted: float) -> Sizes:
    """What is left between borders, oldest first. Reclaim takes the oldest, and uses are the rarer the older."""
    reclaimed = min(lost, evicted)
    left = sizes - np.diff(np.minimum(np.cumsum(sizes), reclaimed), prepend=0)
    weights = left / np.maximum(ages, 1.0) ** 2
    used = (lost - reclaimed) * weights / max(float(weights.sum()), 1e-30)
    return np.asarray(np.maximum(left - used, 0), np.float64)


def _thinned(borders: Sequence[Border], following: Border, now: float) -> list[Border]:
    """Without those between whose neighbours is little time: what lay before one counts for the next younger."""
    kept: list[Border] = []
    for each, younger in pairwise((*borders, following)):
        age = now - each.at
        if age <= OLDEST_S and (not kept or younger.at - kept[-1].at >= SPACING * age):
            kept.append(each)
    return kept


def amounts(ledgers: Sequence[Ledger], now: float, fresh: float) -> Amounts:
    """Of all ledgers together; what was used since the youngest border counts as just used."""
    pairs: list[tuple[float, int]] = []
    for each in ledgers:
        before = 0
        for border in each.borders:
            pairs.append((now - border.at, max(border.older - before, 0)))
            before = max(border.older, before)
        pairs.append((0.0, each.total - before))
    return coldness.amounts(pairs, fresh)
