"""What of a machine the kubelet's checks depend on, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryNode:
    """Bytes of a NUMA node: all of its memory, and what static huge pages take of it ("hugepages-2Mi" -> bytes)."""

    total_bytes: int
    hugepages: Mapping[str, int] = field(default_factory=dict)

    @property
    def usable_bytes(self) -> int:
        return max(0, self.total_bytes - sum(self.hugepages.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    nodes: Mapping[int, MemoryNode]
    capacity_bytes: int  # MemTotal of /proc/meminfo
    cpus: frozenset[int] = frozenset()  # online; none = not known
