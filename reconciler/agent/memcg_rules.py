"""When a cgroup's memory is aged and evicted, how much at a time, and why it stops.

The rules are mem-agent's (docs/agent-memcg.md), with its words for the reasons; what is ours is marked. Amounts are
pages unless a name says bytes, differences are signed, and counters never fall.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from reconciler.agentconfig import MemcgConfig, MemcgOverride, MemcgProfile
from reconciler.report import EvictionReport

ALL_NODES = -1  # the node of what cannot be told apart by nodes
GENERATIONS = 4  # the oldest of so many was not used for three agings
SWAP_SPARE = 256  # pages: with no more swap than this, anonymous memory stays
BATCH_BYTES = 4 << 20  # of one command: about 40 ms to slow swap, and so long pressure goes unnoticed
KERNEL_BATCH = 64  # pages: the kernel takes no fewer at once
FILE_ONLY, ANON_FIRST = 0, 200
MAX_SWAPPINESS = 200
RETURNED_PERCENT = 5.0  # of what one eviction took: if more comes back meanwhile, it stops
REGRETTED_PERCENT = 25.0  # and if more has come back by the next pass, that pass takes nothing
_FEW_BYTES = 1 << 20  # a large percentage of little says nothing
_SHORTEST_S = 1.0


class Reason(StrEnum):
    """Why an eviction ended."""

    NONE = "None"  # not four generations: the oldest one is empty now, the usual end
    NO_MIN_LRU = "NoMinLru"  # nothing in the oldest generation that may be taken
    MIN_LRU_INC = "MinLruInc"  # a command took nothing
    PSI = "PsiExceedsLimit"
    ERROR = "GetError"
    PASS_BYTES = "PassBytes"  # noqa: S105  ours, from here on
    PASS_SECS = "PassSecs"  # noqa: S105
    REFAULT = "Refault"
    CHANGED = "Changed"  # the configuration, or we are ending
    OBSERVED = "Observed"  # would have been done


# -- which profile -----------------------------------------------------------------------------------------------------


class Profiles:
    """Nearest ancestor first, entries that name the node before those that name none, then the default."""

    def __init__(self, config: MemcgConfig) -> None:
        self.default = config.profile
        self._entries: dict[str, list[MemcgOverride]] = {}
        for entry in sorted(config.cgroups, key=lambda entry: not entry.numa_id):
            self._entries.setdefault(entry.path.rstrip("/") or "/", []).append(entry)

    def of(self, path: str, node: int) -> MemcgProfile:
        for place in upwards(path):
            for entry in self._entries.get(place, ()):
                if (node in entry.numa_id or not entry.numa_id) and (place == path or not entry.no_subdir):
                    return entry.profile
        return self.default

    def periods(self) -> frozenset[float]:
        """Of all profiles that are not disabled, seconds."""
        entries = (entry.profile for several in self._entries.values() for entry in several)
        return frozenset(period(one) for one in (self.default, *entries) if not one.disabled)


def upwards(path: str) -> Iterator[str]:
    """The path, its ancestors, and the root."""
    while path.strip("/"):
        yield path
        path = path.rpartition("/")[0]
    yield "/"


def period(profile: MemcgProfile) -> float:
    return max(profile.period_secs, _SHORTEST_S)


# -- when --------------------------------------------------------------------------------------------------------------


class Timers:
    """One for each period in use. A new one is due at once, others keep their time whatever else changes."""

    def __init__(self) -> None:
        self._due: dict[float, float] = {}

    def due(self, periods: frozenset[float], now: float) -> frozenset[float]:
        self._due = {each: self._due.get(each, now) for each in periods}
        return frozenset(each for each, at in self._due.items() if at <= now)

    def rest(self, periods: frozenset[float], now: float, most: float = math.inf) -> None:
        """Those have run; they come again after their period, or sooner if `most` is less."""
        self._due |= {each: now + min(each, most) for each in periods if each in self._due}

    def next(self) -> float:
        return min(self._due.values(), default=math.inf)

    def of(self, wanted: float) -> float:
        return self._due.get(wanted, math.inf)


def too_young(age_ms: int, least_secs: float) -> bool:
    """Whether somebody, perhaps reclaim itself, has just aged: again so soon would only blur what is cold."""
    return age_ms < least_secs * 1000


# -- one eviction ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Oldest:
    """What a look at one cgroup and node shows: its oldest generation, and the numbers of oldest and youngest."""

    number: int
    youngest: int
    anon: int
    file: int

    @property
    def pages(self) -> int:
        return self.anon + self.file


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Of one eviction."""

    last: Oldest | None = None  # None before the first command
    only_swap: bool = False  # decided by the first look: there was no page cache in it
    released: int = 0  # from the oldest generation; signed, for it may grow, too
    commands: int = 0

    @property
    def pages(self) -> int:
        return max(self.released, 0)


def look(before: Progress, seen: Oldest, *, swap: bool) -> tuple[Progress, Reason | None]:
    """What is so after a look, and why to stop, None if nothing but pressure and limits speaks against going on.

    `swap`: anonymous memory is wanted and there is room for it.
    """
    if before.last is not None:
        before = replace(before, released=before.released + _released(before.last, seen))
    after = replace(before, last=seen, only_swap=_only_swap(before, seen, swap=swap))
    return after, _stop(before.last, after, swap=swap)


def _only_swap(before: Progress, seen: Oldest, *, swap: bool) -> bool:
    return before.only_swap if before.last is not None else swap and seen.file == 0


def _stop(last: Oldest | None, after: Progress, *, swap: bool) -> Reason | None:
    seen = after.last
    assert seen is not None
    if seen.youngest - seen.number + 1 != GENERATIONS or (last and seen.number != last.number):
        return Reason.NONE
    if last and seen.file >= last.file and seen.anon >= last.anon:
        return Reason.MIN_LRU_INC
    takable = (seen.anon if swap else 0) if after.only_swap else seen.file
    return None if takable else Reason.NO_MIN_LRU


def _released(last: Oldest, seen: Oldest) -> int:
    """Pages that the oldest generation lost. If the next one is the oldest now, it lost all, unless aging merged it."""
    if seen.number == last.number:
        return last.pages - seen.pages
    return last.pages if seen.youngest == last.youngest else 0


def swappiness(progress: Progress, maximum: int, *, swap: bool) -> int:
    """In proportion to the anonymous share of the oldest generation, halves rounded up, and at most `maximum`."""
    seen = progress.last
    assert seen is not None
    if progress.only_swap:
        return ANON_FIRST
    if not swap or not seen.anon:
        return FILE_ONLY
    return min(math.floor(MAX_SWAPPINESS * seen.anon / seen.pages + 0.5), maximum, MAX_SWAPPINESS)


def amount(progress: Progress, swappiness: int, page_size: int, most_bytes: int = 0) -> int:
    """How many pages the next command asks for: a batch, never more than the oldest generation shows.

    Of both kinds the kernel may take all from one, and go on in a younger generation when that kind has run out in the
    oldest; so as many as there are of the rarer kind, but no fewer than it takes anyway. `most_bytes`: what is left of
    a limit, 0 = there is none.
    """
    seen = progress.last
    assert seen is not None
    batch = max(BATCH_BYTES // page_size, 1)
    if most_bytes:
        batch = min(batch, max((most_bytes - progress.pages * page_size) // page_size, 1))
    if swappiness == FILE_ONLY:
        return min(batch, seen.file)
    if progress.only_swap:
        return min(batch, seen.anon)
    return min(batch, seen.pages, max(min(seen.file, seen.anon), KERNEL_BATCH))


def takable(progress: Progress, *, swap: bool) -> int:
    """All that the oldest generation has to give."""
    seen = progress.last
    assert seen is not None
    return seen.pages if swap else seen.file


def returned(taken_bytes: int, back_bytes: int, percent: float) -> str:
    """Why to take no more, from how much came back of what was taken; "" if there is no reason."""
    if back_bytes <= _FEW_BYTES or not taken_bytes or 100 * back_bytes <= percent * taken_bytes:
        return ""
    return f"refaults: {back_bytes} bytes came back beside {taken_bytes} taken (limit {percent:g} %)"


# -- counters ----------------------------------------------------------------------------------------------------------

_COUNTERS: Mapping[Reason, str] = {
    Reason.NONE: "other_error",
    Reason.NO_MIN_LRU: "no_min_lru_file",
    Reason.MIN_LRU_INC: "min_lru_inc",
    Reason.PSI: "psi_exceeds_limit",
    Reason.ERROR: "error",
    Reason.PASS_BYTES: "pass_bytes",
    Reason.PASS_SECS: "pass_secs",
    Reason.REFAULT: "refault",
}


def counted(before: EvictionReport, reason: Reason, pages: int) -> EvictionReport:
    """One more eviction that has ended."""
    after = replace(before, page=before.page + max(pages, 0))
    name = _COUNTERS.get(reason)
    return replace(after, **{name: getattr(after, name) + 1}) if name else after
