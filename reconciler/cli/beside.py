"""What the daemon of this node manages, for a second engine beside it: those processes are named and left alone.

Which processes its loops track is asked on its socket; which cgroups it has settings or loops for is in its report.
Where no daemon runs nothing is managed.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.cli import daemon_link
from reconciler.cli.options import Options
from reconciler.report import Report
from sysfs import cgroup
from sysfs.errors import KernelError
from sysfs.tree import Tree

_FRESH_S = 2.0
_NOT_MANAGED = {"released", "unmanaged", "gone"}
FORCE = "-force does it all the same"


@dataclass(slots=True, kw_only=True)
class Neighbour:
    options: Options
    tree: Tree
    clock: Callable[[], float] = time.monotonic
    _report: Report | None = field(init=False, default=None)
    _held: dict[int, str] = field(init=False, default_factory=dict)
    _asked: float = field(init=False, default=float("-inf"))

    def taken(self, pid: int) -> str:
        """Why this process is the daemon's, "" if it is not."""
        self._ask()
        if self._report is None:
            return ""
        name = self._names().get(self._held.get(pid, "")) or self._of_cgroup(pid)
        if not name:
            return ""
        return f"workload {name} of the daemon (process {self._report.pid}) has it; {FORCE}"

    def marking(self) -> str:
        self._ask()
        report = self._report
        uses = report is not None and any(
            each.engine and each.engine.tracker == "idlepage" for each in report.workloads
        )
        return f"the daemon looks at these marks, and would believe that the page was not used; {FORCE}" if uses else ""

    def _ask(self) -> None:
        if self.clock() - self._asked >= _FRESH_S:
            self._report = daemon_link.report(self.options)
            self._held = daemon_link.held(self.options) if self._report is not None else {}
            self._asked = self.clock()

    def _names(self) -> dict[str, str]:
        return {each.id: each.name for each in self._report.workloads} if self._report is not None else {}

    def _of_cgroup(self, pid: int) -> str:
        try:
            path = cgroup.path_of_process(self.tree, pid)
        except KernelError:
            return ""
        for each in self._report.workloads if self._report is not None else ():
            managed = each.class_name and each.state not in _NOT_MANAGED and each.cgroup
            if managed and (path == each.cgroup or path.startswith(f"{each.cgroup}/")):
                return each.name
        return ""
