"""inotify on cgroups, for all loops of an engine: something came, went or became populated, so it is worth looking.

A ring carries no facts, and polling goes on beside it: events may be lost, and a new process in a populated cgroup
makes none (docs/adr/0010). One descriptor and one thread serve all workloads, once somebody follows something.
"""

import logging
import threading
from collections.abc import Callable, Iterable

from sysfs import inotify
from sysfs.errors import KernelError
from sysfs.inotify import IGNORED, OVERFLOW, Inotify
from sysfs.tree import Tree

MOST_FOLLOWED = 64  # directories of one workload; who makes more is polled there

_log = logging.getLogger("ebbtide.engine")


class Bells:
    def __init__(self, tree: Tree) -> None:
        self._tree, self._lock = tree, threading.Lock()
        self._opened: Inotify | None = None
        self._thread: threading.Thread | None = None
        self._closed = False
        self._wanted: dict[object, frozenset[str]] = {}  # owner -> paths
        self._rings: dict[object, Callable[[], None]] = {}
        self._numbers: dict[str, int] = {}  # path -> watch
        self.trouble = ""  # why changes are found by polling alone

    def follow(self, owner: object, directories: Iterable[str], ring: Callable[[], None]) -> bool:
        """From now on exactly these; True if one is new: what happened there before was not heard."""
        paths = [path for each in list(directories)[:MOST_FOLLOWED] for path in (each, f"{each}/cgroup.events")]
        with self._lock:
            if self._closed or not self._ready():
                return False
            self._rings[owner] = ring
            self._wanted[owner] = frozenset(paths)
            self._drop_unwanted()
            new = [self._add(path) for path in paths if path not in self._numbers]
        return any(new)

    def leave(self, owner: object) -> None:
        with self._lock:
            self._wanted.pop(owner, None)
            self._rings.pop(owner, None)
            self._drop_unwanted()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            opened, thread = self._opened, self._thread
        if opened is None or thread is None:
            return
        opened.interrupt()
        thread.join()
        opened.close()

    # -- watches, under the lock -------------------------------------------------------------------------------------

    def _ready(self) -> bool:
        if self._opened is None and not self.trouble:
            try:
                self._opened = Inotify(self._tree)
            except KernelError as error:  # no descriptor left: once said, and polling remains
                self._say(error)
                return False
            self._thread = threading.Thread(target=self._listen, args=(self._opened,), name="engine-bells", daemon=True)
            self._thread.start()
        return self._opened is not None

    def _add(self, path: str) -> bool:
        assert self._opened is not None
        mask = inotify.FILE if path.endswith("/cgroup.events") else inotify.DIRECTORY
        try:
            self._numbers[path] = self._opened.add(path, mask)
        except KernelError as error:
            if self._tree.exists(path):
                self._say(error)
            return False
        self.trouble = ""
        return True

    def _drop_unwanted(self) -> None:
        wanted = frozenset[str]().union(*self._wanted.values())
        for path in self._numbers.keys() - wanted:
            number = self._numbers.pop(path)
            if self._opened is not None:
                self._opened.remove(number)

    def _say(self, error: KernelError) -> None:
        if not self.trouble:
            _log.warning("event=inotify-failed error=%s", error)
        self.trouble = f"changes of cgroups are found by polling alone: {error}; see sysctl fs.inotify"

    # -- the thread --------------------------------------------------------------------------------------------------

    def _listen(self, opened: Inotify) -> None:
        while events := opened.wait():
            for ring in self._heard(events):
                ring()

    def _heard(self, events: tuple[tuple[int, int], ...]) -> list[Callable[[], None]]:
        """Whose bells ring; watches that the kernel has taken away are forgotten, so that `follow` makes them anew."""
        numbers = {number for number, _ in events}
        gone = {number for number, mask in events if mask & IGNORED}
        with self._lock:
            paths = {path for path, number in self._numbers.items() if number in numbers or OVERFLOW in numbers}
            self._numbers = {path: number for path, number in self._numbers.items() if number not in gone}
            return [self._rings[owner] for owner, wanted in self._wanted.items() if wanted & paths]
