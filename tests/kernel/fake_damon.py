"""DAMON's sysfs tree as the kernel behaves: one owner, rebuilt by each write of nr_kdamonds, busy while anything runs.

    damon = FakeDamon(kernel)            # CONFIG_DAMON_SYSFS
    damon.stat = True                    # DAMON_STAT runs (the default of Debian kernels from 6.17 on)
    damon.foreign()                      # somebody else has made a kdamond and started it

Documentation/admin-guide/mm/damon/usage.rst; which errors come was seen on Linux 6.12 to 7.3.
"""

import errno
from collections.abc import Callable

from tests.kernel.fake import FakeKernel
from tests.kernel.files import failure

ADMIN = "/sys/kernel/mm/damon/admin/kdamonds"
STAT = "/sys/module/damon_stat/parameters/enabled"
_FIRST_PID = 900


class FakeDamon:
    def __init__(self, kernel: FakeKernel) -> None:
        self.kernel = kernel
        self.stat = False  # runs DAMON exclusively
        self.in_flight = False  # somebody else's command holds the one lock of all files
        self.running: list[bool] = []
        self.contexts: list[int] = []
        self._started: set[int] = set()
        self._add(f"{ADMIN}/nr_kdamonds", lambda: str(len(self.running)), self._set_count)
        self._add(STAT, lambda: "Y" if self.stat else "N", self._set_stat)

    def foreign(self) -> None:
        """A vendor's agent was here first; nothing of it is counted as our write."""
        self._set_count("1")
        self._set_contexts(0, "1")
        self._command(0, "on")

    def _set_count(self, text: str) -> None:
        self._lock()
        count = _count(text)
        if any(self.running):
            raise failure(errno.EBUSY)
        for number in range(len(self.running)):
            self.kernel.fs.remove_object(self.kernel.tree.path(f"{ADMIN}/{number}"))
        self.running, self.contexts, self._started = [False] * count, [0] * count, set()
        for number in range(count):
            self._make(number)

    def _make(self, number: int) -> None:
        base = f"{ADMIN}/{number}"
        self._add(f"{base}/state", lambda: self._state(number), lambda text: self._command(number, text))
        self._add(f"{base}/pid", lambda: str(_FIRST_PID + number if self.running[number] else -1))
        self._add(
            f"{base}/contexts/nr_contexts",
            lambda: str(self.contexts[number]),
            lambda text: self._set_contexts(number, text),
        )

    def _state(self, number: int) -> str:
        self._lock()
        return "on" if self.running[number] else "off"

    def _set_contexts(self, number: int, text: str) -> None:
        self._lock()
        count = _count(text)
        if count > 1:  # the kernel has one context for each kdamond, up to 7.3
            raise failure(errno.EINVAL)
        self.contexts[number] = count

    def _command(self, number: int, text: str) -> None:
        self._lock()
        commands: dict[str, Callable[[int], None]] = {"on": self._on, "off": self._off, "commit": self._commit}
        command = commands.get(text.strip())
        if command is None:
            raise failure(errno.EINVAL)
        command(number)

    def _on(self, number: int) -> None:
        if self.running[number] or self.stat:
            raise failure(errno.EBUSY)
        if not self.contexts[number]:
            raise failure(errno.EINVAL)
        self.running[number] = True
        self._started.add(number)

    def _off(self, number: int) -> None:
        if not self.running[number]:
            raise failure(errno.EPERM if number in self._started else errno.EINVAL)
        self.running[number] = False

    def _commit(self, number: int) -> None:
        if not self.running[number]:
            raise failure(errno.EINVAL)

    def _set_stat(self, text: str) -> None:
        wanted = text.strip() in {"Y", "y", "1"}
        if wanted and any(self.running):
            raise failure(errno.EBUSY)
        self.stat = wanted

    def _lock(self) -> None:
        if self.in_flight:
            raise failure(errno.EBUSY)

    def _add(self, path: str, show: Callable[[], str], store: Callable[[str], None] | None = None) -> None:
        self.kernel.add_file(path, lambda: show() + "\n", store)


def _count(text: str) -> int:
    try:
        count = int(text.strip(), 0)
    except ValueError:
        raise failure(errno.EINVAL) from None
    if count < 0:
        raise failure(errno.EINVAL)
    return count
