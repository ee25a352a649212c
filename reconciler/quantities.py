"""Sizes, durations and percentages as people write them, and back.

Units are powers of 1024 however they are spelled (`M`, `MB`, `MiB`), as in systemd, memtierd and the kernel's own
files. A ValueError says what was expected; the caller knows the place.
"""

import re

_NUMBER = r"([0-9]{1,20})(\.[0-9]{1,9})?"
_SIZE = re.compile(rf"{_NUMBER} ?([KMGTP]?)(?:I?B)?", re.IGNORECASE | re.ASCII)
_STEP = re.compile(rf"{_NUMBER} ?(ns|us|ms|s|sec|min|m|h|d|)", re.ASCII)
_PERCENT = re.compile(rf"{_NUMBER} ?%", re.ASCII)

_UNITS = "KMGTP"
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "": 1.0, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SECONDS["d"] = 86400.0

MOST_BYTES = 2**63 - 1  # what the kernel's counters hold; it calls everything from here on "max"
MOST_SECONDS = 10 * 365 * 86400.0  # ten years: keeps every sum and every millisecond count small


def bytes_of(text: str) -> int:
    """Bytes of "4096", "50M", "2MiB" or "1.5G"; parts of a byte are dropped."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example 4096, 50M, 2MiB or 1.5G")
    whole, part, unit = match.groups()
    factor = 1024 ** (_UNITS.index(unit.upper()) + 1) if unit else 1
    size = int(whole) * factor + (int(part[1:]) * factor // 10 ** (len(part) - 1) if part else 0)
    if size > MOST_BYTES:
        raise ValueError(f"{text!r} is more than the kernel can count; write less than 8192P")
    return size


def seconds_of(text: str) -> float:
    """Seconds of "10s", "500ms", "2m", "1h30m", "2d"; a bare number is seconds, as in memtierd's commands."""
    rest = text.strip()
    total, steps = 0.0, 0
    while match := _STEP.match(rest):
        whole, part, unit = match.groups()
        total += float(whole + (part or "")) * _SECONDS[unit]
        steps += 1
        rest = rest[match.end() :].lstrip()
        if not unit:
            break  # nothing may follow a number without a unit
    if rest or not steps:
        raise ValueError(f"{text!r} is not a duration; write for example 500ms, 10s, 2m, 1h30m or 2d")
    if total > MOST_SECONDS:
        raise ValueError(f"{text!r} is longer than ten years")
    return total


def percent_of(text: str) -> float:
    """The number of "80%"."""
    match = _PERCENT.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a percentage; write for example 80% or 12.5%")
    return float(match.group(1) + (match.group(2) or ""))


def human_bytes(size: int) -> str:
    """As systemd prints it: "512B", "64M", "1.5G"; tenths are cut off, not rounded."""
    if size < 0:
        return "-" + human_bytes(-size)
    factor, unit = 1, "B"
    for name in (*_UNITS, "E"):
        if size < factor * 1024:
            break
        factor, unit = factor * 1024, name
    whole, tenth = size // factor, size % factor * 10 // factor
    return f"{whole}.{tenth}{unit}" if tenth else f"{whole}{unit}"
