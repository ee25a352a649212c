"""Processes that somebody named by number. A number is a process only as long as that one lives.

The process that has the number at the first look is the one that was meant; whoever gets the number after it is a
stranger, and was not named.
"""

from reconciler.engine.watchers.watcher import Found
from sysfs import process
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree


class Pidlist:
    directories: tuple[str, ...] = ()

    def __init__(self, tree: Tree, pids: frozenset[int], named: frozenset[int]) -> None:
        self._tree, self._pids, self._named = tree, pids, named
        self._meant: dict[int, int] = {}  # pid -> start time

    def look(self) -> Found:
        said = {pid: self._away(pid) for pid in sorted(self._pids)}
        here = frozenset(pid for pid, why in said.items() if not why)
        notes = tuple(f"process {pid} {why}" for pid, why in said.items() if why)
        return Found(pids=here, named=here & self._named, notes=notes)

    def _away(self, pid: int) -> str:
        """Why there is nobody to look at, "" if there is."""
        try:
            start = process.start_time(self._tree, pid)
        except Gone:
            return "has ended" if pid in self._meant else "does not exist now"
        except KernelError:
            return ""  # who cannot be looked at is said where it is tried
        if self._meant.setdefault(pid, start) != start:
            return "has ended, and another process has its number now"
        return ""
