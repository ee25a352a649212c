"""Free memory by the size of its blocks, which shows how fragmented it is: /proc/pagetypeinfo and /proc/buddyinfo.

Both have a row of counts for each zone of each node, one for each order: a block of order n is 2^n pages
(Documentation/filesystems/proc.rst). Pagetypeinfo, which only root may read, tells movable memory from other; it stops
counting at 100000 blocks and marks that by ">" (Linux 5.4). Buddyinfo counts all memory, exactly.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from sysfs.errors import Gone, Refused, Unsupported
from sysfs.tree import Tree

BY_TYPE, ALL = "/proc/pagetypeinfo", "/proc/buddyinfo"
_MOVABLE = re.compile(r"^Node +(\d+), zone +(\S+), type +Movable((?: +(?:> *)?\d+)+) *$", re.MULTILINE)
_ANY = re.compile(r"^Node +(\d+), zone +(\S+)((?: +\d+)+) *$", re.MULTILINE)
_COUNT = re.compile(r"(>?) *(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """Free blocks of one zone of one node."""

    node: int
    name: str
    blocks: tuple[int, ...]  # of order 0, 1, 2, ...
    at_least: frozenset[int] = frozenset()  # orders of which there are more than was counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    zones: tuple[Zone, ...]
    why_all: str = ""  # why unmovable memory is counted, too; "" = only movable memory is


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    number: int = 0
    at_least: bool = False  # the kernel stopped counting

    def __add__(self, other: "Pages") -> "Pages":
        return Pages(number=self.number + other.number, at_least=self.at_least or other.at_least)


def read(tree: Tree) -> Free:
    """Of movable memory, else of all. Raises `KernelError` where the kernel tells neither."""
    try:
        text = tree.read(BY_TYPE)
    except (Gone, Refused, Unsupported) as error:
        return Free(zones=tuple(parse(tree.read(ALL), _ANY)), why_all=str(error))
    return Free(zones=tuple(parse(text)))


def parse(text: str, rows: re.Pattern[str] = _MOVABLE) -> Iterator[Zone]:
    """Every other line, such as the numbers of pageblocks at the end, is none of ours."""
    for row in rows.finditer(text):
        counts = _COUNT.findall(row[3])
        yield Zone(
            node=int(row[1]),
            name=row[2],
            blocks=tuple(int(number) for _, number in counts),
            at_least=frozenset(order for order, (more, _) in enumerate(counts) if more),
        )


def below(zones: Iterable[Zone], order: int) -> dict[int, Pages]:
    """Pages in blocks smaller than `order`, by node."""
    found: dict[int, Pages] = {}
    for zone in zones:
        found[zone.node] = found.get(zone.node, Pages()) + _small(zone, order)
    return found


def _small(zone: Zone, order: int) -> Pages:
    return Pages(
        number=sum(blocks << each for each, blocks in enumerate(zone.blocks[:order])),
        at_least=any(each < order for each in zone.at_least),
    )
