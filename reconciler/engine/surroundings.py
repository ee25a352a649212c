"""What all loops of one engine share."""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.engine.bucket import Bucket
from reconciler.engine.claims import Claims
from reconciler.engine.site import Doors
from reconciler.engine.trackers.tracker import Makers
from reconciler.model import Features
from sysfs.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    tree: Tree
    features: Features
    trackers: Makers
    budget: Bucket  # seconds of CPU time for scanning
    clock: Callable[[], float]
    cpu_clock: Callable[[], float]
    epoch: float  # when the engine started, on that clock
    output: Callable[[str, str], None]  # workload, text of a routine
    doors: Doors
    claims: Claims
    paused: Callable[[], bool]
    hasten: Callable[[str], None]  # let this workload's loop run now
