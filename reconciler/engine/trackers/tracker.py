"""What every tracker does, and which there are."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from reconciler.engine.processes import Process, Surveyor
from sysfs.tree import Tree

Accessed = NDArray[np.bool_]  # one a region


class Tracker(Protocol):
    note: str  # what a reader of its results must know, "" if nothing

    def begin(self, known: Process) -> None:
        """Start afresh with a process."""

    def look(self, known: Process) -> Accessed:
        """Which of the process's regions were accessed since the last look."""

    def finish(self) -> None:
        """After all processes of one round were looked at."""

    def close(self) -> None:
        """Let go of kernel files."""


Maker = Callable[[Tree, Surveyor], Tracker]
Makers = Mapping[str, Maker]
