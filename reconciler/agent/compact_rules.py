"""When memory is worth compacting: mem-agent's rules, each with its numbers in words.

The rules are those of its code. Its document has the third one the wrong way round: a fall of free memory or a growth
of fragments *starts* a compaction. Before the first one all numbers to compare with are 0.
"""

from dataclasses import dataclass, replace

from reconciler.agentconfig import CompactConfig

FOREVER = (1 << 63) - 1  # compact_force_times from here on is never
MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What is free in one place: a memory node, or all of them."""

    free_bytes: int
    fragments: int  # free movable pages in blocks below compact_order
    at_least: bool = False  # more fragments than the kernel has counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """Right after the last compaction of this place, and how many periods went by without one since."""

    free_bytes: int = 0
    fragments: int = 0
    waited: int = 0

    def again(self) -> "Before":
        """After one more period without a compaction, whatever the reason."""
        return replace(self, waited=self.waited + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    compact: bool
    reason: str
    forced: bool = False


def decide(config: CompactConfig, before: Before, now: Amount, page_size: int) -> Decision:
    """Of a period in which pressure is low enough. Above a limit means above: equal is not."""
    if config.compact_force_times < FOREVER and before.waited >= config.compact_force_times:
        said = f"forced: {before.waited} periods without one, compact_force_times is {config.compact_force_times}"
        return Decision(compact=True, forced=True, reason=said)
    least = before.free_bytes - config.compact_threshold * page_size
    most = before.fragments + config.compact_threshold
    if now.free_bytes < least:
        return Decision(compact=True, reason=f"free memory fell to {_mib(now.free_bytes)}, below {_mib(least)}")
    if now.fragments > most:
        return Decision(compact=True, reason=f"{_fragments(config, now)}, more than {most}")
    calm = f"{_fragments(config, now)}, not more than {most}; {_mib(now.free_bytes)} free"
    return Decision(compact=False, reason=f"{calm}, not below {_mib(least)}" if least > 0 else calm)


def _fragments(config: CompactConfig, now: Amount) -> str:
    more = "at least " if now.at_least else ""
    return f"{more}{now.fragments} free pages in blocks below order {config.compact_order}"


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
