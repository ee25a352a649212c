"""What the kernel itself says about a process's memory; a bare reader, independent of the product's."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.e2e.guest import pods

PAGE = 4096
SWAPPED, PRESENT = 62, 63  # bits of Documentation/admin-guide/mm/pagemap.rst


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    swapped: int
    present: int
    total: int

    def share(self) -> float:
        return self.swapped / self.total if self.total else 0.0


def pages(pid: int, ranges: Iterable[pods.Truth]) -> Pages:
    swapped = present = total = 0
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap:
        for each in ranges:
            pagemap.seek(each.start // PAGE * 8)
            entries = np.frombuffer(pagemap.read((each.end - each.start) // PAGE * 8), dtype="<u8")
            swapped += int((entries >> SWAPPED & 1).sum())
            present += int((entries >> PRESENT & 1).sum())
            total += len(entries)
    return Pages(swapped=swapped, present=present, total=total)


def on_nodes(pid: int, ranges: Iterable[pods.Truth]) -> dict[int, int]:
    """Pages of the ranges' mappings on each node, by /proc/PID/numa_maps."""
    starts, found = {each.start for each in ranges}, dict[int, int]()
    for line in Path(f"/proc/{pid}/numa_maps").read_text(encoding="utf-8").splitlines():
        address, *words = line.split()
        if int(address, 16) in starts:
            for number, count in re.findall(r"\bN(\d+)=(\d+)", " ".join(words)):
                found[int(number)] = found.get(int(number), 0) + int(count)
    return found


def status_bytes(pid: int, key: str) -> int:
    """A line of /proc/PID/status, such as VmSwap."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) << 10
    return 0


def major_faults(pid: int) -> int:
    """Pages that had to be brought back (with page-cluster 0, one each), and file pages first read."""
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[9])
