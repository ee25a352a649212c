"""When page-out stops by itself, and why: a workload that pays for our work with its own speed is left alone.

Three things are read back: memory stall of the workload (PSI), how much of what left came back within a minute, and
how full swap is. The first two hold for every kind of page, the third for anonymous memory only.
"""

from dataclasses import dataclass, replace

from reconciler.model import BrakeLimits

WINDOW_S = 60.0
_FEW = 1 << 20  # bytes that may come back unnoticed: one stray page of few is a large percentage
_LONGEST_HOLD_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What was read back."""

    stall_percent: float = 0.0  # of the time since the last reading in which some task waited for memory
    out_bytes: int = 0  # paged out by us and still away
    came_back_bytes: int = 0  # within the last minute
    swap_total_bytes: int = 0
    swap_free_bytes: int = 0
    swap_limit_bytes: int | None = None  # memory.swap.max of the workload or above it; None = no limit
    swap_used_bytes: int = 0  # memory.swap.current of the workload


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """After a brake page-out rests; each time it is needed again soon, it rests twice as long."""

    until: float = 0.0
    seconds: float = WINDOW_S
    reason: str = ""


def hurts(limits: BrakeLimits, signals: Signals) -> str:
    """Why nothing at all should be paged out, "" if it may be."""
    if limits.pressure_percent < 100 and signals.stall_percent >= limits.pressure_percent:
        return (
            f"memory pressure: tasks waited for memory {signals.stall_percent:.1f} % of the time "
            f"(limit {limits.pressure_percent:g} %)"
        )
    back = refault_percent(signals)
    if limits.refault_percent < 100 and back >= limits.refault_percent and signals.came_back_bytes > _FEW:
        return f"refaults: {back:.1f} % of what was out came back within a minute (limit {limits.refault_percent:g} %)"
    if 0 in {limits.pressure_percent, limits.refault_percent}:
        return "a limit of the brakes is 0 %: nothing is ever paged out"
    return ""


def refault_percent(signals: Signals) -> float:
    """How much of what was away in the last minute came back."""
    away = signals.out_bytes + signals.came_back_bytes
    return 100 * signals.came_back_bytes / away if away else 0.0


def swap_closed(limits: BrakeLimits, signals: Signals) -> str:
    """Why anonymous memory cannot or should not go to swap, "" if it may."""
    if signals.swap_total_bytes == 0:
        return "no swap on this node: anonymous memory cannot leave (add a swap device, for example zram)"
    if signals.swap_limit_bytes == 0:
        return "memory.swap.max is 0: the workload's anonymous memory cannot leave (allowswap: true opens it)"
    if signals.swap_limit_bytes is not None and signals.swap_used_bytes >= signals.swap_limit_bytes:
        return f"memory.swap.max is reached: {signals.swap_used_bytes} bytes are in swap"
    used = 100 * (1 - signals.swap_free_bytes / signals.swap_total_bytes)
    if limits.swap_used_percent < 100 and used >= limits.swap_used_percent:
        return f"swap is {used:.0f} % full (limit {limits.swap_used_percent:g} %)"
    return ""


def hold(before: Hold, reason: str, now: float) -> Hold:
    """What holds after a look at the signals: a new brake, the rest of the old one, or none."""
    if now < before.until:
        return before
    if reason:
        soon = before.until > 0 and now - before.until < before.seconds
        seconds = min(before.seconds * 2, _LONGEST_HOLD_S) if soon else WINDOW_S
        return Hold(until=now + seconds, seconds=seconds, reason=reason)
    return replace(before, reason="")
