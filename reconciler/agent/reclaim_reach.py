"""What a step of reclaim can get at: anonymous memory only as far as swap and the disk below it allow."""

from dataclasses import dataclass, replace

from reconciler import brakes
from reconciler.agent.reclaim_signals import Signals, Terms
from reconciler.agentconfig import ReclaimConfig
from reconciler.quantities import human_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    size: int
    swappiness: int | None = None  # None = nothing is said, 0 = page cache only


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a step can get at."""

    anon: bool
    swappiness: int | None = None
    budget: int | None = None  # bytes that may be written to swap now; None = no limit
    why: str = ""  # anonymous memory stays
    blocked: bool = False  # it would leave all the same: this kernel cannot be told


def reach(config: ReclaimConfig, terms: Terms, signals: Signals) -> Reach:
    """As oomd does it: less and less anonymous memory as swap fills up, and as the node writes more to it."""
    limits = replace(terms.brakes, swap_used_percent=min(terms.brakes.swap_used_percent, config.swap_used_percent))
    own = config.swappiness if config.swappiness is not None else signals.swappiness
    closed = brakes.swap_closed(limits, signals.brake) or ("" if own else "swappiness is 0")
    share, limiting = _modulated(config, limits.swap_used_percent, signals)
    level = 0 if closed else int(own * share)
    why = closed or ("" if level else limiting)
    if signals.takes_swappiness:
        swappiness = None if level == signals.swappiness else level
        return Reach(anon=level > 0, swappiness=swappiness, budget=_budget(config, signals), why=why)
    open_ = signals.brake.swap_total_bytes > 0 and signals.brake.swap_limit_bytes != 0
    return Reach(anon=level > 0, budget=_budget(config, signals), why=why, blocked=not level and open_)


def _modulated(config: ReclaimConfig, most_used: float, signals: Signals) -> tuple[float, str]:
    total, free = signals.brake.swap_total_bytes, signals.brake.swap_free_bytes
    used = 100 * (1 - free / total) if total else 0.0
    space = 1 - used / most_used if most_used > 0 else 0.0
    rate = max(signals.swapped_60 / 60, signals.swapped_300 / 300)
    limit = config.write_bytes_per_sec if signals.wears else 0
    speed = 1 - rate / limit if limit else 1.0
    said = f"the node writes {human_bytes(int(rate))}/s to swap (limit {human_bytes(limit)}/s)"
    return max(min(space, speed), 0.0), said if speed < space else f"swap is {used:.0f} % full"


def _budget(config: ReclaimConfig, signals: Signals) -> int | None:
    limit = config.write_bytes_per_sec
    if not (signals.wears and limit):
        return None
    return max(min(60 * limit - signals.swapped_60, 300 * limit - signals.swapped_300), 0)


def fitted(signals: Signals, found: Reach, size: int) -> Step:
    """Cut down to what can leave. Where the disk has had enough, page cache alone, if there is as much of it."""
    cache = max(signals.file - signals.dirty, 0)
    if not found.anon:
        return Step(size=min(size, cache), swappiness=found.swappiness)
    if found.budget is not None and found.budget < size:
        if signals.takes_swappiness and cache >= 2 * size:
            return Step(size=size, swappiness=0)
        size = found.budget
    return Step(size=min(size, cache + signals.anon), swappiness=found.swappiness)
