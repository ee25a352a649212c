"""The processes that files of the demote-idle policy's pagesofinterestdir are about: PID.vab names each.

Only a configuration that names nobody else is watched so; and whoever writes such a file names no process by it that
is never managed (reconciler/safety.py).
"""

from reconciler.engine import pages_of_interest
from reconciler.engine.watchers.watcher import Found


class Interested:
    directories: tuple[str, ...] = ()

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def look(self) -> Found:
        """Pids of processes that are gone are met where they are looked at."""
        return Found(pids=pages_of_interest.pids(self._directory))
