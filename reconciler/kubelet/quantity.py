"""Kubernetes' quantities ("16484Mi", "1.5Gi", "500m", "1e3"): grammar, sums and canonical text, exactly.

A value is a whole number of nano-units. Some texts that are whole numbers of bytes ("1.5Gi", "100Ti") are kept by
Kubernetes in a form that it will not convert to an integer where the Memory Manager asks for one; `whole` knows.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

NANO = 10**9
MOST = 2**63 - 1
_MOST_CHARACTERS = 128
_MOST_EXPONENT = 64  # of "1e64"; nobody has as much of anything, and a larger one would only cost us time
_LEAST_EXPONENT = -400  # everything so small is rounded up to one nano-unit
_INTEGER_DIGITS = 18  # a text with more is kept as an arbitrary decimal
_BINARY_DIGITS = 14

FORMAT_WRONG = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"  # the API's own words
)
NUMBER_WRONG = "unable to parse numeric part of quantity"
SUFFIX_WRONG = "unable to parse quantity's suffix"

_SHAPE = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)")
_EXPONENT = re.compile(r"[eE]([-+]?[0-9]+)")
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_NAMES = ("", *_BINARY)
_DECIMAL_NAMES = {exponent: name for name, exponent in _DECIMAL.items()}


class Family(StrEnum):
    """How an amount was written, and so how it and sums that begin with it are shown."""

    BINARY = "binary"
    DECIMAL = "decimal"
    EXPONENT = "exponent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    nano: int  # 10^-9 of the unit
    family: Family = Family.DECIMAL
    whole: int | None = None  # units, if Kubernetes makes an integer of it without rounding

    @property
    def value(self) -> int:
        """In whole units, rounded away from zero."""
        return -(-self.nano // NANO) if self.nano >= 0 else self.nano // NANO

    def __str__(self) -> str:
        """The canonical text: the largest suffix that needs no fraction."""
        whole, rest = divmod(self.nano, NANO)
        if self.family is Family.BINARY and not rest and abs(whole) >= 1024:
            return _binary(whole)
        return _decimal(self.nano, self.family) if self.nano else "0"

    def __add__(self, other: "Quantity") -> "Quantity":
        """The sum keeps the family of the first addend that is not zero."""
        nano = self.nano + other.nano
        whole = None if self.whole is None or other.whole is None else self.whole + other.whole
        family = self.family if self.nano else other.family
        return Quantity(nano=nano, family=family, whole=whole if whole is None or abs(whole) <= MOST else None)


ZERO = Quantity(nano=0, whole=0)


def parse(text: str) -> Quantity:
    """ValueError has the API's own words."""
    found = _SHAPE.fullmatch(text)
    if not text or len(text) > _MOST_CHARACTERS or found is None:
        raise ValueError(FORMAT_WRONG)
    sign, number, fraction, suffix = found.groups()
    if not number and fraction is None and suffix == "" and "0" not in text:  # a sign alone is read as 0
        return ZERO
    base, exponent, family = _suffix(suffix)
    digits = int((number or "0") + (fraction or "")) * (-1 if sign == "-" else 1)
    size = len(number or "0") + len(fraction or "")
    if base == 2:
        return _binary_quantity(digits, fraction or "", size, exponent)
    return _decimal_quantity(digits, exponent - len(fraction or ""), size, family)


def of_bytes(amount: int) -> Quantity:
    return Quantity(nano=amount * NANO, family=Family.BINARY, whole=amount)


def written(amount: int) -> str:
    """Bytes as a configuration should have them: no fraction, and a form that the kubelet makes an integer of."""
    for exponent, name in ((20, "Mi"), (10, "Ki")):
        text = f"{amount >> exponent}{name}"
        if amount % (1 << exponent) == 0 and parse(text).whole == amount:
            return text
    return str(amount)


def _suffix(suffix: str) -> tuple[int, int, Family]:
    if suffix in _BINARY:
        return 2, _BINARY[suffix], Family.BINARY
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], Family.DECIMAL
    found = _EXPONENT.fullmatch(suffix)
    if found is None or int(found[1]) > _MOST_EXPONENT:
        raise ValueError(SUFFIX_WRONG)
    return 10, max(int(found[1]), _LEAST_EXPONENT), Family.EXPONENT


def _binary_quantity(digits: int, fraction: str, size: int, exponent: int) -> Quantity:
    scaled = digits << exponent
    if not fraction and size + exponent * 3 // 10 <= _BINARY_DIGITS:
        return Quantity(nano=scaled * NANO, family=Family.BINARY, whole=scaled)
    nano = _away(scaled * NANO, 10 ** len(fraction))
    nano = max(-MOST * NANO, min(nano, MOST * NANO))
    return Quantity(nano=nano, family=Family.DECIMAL if 0 < abs(nano) < NANO else Family.BINARY)


def _decimal_quantity(digits: int, scale: int, size: int, family: Family) -> Quantity:
    nano = digits * 10 ** (scale + 9) if scale >= -9 else _away(digits, 10 ** (-9 - scale))
    units = nano // NANO
    exact = scale >= 0 and size <= _INTEGER_DIGITS and abs(units) <= MOST
    return Quantity(nano=nano, family=family, whole=units if exact else None)


def _away(amount: int, divisor: int) -> int:
    """Divided, rounded away from zero."""
    rounded = -(-abs(amount) // divisor)
    return rounded if amount >= 0 else -rounded


def _binary(whole: int) -> str:
    step = 0
    while whole % 1024 == 0 and step < len(_BINARY_NAMES) - 1:
        whole, step = whole // 1024, step + 1
    return f"{whole}{_BINARY_NAMES[step]}"


def _decimal(nano: int, family: Family) -> str:
    exponent = -9
    while nano % 1000 == 0 and (exponent < 18 or family is Family.EXPONENT):
        nano, exponent = nano // 1000, exponent + 3
    if family is Family.EXPONENT:
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{_DECIMAL_NAMES[exponent]}"
