"""What a class file wants of the kubelet's resource managers, as a value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Split(StrEnum):
    """How reserved memory is shared between NUMA nodes."""

    EVEN = "even"
    PROPORTIONAL = "proportional"  # to the memory of each node
    NODE0 = "node0"  # all of it on the first node that has memory
    WEIGHTS = "weights"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeletConfig:
    """`policy` "" = as the node's own configuration says. `keys`: of a KubeletConfiguration, as written there."""

    policy: str = ""
    split: Split = Split.EVEN
    weights: Mapping[int, int] = field(default_factory=dict)
    keys: Mapping[str, Any] = field(default_factory=dict)
