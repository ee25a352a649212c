"""Which swap area is made or goes next: pure. docs/agent-swap.md says the same in words.

An area is a swap file or a zram device. Areas are made until all of ours together are the wanted share of the node's
memory, and they go when the rest is enough. Nothing goes while what is in it might not fit elsewhere: swapoff(2) brings
every page back into memory, into the cgroup that owns it, or pushes others into the swap that stays.
"""

from dataclasses import dataclass, replace
from math import inf

from reconciler.agentconfig import SwapConfig
from reconciler.quantities import human_bytes

MIB = 1 << 20
SLACK = 32  # areas that lack less than this part of the target are enough
LARGEST = 1 << 40  # of one area
MOST_AREAS = 16  # the kernel has room for about 28 areas of all makers
LOOK_S = 10.0  # how soon a change of the memory's size is noticed, at least
RETRY_S, LONGEST_RETRY_S = 120.0, 3600.0
RESERVE_PART, RESERVE_BYTES = 20, 64 * MIB  # of memory, never to be filled by what comes back from swap
FULL = 0.8  # of the swap that stays; systemd-oomd kills from 0.9 on


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """One of ours that is in use."""

    name: str  # of the file, or of the device
    size_bytes: int
    used_bytes: int = 0
    wanted: bool = True  # of the configured kind, in the configured place


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A cgroup with a memory limit and something in swap."""

    cgroup: str
    limit_bytes: int
    memory_bytes: int
    cache_bytes: int  # of that, files that can be read again, and what is in swap as well
    swap_bytes: int

    def over(self, size: int) -> int:
        """Bytes that it cannot hold when `size` bytes of its swap, or all, come back."""
        return max(self.memory_bytes - self.cache_bytes + min(self.swap_bytes, size) - self.limit_bytes, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The node, as it is now."""

    memory_bytes: int  # in all
    available_bytes: int
    areas: tuple[Area, ...] = ()
    other_bytes: int = 0  # swap that is not ours
    other_used_bytes: int = 0
    crowds: tuple[Crowd, ...] = ()
    room_bytes: int | None = None  # free where files would be; None = no matter
    refusal: str = ""  # why nothing can be made there


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What is remembered from one look to the next."""

    memory_bytes: int = 0
    since: float = 0.0  # when memory took this size
    failures: int = 0  # in a row
    retry_at: float = -inf
    problem: str = ""  # what failed last


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """Nothing to do before `until`; `reason`: what we wait for, "" = all is as it should be."""

    until: float
    reason: str = ""


Step = Make | Remove | Rest


# -- from look to look -------------------------------------------------------------------------------------------------


def looked(state: State, memory_bytes: int, now: float) -> State:
    """Memory of another size than before is waited for again, and what failed before may succeed now."""
    return state if state.memory_bytes == memory_bytes else State(memory_bytes=memory_bytes, since=now)


def succeeded(state: State) -> State:
    return replace(state, failures=0, retry_at=-inf, problem="")


def failed(state: State, problem: str, now: float) -> State:
    """Again after two minutes, then four, an hour at most."""
    wait = min(RETRY_S * 2 ** min(state.failures, 10), LONGEST_RETRY_S)
    return replace(state, failures=state.failures + 1, retry_at=now + wait, problem=problem)


def look_seconds(config: SwapConfig) -> float:
    return min(LOOK_S, max(config.guest_swap_create_threshold_secs / 4, 1.0))


# -- how much ----------------------------------------------------------------------------------------------------------


def target(config: SwapConfig | None, memory_bytes: int) -> int:
    """Bytes of all our areas together, whole MiB; None = we shall have none."""
    return int(memory_bytes * config.guest_swap_size_percent / 100) // MIB * MIB if config else 0


def missing(config: SwapConfig | None, seen: Seen) -> int:
    """Bytes of the area to make, 0 = none.

    A single area of twice the target or more is replaced: the smaller one comes first, then the large one can go.
    """
    wanted = target(config, seen.memory_bytes)
    have = [area.size_bytes for area in seen.areas if area.wanted]
    total = sum(have)
    if total < wanted and (not total or total + wanted // SLACK < wanted):
        return min(wanted - total, LARGEST)
    return wanted if len(have) == 1 and wanted and total >= 2 * wanted else 0


def surplus(config: SwapConfig | None, seen: Seen) -> tuple[Area, ...]:
    """Areas that may go, in the order in which to try.

    Of areas in the right place only the largest that can be spared: a smaller one would have to be made again.
    """
    wanted = target(config, seen.memory_bytes)
    have = [area for area in seen.areas if area.wanted]
    total = sum(area.size_bytes for area in have)
    if not wanted:
        return _emptiest_first(seen.areas)
    if misplaced := [area for area in seen.areas if not area.wanted]:
        return _emptiest_first(misplaced) if total and total + wanted // SLACK >= wanted else ()
    spare = [area for area in have if total - area.size_bytes >= wanted]
    return (max(spare, key=lambda area: (area.size_bytes, area.name)),) if spare else ()


def _emptiest_first(areas: "list[Area] | tuple[Area, ...]") -> tuple[Area, ...]:
    return tuple(sorted(areas, key=lambda area: (area.used_bytes, area.name)))


# -- whether it may go -------------------------------------------------------------------------------------------------


def reserve(memory_bytes: int) -> int:
    """Bytes of memory that must still be available after a removal; while one is under way, half of them."""
    return max(memory_bytes // RESERVE_PART, RESERVE_BYTES)


def obstacle(config: SwapConfig | None, seen: Seen, area: Area, reserve_bytes: int) -> str:
    """Why what is in the area might not fit elsewhere; "" = it does. Areas that are to go, too, do not count."""
    elsewhere = _room_elsewhere(config, seen, area)
    memory = max(seen.available_bytes - reserve_bytes, 0)
    if area.used_bytes > memory + elsewhere:
        return (
            f"{area.name} stays: {human_bytes(area.used_bytes)} are in it, there is room for {human_bytes(memory)} in "
            f"memory ({human_bytes(reserve_bytes)} are left alone) and {human_bytes(elsewhere)} in other swap"
        )
    return _crowded(seen, area, elsewhere)


def _crowded(seen: Seen, area: Area, elsewhere: int) -> str:
    """Memory that comes back counts for its cgroup; one at its limit would have a process killed."""
    over = {crowd.cgroup: crowd.over(area.used_bytes) for crowd in seen.crowds}
    if sum(over.values()) <= elsewhere:
        return ""
    worst = max(seen.crowds, key=lambda crowd: (over[crowd.cgroup], crowd.cgroup))
    return (
        f"{area.name} stays: cgroup {worst.cgroup} has {human_bytes(worst.swap_bytes)} in swap and would pass its "
        f"memory limit of {human_bytes(worst.limit_bytes)} by {human_bytes(over[worst.cgroup])}"
    )


def _room_elsewhere(config: SwapConfig | None, seen: Seen, area: Area) -> int:
    """In swap that stays, filled up to four fifths."""
    leaving = {each.name for each in surplus(config, seen)} | {area.name}
    staying = [each for each in seen.areas if each.name not in leaving]
    size = seen.other_bytes + sum(each.size_bytes for each in staying)
    used = seen.other_used_bytes + sum(each.used_bytes for each in staying)
    return max(int(size * FULL) - used, 0)


# -- what to do --------------------------------------------------------------------------------------------------------


def next_step(config: SwapConfig | None, state: State, seen: Seen, now: float) -> Step:
    """One thing at a time; look again after it."""
    again = now + (look_seconds(config) if config else LOOK_S)
    if config and (wait := state.since + config.guest_swap_create_threshold_secs - now) > 0:
        said = f"memory has had {human_bytes(seen.memory_bytes)} for {now - state.since:.0f} s"
        return Rest(until=min(again, now + wait), reason=f"{said}, wait for {now - state.since + wait:.0f} s")
    if state.retry_at > now:
        return Rest(until=min(state.retry_at, again), reason=f"{state.problem}; again in {state.retry_at - now:.0f} s")
    keep = reserve(seen.memory_bytes)
    obstacles = {area.name: obstacle(config, seen, area, keep) for area in surplus(config, seen)}
    for name, why in obstacles.items():
        if not why:
            return Remove(name=name)
    if size := missing(config, seen):
        why = _hindrance(config, seen, size)
        return Rest(until=again, reason=why) if why else Make(size_bytes=size)
    return Rest(until=again if config or obstacles else inf, reason=next(iter(obstacles.values()), ""))


def _hindrance(config: SwapConfig | None, seen: Seen, size: int) -> str:
    """Why an area of that size cannot be made now."""
    if seen.refusal or config is None:
        return seen.refusal
    if len(seen.areas) >= MOST_AREAS:
        return f"{len(seen.areas)} areas are the most that we make; release them, and one large one takes their place"
    need = size + config.keep_free_bytes
    if seen.room_bytes is not None and seen.room_bytes < need:
        return (
            f"a swap file of {human_bytes(size)} needs {human_bytes(need)} free there, to keep "
            f"{human_bytes(config.keep_free_bytes)}; {human_bytes(seen.room_bytes)} are free"
        )
    return ""
