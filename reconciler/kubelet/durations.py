"""Go's durations ("300s", "1h30m", "1.5h"), in which a kubelet's configuration has its times."""

import re
from fractions import Fraction

_STEP = re.compile(r"([0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": Fraction(1, 10**9), "ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600)}
_SECONDS |= dict.fromkeys(("us", "µs", "μs"), Fraction(1, 10**6))


def seconds(text: str) -> Fraction:
    """ValueError has Go's own words."""
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return Fraction(0)
    total = Fraction(0)
    steps = 0
    while found := _STEP.match(rest):
        total += Fraction(found[1]) * _SECONDS[found[2]]
        rest, steps = rest[found.end() :], steps + 1
    if rest or not steps:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total


def shown(amount: Fraction) -> str:
    """As Go prints whole seconds: "1m40s"; parts of a second as a decimal number."""
    whole, part = divmod(abs(amount), 1)
    hours, rest = divmod(int(whole), 3600)
    minutes, left = divmod(rest, 60)
    tail = f"{float(left + part):g}s"
    words = f"{hours}h{minutes}m{tail}" if hours else f"{minutes}m{tail}" if minutes else tail
    return f"-{words}" if amount < 0 else words
