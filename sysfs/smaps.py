"""How much of each mapping was referenced since clear_refs: /proc/PID/smaps, as columns.

Only the mapping is known, not the page: one hot page makes its whole mapping look referenced.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sysfs.tree import Tree

_PRIVATE_DIRTY = re.compile(rb"^Private_Dirty: +(\d+) kB$", re.MULTILINE)
_VMA = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) .*$|^Referenced: +(\d+) kB$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Referenced:
    """Mappings in ascending order, and how many bytes of each were accessed."""

    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    size: NDArray[np.uint64]


def referenced(tree: Tree, pid: int) -> Referenced:
    rows: list[list[int]] = []
    for start, end, kilobytes in _VMA.findall(tree.read_bytes(f"/proc/{pid}/smaps")):
        if start:
            rows.append([int(start, 16), int(end, 16), 0])
        elif rows:
            rows[-1][2] = int(kilobytes) * 1024
    table = np.array(rows, np.uint64).reshape(-1, 3)
    return Referenced(start=table[:, 0], end=table[:, 1], size=table[:, 2])


def private_dirty_bytes(tree: Tree, pid: int) -> int:
    """What the process alone has written, from smaps_rollup (Linux 4.14): the kernel walks its page tables for that."""
    found = _PRIVATE_DIRTY.search(tree.read_bytes(f"/proc/{pid}/smaps_rollup"))
    return int(found[1]) * 1024 if found else 0
