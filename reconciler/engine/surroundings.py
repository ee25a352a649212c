"""What all loops of one engine share."""

from collections.abc import Callable
from dataclasses import dataclass

from reconciler.engine.bells import Bells
from reconciler.engine.bucket import Bucket
from reconciler.engine.claims import Claims
from reconciler.engine.console import Asked, Console
from reconciler.engine.errands import Errands
from reconciler.engine.kdamonds import Kdamonds
from reconciler.engine.mover import Target
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
    target: Target
    claims: Claims
    bells: Bells
    hurry: Callable[[str, float], None]  # workload, no later than: its loop runs then
    console: Callable[[Asked], Console]
    errands: Errands
    kdamonds: Kdamonds
    paused: Callable[[], bool] = lambda: False
