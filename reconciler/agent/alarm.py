"""Notice pressure at once instead of at the next look: the kernel's own triggers (Documentation/accounting/psi.rst).

An alarm is only ever an addition to a meter (reconciler/agent/pressure.py): memory and io each have a trigger of their
own, so a sum of both that is over the limit does not raise it, and where the kernel gives no trigger it stays silent.
"""

from collections.abc import Iterable
from contextlib import suppress
from typing import Literal

from reconciler.agent import pressure
from reconciler.agentconfig import PsiConfig
from sysfs.errors import KernelError, Rejected
from sysfs.pressure import EVERYBODYS_WINDOW_US, Trigger, trigger
from sysfs.tree import Tree

WINDOW_US = 1_000_000  # as often as a meter is read; the kernel looks ten times as often


class Alarm:
    """`silent` says why nothing can raise it; "" = something can."""

    def __init__(self, triggers: Iterable[Trigger] = (), silent: str = "") -> None:
        self._triggers, self.silent = list(triggers), silent

    def raised(self) -> bool:
        """Whether memory or io alone went over the limit since this was last asked."""
        asked = [self._fired(each) for each in tuple(self._triggers)]  # all of them: none is left for next time
        return any(asked)

    def _fired(self, each: Trigger) -> bool:
        try:
            return each.fired()
        except KernelError as error:  # its cgroup is gone, or is not accounted any more
            each.close()
            self._triggers.remove(each)
            self.silent = str(error)
            return False

    def close(self) -> None:
        for each in self._triggers:
            each.close()
        self._triggers.clear()


def watch(tree: Tree, limit_percent: float, config: PsiConfig, directory: str = "") -> Alarm:
    """Raised when tasks of a cgroup's directory, those below included, or of the node ("") wait more than this.

    A percentage of the last second, or of two where we lack CAP_SYS_RESOURCE. Equal to the limit is not more.
    """
    triggers: list[Trigger] = []
    silent = ""
    for path in pressure.files(directory):
        try:
            triggers.append(_trigger(tree, path, limit_percent, full=config.full))
        except KernelError as error:
            silent = str(error)
    return Alarm(triggers, silent)


def _trigger(tree: Tree, path: str, limit_percent: float, *, full: bool) -> Trigger:
    of: Literal["some", "full"] = "full" if full else "some"
    with suppress(Rejected):
        return trigger(tree, path, of, _stall(limit_percent, WINDOW_US), WINDOW_US)
    return trigger(tree, path, of, _stall(limit_percent, EVERYBODYS_WINDOW_US), EVERYBODYS_WINDOW_US)


def _stall(limit_percent: float, window_us: int) -> int:
    """The least that is more than the limit; above 100 % the kernel refuses, rightly."""
    return int(limit_percent / 100 * window_us) + 1
