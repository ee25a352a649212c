"""What hard eviction keeps of a node's memory: a quantity, or a percentage, which the kubelet calculates in 32 bits.

5% of 540065116160 bytes is 27003256210 for the kubelet, where exact arithmetic says 27003255808; as reservedMemory is
compared byte by byte, we have to be wrong in the same way.
"""

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from reconciler.kubelet import quantity
from reconciler.kubelet.quantity import Quantity

MEMORY = "memory.available"
DEFAULTS: Mapping[str, str] = {
    MEMORY: "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",  # since 1.29
}
SIGNALS = (
    *DEFAULTS,
    "containerfs.available",
    "containerfs.inodesFree",
    "pid.available",
    "allocatableMemory.available",
)
_OFF = ("0%", "100%")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,40}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_TIE = 1 << 28  # of the 29 bits that a 64-bit float has more


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """One signal's threshold; neither field is set where it is switched off."""

    amount: Quantity | None = None
    share: float | None = None  # of the capacity, from 0 to 1, as a 32-bit float

    def of(self, capacity_bytes: int) -> Quantity:
        if self.share is not None:
            return quantity.of_bytes(int(float(capacity_bytes) * self.share))
        return self.amount or quantity.ZERO


def threshold(signal: str, text: str) -> Threshold:
    """ValueError has the kubelet's own words."""
    if text in _OFF:
        return Threshold()
    if text.endswith("%"):
        return Threshold(share=_share(signal, text))
    amount = quantity.parse(text)
    if amount.nano <= 0:
        raise ValueError(f"eviction threshold {signal} must be positive: {amount}")
    return Threshold(amount=amount)


def _share(signal: str, text: str) -> float:
    number = text.rstrip("%")
    if _NUMBER.fullmatch(number) is None:
        raise ValueError(f'strconv.ParseFloat: parsing "{number}": invalid syntax')
    share = _rounded(_single(number) / 100)
    if share < 0:
        raise ValueError(f"eviction percentage threshold {signal} must be >= 0%: {text}")
    if share > 1:
        raise ValueError(f"eviction percentage threshold {signal} must be <= 100%: {text}")
    return share


def _single(text: str) -> float:
    """The 32-bit float nearest to a decimal number, which rounding twice would miss where 64 bits end in a tie."""
    double, exact = float(text), Fraction(text)
    (bits,) = struct.unpack("<Q", struct.pack("<d", double))
    if bits % (2 * _TIE) == _TIE and Fraction(double) != exact:
        double = math.nextafter(double, math.inf if exact > Fraction(double) else -math.inf)
    return _rounded(double)


def _rounded(number: float) -> float:
    try:
        (single,) = struct.unpack("<f", struct.pack("<f", number))
    except OverflowError:
        return math.copysign(math.inf, number)
    return float(single)
