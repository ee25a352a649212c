"""A door to the kernel that fails, or dies, at an effect that the test chooses: the same every time.

    tree = FaultyTree(kernel.tree, {2: Fails(errno.EBUSY), 5: Dies()})

Effects are counted from 1; an effect is a write. `Reads` of the same plan count apart, as negative numbers: -3 is the
third read. `Killed` is no Exception, so no handler of the code under test survives it, as with SIGKILL.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sysfs import errors
from sysfs.tree import Tree

_T = TypeVar("_T")


class Killed(BaseException):
    """The process died here."""


@dataclass(frozen=True, slots=True)
class Fails:
    """The access gets this errno and has no effect."""

    errno: int


@dataclass(frozen=True, slots=True)
class Dies:
    """The process dies before or after the access."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class First:
    """Something happens just before the access: a cgroup vanishes, somebody else writes."""

    happens: Callable[[], object]


Fault = Fails | Dies | First


class FaultyTree(Tree):
    def __init__(self, tree: Tree, plan: Mapping[int, Fault]) -> None:
        super().__init__(tree.root)
        self._tree = tree
        self._plan = dict(plan)
        self.writes = 0
        self.reads = 0

    def write(self, path: str, text: str) -> None:
        self.writes += 1
        self._through(self.writes, path, lambda: self._tree.write(path, text))

    def read_bytes(self, path: str) -> bytes:
        self.reads += 1
        return self._through(-self.reads, path, lambda: self._tree.read_bytes(path))

    def _through(self, number: int, path: str, access: Callable[[], _T]) -> _T:
        fault = self._plan.get(number)
        if isinstance(fault, First):
            fault.happens()
        if isinstance(fault, Fails):
            raise errors.of(OSError(fault.errno, os.strerror(fault.errno)), path)
        if fault == Dies(after=False):
            raise Killed(f"before access {number}, {path}")
        result = access()
        if fault == Dies(after=True):
            raise Killed(f"after access {number}, {path}")
        return result
