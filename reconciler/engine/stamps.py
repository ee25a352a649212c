r"""Time stamps of routines, in memtierd's language: a text in which words, and Go's example time, stand for times.

Words are replaced first: `rfc3339` and its relatives become layouts of Go's time package, which show the example
moment `Mon Jan 2 15:04:05 2006`; then every piece of that moment, wherever it stands in the text, becomes the
present one's. `unix` and `duration` are seconds since 1970 and since the routine began, with as many digits as their
ending names. Fractions of seconds are cut, never rounded up: no stamp lies in the future. Nothing is added, so write
"rfc3339 " or "unix\n".
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, tzinfo

_NS = 1_000_000_000

LAYOUTS: Mapping[str, str] = {
    "ansic": "Mon Jan _2 15:04:05 2006",
    "unixdate": "Mon Jan _2 15:04:05 MST 2006",
    "rfc822": "02 Jan 06 15:04 MST",
    "rfc822z": "02 Jan 06 15:04 -0700",
    "rfc850": "Monday, 02-Jan-06 15:04:05 MST",
    "rfc1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "rfc3339": "2006-01-02T15:04:05Z07:00",
    "rfc3339nano": "2006-01-02T15:04:05.999999999Z07:00",
}
_DIGITS = {"": 0, ".s": 0, ".milli": 3, ".micro": 6, ".nano": 9}
_NAMES = re.compile("|".join(sorted(LAYOUTS, key=len, reverse=True)))
_COUNTS = re.compile(r"(unix|duration)(\.s|\.milli|\.micro|\.nano)?")

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SPRING = ("January", "February", "March", "April", "May", "June")
_MONTHS = (*_SPRING, "July", "August", "September", "October", "November", "December")

# Pieces of Go's example moment, longer ones first, and what stands for them.
_PIECES: Mapping[str, Callable[[datetime], str]] = {
    "January": lambda at: _MONTHS[at.month - 1],
    "Jan": lambda at: _MONTHS[at.month - 1][:3],
    "Monday": lambda at: _DAYS[at.weekday()],
    "Mon": lambda at: _DAYS[at.weekday()][:3],
    "MST": lambda at: at.tzname() or _offset(at, ""),
    "2006": lambda at: f"{at.year:04}",
    "-07:00": lambda at: _offset(at, ":"),
    "-0700": lambda at: _offset(at, ""),
    "Z07:00": lambda at: _offset(at, ":") if at.utcoffset() else "Z",
    "Z0700": lambda at: _offset(at, "") if at.utcoffset() else "Z",
    "-07": lambda at: _offset(at, "")[:3],
    "002": lambda at: f"{at.timetuple().tm_yday:03}",
    "01": lambda at: f"{at.month:02}",
    "02": lambda at: f"{at.day:02}",
    "03": lambda at: f"{(at.hour + 11) % 12 + 1:02}",
    "04": lambda at: f"{at.minute:02}",
    "05": lambda at: f"{at.second:02}",
    "06": lambda at: f"{at.year % 100:02}",
    "15": lambda at: f"{at.hour:02}",
    "_2": lambda at: f"{at.day:2}",
    "PM": lambda at: "AM" if at.hour < 12 else "PM",
    "pm": lambda at: "am" if at.hour < 12 else "pm",
    "1": lambda at: str(at.month),
    "2": lambda at: str(at.day),
    "3": lambda at: str((at.hour + 11) % 12 + 1),
    "4": lambda at: str(at.minute),
    "5": lambda at: str(at.second),
}
_LAYOUT = re.compile(r"[.,](?:0+|9+)(?!\d)|" + "|".join(re.escape(piece) for piece in _PIECES))


def text(template: str, now_ns: int, began_ns: int, zone: tzinfo | None = None) -> str:
    """`now_ns` and `began_ns` are nanoseconds since 1970; without a zone it is the machine's own."""
    seconds, fraction = divmod(now_ns, _NS)
    at = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).astimezone(zone)

    def piece(found: re.Match[str]) -> str:
        layout = _PIECES.get(found[0])
        return layout(at) if layout is not None else _fraction(found[0], fraction)

    counts = {"unix": now_ns, "duration": max(now_ns - began_ns, 0)}
    parts = _COUNTS.split(_NAMES.sub(lambda found: LAYOUTS[found[0]], template))
    shown = [_LAYOUT.sub(piece, part) for part in parts[::3]]
    numbers = [_count(counts[word], ending or "") for word, ending in zip(parts[1::3], parts[2::3], strict=True)]
    return "".join(one for pair in zip(shown, [*numbers, ""], strict=True) for one in pair)


def _fraction(piece: str, nanoseconds: int) -> str:
    """Of a second, after a dot or comma: as many digits as there are zeros; with nines, no zeros at the end."""
    digits = f"{nanoseconds:09}"[: len(piece) - 1].ljust(len(piece) - 1, "0")
    if piece[1] == "9":
        digits = digits.rstrip("0")
    return piece[0] + digits if digits else ""


def _count(nanoseconds: int, ending: str) -> str:
    digits = _DIGITS[ending]
    seconds, fraction = divmod(nanoseconds, _NS)
    return f"{seconds}.{fraction:09}"[: len(str(seconds)) + 1 + digits] if digits else str(seconds)


def _offset(at: datetime, colon: str) -> str:
    minutes = round((at.utcoffset() or timedelta()).total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}{colon}{abs(minutes) % 60:02}"
