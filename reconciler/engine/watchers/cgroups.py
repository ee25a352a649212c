"""All processes of some cgroups and of everything below them (Documentation/admin-guide/cgroup-v2.rst).

A directory that vanishes during the walk is normal, and the rest still counts. A root that is not there (yet) is said
once, and its nearest ancestor is followed, so that its coming is noticed at once.
"""

import logging

from reconciler import logfmt
from reconciler.engine.watchers.watcher import Found
from sysfs import cgroup
from sysfs.cgroup import Subtree
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

_NOTHING = Subtree(directories=(), pids=frozenset())

_log = logging.getLogger("ebbtide.engine")


class Cgroups:
    def __init__(self, tree: Tree, workload: str, directories: tuple[str, ...], *, named: bool) -> None:
        self._tree, self._workload, self._named = tree, workload, named
        self.directories = directories
        self._last: dict[str, Subtree] = {}  # of roots that could be read
        self._missing: frozenset[str] = frozenset()
        self._trouble = ""

    def look(self) -> Found:
        self._trouble = ""
        self._last = {root: found for root in self.directories if (found := self._walk(root)) is not None}
        missing = frozenset(self.directories) - self._last.keys()
        self._say(missing)
        pids = frozenset[int]().union(*(found.pids for found in self._last.values()))
        return Found(
            pids=pids,
            named=pids if self._named else frozenset(),
            follow=(*self._walked(), *sorted({self._nearest(root) for root in missing})),
            notes=tuple(f"cgroup {root} does not exist now" for root in sorted(missing)),
            trouble=self._trouble,
        )

    def _walk(self, root: str) -> Subtree | None:
        """Nothing if it does not exist; what was there before if it cannot be read now."""
        try:
            return cgroup.subtree(self._tree, root)
        except Gone:
            return None
        except KernelError as error:
            self._trouble = str(error)
            return self._last.get(root, _NOTHING)

    def _walked(self) -> list[str]:
        return [path for found in self._last.values() for path in found.directories]

    def _nearest(self, directory: str) -> str:
        """The longest part of the path that exists."""
        while directory and not self._tree.exists(directory):
            directory = directory.rpartition("/")[0]
        return directory or "/"

    def _say(self, missing: frozenset[str]) -> None:
        for root in sorted(missing - self._missing):
            _log.info("%s", logfmt.line("event=cgroup-missing", workload=self._workload, cgroup=root))
        for root in sorted(self._missing - missing):
            _log.info("%s", logfmt.line("event=cgroup-found", workload=self._workload, cgroup=root))
        self._missing = missing
