"""A process is tracked by one loop at a time.

Looking is not free of effects: each look clears the marks that it found. Two loops on one process (nested cgroups, a
glob that meets a container, the old loop of a workload that is just being restarted) would steal each other's
evidence, and memory in use would look idle to both.
"""

import threading

Identity = tuple[int, int]  # pid, start time


class Claims:
    def __init__(self) -> None:
        self._owners: dict[Identity, tuple[object, str]] = {}
        self._lock = threading.Lock()

    def take(self, owner: object, name: str, process: Identity) -> str:
        """Claim it for `owner`, whom people call `name`; the name of another owner, if there is one, else ""."""
        with self._lock:
            holder, called = self._owners.setdefault(process, (owner, name))
        return "" if holder is owner else called

    def keep(self, owner: object, processes: set[Identity]) -> None:
        """Give up all claims but these."""
        with self._lock:
            mine = {process for process, (holder, _) in self._owners.items() if holder is owner}
            for process in mine - processes:
                del self._owners[process]
