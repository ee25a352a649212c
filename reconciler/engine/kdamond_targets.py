"""Which process has which place in a kdamond, and what of its address space is looked at first. Pure."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from reconciler.engineconfig import DamonConfig
from reconciler.model import Identity
from sysfs.damon_scheme import Spans, Target
from sysfs.maps import Maps

PHYSICAL: Identity = (0, 0, ())  # stands for physical memory among processes
_MOST_SPANS = 32  # DAMON wants few first regions: it splits them itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """How a kdamond monitors; users who want the same share one."""

    operations: str = "vaddr"
    sample_us: int = 50_000
    aggregation_us: int = 1_000_000
    update_us: int = 1_000_000
    min_regions: int = 10
    max_regions: int = 1000  # for each user
    largest_bytes: int = -1  # of a region that is believed; -1 = any
    auto_tune: bool = False
    page_exact: bool = False


def attributes(config: DamonConfig, operations: str = "vaddr") -> Attributes:
    """As the class says."""
    return Attributes(
        operations=operations,
        sample_us=config.sampling_us,
        aggregation_us=max(config.aggregation_us, config.sampling_us),  # the kernel refuses less
        update_us=config.regions_update_us,
        min_regions=max(config.min_regions, 3),  # the kernel refuses fewer
        max_regions=max(config.max_regions, config.min_regions, 3),
        largest_bytes=config.range_size_max,
        auto_tune=config.auto_tune,
        page_exact=config.page_exact,
    )


def spans(mapped: Maps, most: int = _MOST_SPANS) -> Spans:
    """A process's mappings as at most so many ranges: only the smallest gaps between them are covered."""
    if not len(mapped):
        return ()
    start, end = mapped.start, mapped.end
    gaps = (start[1:] - end[:-1]).astype(np.int64)
    widest = np.sort(np.argsort(gaps, kind="stable")[::-1][: most - 1])
    kept = widest[gaps[widest] > 0]
    first, last = np.append(0, kept + 1), np.append(kept, len(start) - 1)
    return tuple(zip(start[first].tolist(), end[last].tolist(), strict=True))


def extent(of: Spans) -> int:
    """Bytes that DAMON covers in a process: all but the two widest gaps (Documentation/mm/damon/design.rst)."""
    if not of:
        return 0
    gaps = sorted(after - before for (_, before), (after, _) in pairwise(of))
    return of[-1][1] - of[0][0] - sum(gaps[-2:])


def least_regions(attributes: Attributes, total: int, most: int) -> int:
    """So many that the kernel, which merges up to total / min, keeps idle regions small enough to be believed.

    Twice as many as needed: it counts what we do not follow, too.
    """
    needed = -(-2 * total // attributes.largest_bytes) if attributes.largest_bytes > 0 else 0
    return max(attributes.min_regions, min(needed, most // 2))


def pieces(of: Spans, attributes: Attributes) -> Spans:
    """Ranges cut so that what is known first can be believed, unless that were too many."""
    most = attributes.largest_bytes // 2
    if most <= 0 or extent(of) > most * attributes.max_regions // 4:
        return of
    return tuple((at, min(at + most, end)) for start, end in of for at in range(start, end, most))


def arrange(current: Sequence[Identity], wanted: Collection[Identity]) -> list[Identity]:
    """Who stays keeps his place; newcomers fill holes, then the last do: before Linux 6.19 only the end can be cut."""
    places = [each if each in wanted else None for each in current]
    new = [each for each in wanted if each not in current]
    for number, each in enumerate(places):
        if each is None and new:
            places[number] = new.pop(0)
    places += new
    while None in places:
        last = places.pop()
        if last is not None:
            places[places.index(None)] = last
    return [each for each in places if each is not None]


def moved(current: Sequence[Identity], slots: Sequence[Identity], known: Mapping[Identity, Spans]) -> list[Target]:
    """Targets of a kdamond that has `current` and shall have `slots`: who keeps his place keeps what is learned."""
    kept = [number < len(current) and current[number] == each for number, each in enumerate(slots)]
    pairs = zip(slots, kept, strict=True)
    return [Target(pid=each[0], regions=() if keeps else known[each]) for each, keeps in pairs]


def removed(current: Sequence[Identity], wanted: Mapping[Identity, Spans]) -> tuple[list[Target], list[Identity]]:
    """The same where targets may leave from the middle (Linux 6.19): nobody moves.

    Even of a target that leaves the kernel wants the pid of a process that is there, whosever.
    """
    anybody = next(iter(wanted))[0]
    new = [each for each in wanted if each not in current]
    targets = [Target(pid=each[0]) if each in wanted else Target(pid=anybody, obsolete=True) for each in current]
    targets += [Target(pid=each[0], regions=wanted[each]) for each in new]
    return targets, [each for each in current if each in wanted] + new
