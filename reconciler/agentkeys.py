"""The agent's keys: what each may be, and how its value is read. Names are mem-agent's where it has them.

A reader raises ValueError with what is wrong; whoever calls it knows the place. Ranges are those of the kernel or of
mem-agent's own types: what they would cut or refuse later is refused here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from reconciler import checking, documents, quantities
from reconciler.agentconfig import NEVER, Combine, Slo, SwapKind

MOST_COUNT = (1 << 64) - 1
MOST_PERCENT = 255.0  # mem-agent's type; memory and io stall together may pass 100
MOST_ORDER = 14  # above the largest order of any page size (13: arm64 with 64 KiB)
MOST_PRIORITY = 32767  # swapon(2)
_NEVER_FROM = (1 << 63) - 1  # mem-agent's own "never", since TOML holds no larger number
_MOST_ALGORITHM = 32
# Where memory stands in for a disk: a swap file there would move memory into memory.
_IN_MEMORY = ("/run", "/var/run", "/dev", "/proc", "/sys")

Reader = Callable[[object], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """How a value is read, what it must be, and one that is right."""

    read: Reader
    example: str


def _mistyped(wanted: str, value: object) -> ValueError:
    return ValueError(f"must be {wanted}, not {checking.show(value)}")


def _between(value: float, shown: object, least: float, most: float) -> None:
    if not least <= value <= most:
        bound = f"too small; the least is {least:.15g}" if value < least else f"too large; the most is {most:.20g}"
        raise ValueError(f"{checking.show(shown)} is {bound}")


def switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise _mistyped("true or false", value)


def whole(least: int, most: int) -> Reader:
    """JSON of other programs writes whole numbers as 3.0, too."""

    def read(value: object) -> int:
        if isinstance(value, float) and value.is_integer() and abs(value) < 1 << 53:
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise _mistyped("a whole number", value)
        if not least <= value <= most:
            bound = f"too small; the least is {least}" if value < least else f"too large; the most is {most}"
            raise ValueError(f"{checking.show(value)} is {bound}")
        return value

    return read


def seconds(least: float) -> Reader:
    """A number of seconds, or a duration with its unit."""

    def read(value: object) -> float:
        found = _number(value, quantities.seconds_of, "seconds, or a duration such as 10m")
        _between(found, value, least, quantities.MOST_SECONDS)
        return found

    return read


def percent(least: float, most: float, *, above: float | None = None) -> Reader:
    """A number, or a percentage with its sign; `above`: must be more than that."""

    def read(value: object) -> float:
        found = _number(value, quantities.percent_of, "a percentage")
        if above is not None and found <= above:
            raise ValueError(f"{checking.show(value)} is too small; it must be more than {above:g}")
        _between(found, value, least, most)
        return found

    return read


def _number(value: object, of_text: Callable[[str], float], wanted: str) -> float:
    if isinstance(value, str):
        return of_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _mistyped(wanted, value)
    return float(value) if abs(value) < 1 << 64 else float(1 << 64)


def size(value: object) -> int:
    """Bytes, or a size with its unit; a rate may end in /s."""
    if isinstance(value, str):
        return quantities.bytes_of(value.strip().removesuffix("/s"))
    if isinstance(value, bool) or not isinstance(value, int):
        raise _mistyped("bytes, or a size such as 64MiB", value)
    if not 0 <= value <= quantities.MOST_BYTES:
        bound = "too small; the least is 0" if value < 0 else f"too large; the most is {quantities.MOST_BYTES}"
        raise ValueError(f"{checking.show(value)} is {bound}")
    return value


def word(known: type[StrEnum]) -> Reader:
    def read(value: object) -> StrEnum:
        words = [str(one) for one in known]
        if isinstance(value, str) and value in words:
            return known(value)
        near = checking.did_you_mean(value, words) if isinstance(value, str) else ""
        meant = f"; {near}" if "mean" in near else ""
        raise ValueError(f"must be one of {', '.join(words)}, not {checking.show(value)}{meant}")

    return read


def force_times(value: object) -> int:
    found = NEVER if value == "never" else whole(0, MOST_COUNT)(value)
    assert isinstance(found, int)
    return NEVER if found >= _NEVER_FROM else found


def directory(value: object) -> str:
    """An absolute path on a disk; what is really mounted there is looked at before a file is made."""
    if not isinstance(value, str) or (value and not value.startswith("/")) or "\0" in value:
        raise _mistyped("the absolute path of a directory", value)
    if {".", ".."} & set(value.split("/")):
        raise ValueError("a path with . or .. is refused")
    parts = [part for part in value.split("/") if part]
    path = "/" + "/".join(parts) if value else ""
    for prefix in _IN_MEMORY:
        if path == prefix or path.startswith(prefix + "/"):
            raise ValueError(f"{documents.shorten(path)}: {prefix} is kept in memory, so swapping to it frees none")
    return path


def algorithm(value: object) -> str:
    if isinstance(value, str) and len(value) <= _MOST_ALGORITHM and _plain(value):
        return value
    raise _mistyped("the name of a compression such as zstd", value)


def _plain(text: str) -> bool:
    return not text or (text.isascii() and text.replace("-", "").replace("_", "").isalnum())


_SWITCH = Key(read=switch, example="true")
_PERIOD = Key(read=seconds(1), example="10m")
_LIMIT = Key(read=percent(0, MOST_PERCENT), example="1%")
_SWAPPINESS = Key(read=whole(0, 200), example="50")
_COUNT = whole(0, MOST_COUNT)

PSI: Mapping[str, Key] = {
    "required": _SWITCH,
    "combine": Key(read=word(Combine), example="sum"),
    "full": _SWITCH,
}
PROFILE: Mapping[str, Key] = {
    "disabled": _SWITCH,
    "swap": _SWITCH,
    "swappiness_max": _SWAPPINESS,
    "period_secs": _PERIOD,
    "period_psi_percent_limit": _LIMIT,
    "eviction_psi_percent_limit": _LIMIT,
    "eviction_run_aging_count_min": Key(read=_COUNT, example="3"),
}
MEMCG: Mapping[str, Key] = {
    **PROFILE,
    "pass_bytes": Key(read=size, example="256MiB"),
    "pass_secs": Key(read=seconds(0), example="60s"),
    "dry_run": _SWITCH,
}
COMPACT: Mapping[str, Key] = {
    "disabled": _SWITCH,
    "period_secs": _PERIOD,
    "period_psi_percent_limit": _LIMIT,
    "compact_psi_percent_limit": Key(read=percent(0, MOST_PERCENT), example="5%"),
    "compact_sec_max": Key(read=seconds(1), example="3m"),
    "compact_order": Key(read=whole(0, MOST_ORDER), example="9"),
    "compact_threshold": Key(read=_COUNT, example="1024"),
    "compact_force_times": Key(read=force_times, example="never"),
    "per_node": _SWITCH,
    "dry_run": _SWITCH,
}
SWAP: Mapping[str, Key] = {
    "enable_guest_swap": _SWITCH,
    "guest_swap_path": Key(read=directory, example="/var/lib/ebbtide/swap"),
    "guest_swap_size_percent": Key(read=percent(0, 10000, above=0), example="100%"),
    "guest_swap_create_threshold_secs": Key(read=seconds(0), example="60s"),
    "kind": Key(read=word(SwapKind), example="file"),
    "keep_free_bytes": Key(read=size, example="1GiB"),
    "priority": Key(read=whole(-1, MOST_PRIORITY), example="-1"),
    "algorithm": Key(read=algorithm, example="zstd"),
}
SECTIONS: Mapping[str, Mapping[str, Key]] = {"psi": PSI, "memcg": MEMCG, "compact": COMPACT, "swap": SWAP}

# mem-agent's own, which a kata-agent knows; the rest is ours.
OF_MEM_AGENT: Mapping[str, tuple[str, ...]] = {
    "memcg": tuple(PROFILE),
    "compact": tuple(key for key in COMPACT if key not in {"per_node", "dry_run"}),
}


def floor(value: object) -> tuple[int | None, float]:
    """(bytes, percent of the memory limit): a size, or a percentage."""
    if isinstance(value, str) and value.strip().endswith("%"):
        found = percent(0, 100)(value)
        assert isinstance(found, float)
        return None, found
    return size(value), 0.0


RECLAIM: Mapping[str, Key] = {
    "slo": Key(read=word(Slo), example="pressure"),
    "target": Key(read=percent(0, 100, above=0), example="0.1%"),
    "io_target": Key(read=percent(0, 100, above=0), example="0.1%"),
    "interval": Key(read=seconds(1), example="6s"),
    "step": Key(read=percent(0, 10, above=0), example="0.05%"),
    "most_step": Key(read=percent(0, 10, above=0), example="1%"),
    "floor": Key(read=floor, example="100MiB"),
    "swappiness": _SWAPPINESS,
    "swap_used": Key(read=percent(0, 100), example="80%"),
    "write_rate": Key(read=size, example="1MiB"),
}


def bracketed(path: str, numa_id: tuple[int, ...]) -> str:
    """An entry of `memcg: cgroups:` in the names of origins: [/a], or [/a:0:1] where it is for some nodes."""
    return f"[{':'.join([path, *map(str, numa_id)])}]"


def unprefixed(name: str, section: str) -> Iterator[str]:
    """The keys that a name of Kata's configuration file may mean: memcg_swap, compact_period_secs, memcg_disable."""
    rest = name.removeprefix(f"{section}_")
    if rest != name:
        yield {"disable": "disabled"}.get(rest, rest)
