"""What a watcher is: each time it is asked, it says whose memory is to be looked at."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Who is there now. That a process may be managed is decided elsewhere (engine/members.py, safety.py)."""

    pids: frozenset[int] = frozenset()
    named: frozenset[int] = frozenset()  # of them: named by an administrator, who lifts the never-managed list
    follow: tuple[str, ...] = ()  # directories: if something changes there, it is worth looking again at once
    notes: tuple[str, ...] = ()
    trouble: str = ""  # what could not be read just now: `pids` are in part those of the time before


class Watcher(Protocol):
    @property
    def directories(self) -> tuple[str, ...]:
        """The cgroups that are watched as wholes, absolute inside the tree."""
        ...

    def look(self) -> Found:
        """KernelError if nobody can know who is there."""
        ...


class Nobody:
    """memtierd's `stub`: finds no process, for classes that only run routines."""

    directories: tuple[str, ...] = ()

    def look(self) -> Found:
        return Found()


class Together:
    """What several watchers find: a record may name a cgroup, and processes beside it."""

    def __init__(self, watchers: tuple[Watcher, ...]) -> None:
        self._watchers = watchers

    @property
    def directories(self) -> tuple[str, ...]:
        return tuple(path for watcher in self._watchers for path in watcher.directories)

    def look(self) -> Found:
        looks = [watcher.look() for watcher in self._watchers]
        return Found(
            pids=frozenset[int]().union(*(found.pids for found in looks)),
            named=frozenset[int]().union(*(found.named for found in looks)),
            follow=tuple(path for found in looks for path in found.follow),
            notes=tuple(note for found in looks for note in found.notes),
            trouble=next((found.trouble for found in looks if found.trouble), ""),
        )
