"""A process is tracked by one loop at a time, and memory that several processes share through one of them.

Looking is not free of effects: each look clears the marks that it found, for the whole address space. Two loops on one
process (nested cgroups, a glob that meets a container, the old loop of a workload that is just being restarted), or
two processes with one memory (CLONE_VM, as vfork leaves them for a while), would steal each other's evidence, and
memory in use would look idle to both.
"""

import threading
from collections.abc import Callable

from reconciler.model import Identity

Share = Callable[[int, int], bool]  # whether two processes have the same memory


def _nobody(one: int, other: int) -> bool:
    del one, other
    return False


def not_taken(pid: int) -> str:
    del pid
    return ""


class Claims:
    """`foreign`: why a process belongs to somebody outside of this engine, "" if it does not."""

    def __init__(self, share: Share = _nobody, foreign: Callable[[int], str] = not_taken) -> None:
        self._share, self._foreign = share, foreign
        self._owners: dict[Identity, tuple[object, str]] = {}
        self._lock = threading.Lock()

    def take(self, owner: object, name: str, process: Identity) -> str:
        """Claim it for `owner`, whom people call `name`; "" or why it cannot be had."""
        if reason := self._foreign(process[0]):
            return reason
        with self._lock:
            if process not in self._owners:
                if kin := self._kin(process):
                    return f"process {kin[0]} of workload {self._owners[kin][1]} has the same memory, once is enough"
                self._owners[process] = owner, name
            holder, called = self._owners[process]
        return "" if holder is owner else f"workload {called} tracks it"

    def keep(self, owner: object, processes: set[Identity]) -> None:
        """Give up all claims but these."""
        with self._lock:
            mine = {process for process, (holder, _) in self._owners.items() if holder is owner}
            for process in mine - processes:
                del self._owners[process]

    def held(self) -> dict[int, str]:
        """What people call those who have claims, by process id."""
        with self._lock:
            return {process[0]: name for process, (_, name) in self._owners.items()}

    def _kin(self, process: Identity) -> Identity | None:
        """Who has the same memory. Only equal layouts are compared: so forked copies, too, but no strangers."""
        pid, _, layout = process
        if not any(layout):  # a zombie, which has none
            return None
        return next((each for each in self._owners if each[2] == layout and self._share(pid, each[0])), None)
