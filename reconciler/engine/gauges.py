"""What the brakes are told: pressure, swap and refaults of one workload, read from the kernel."""

from collections import deque
from collections.abc import Sequence

from reconciler.brakes import WINDOW_S, Signals
from sysfs import cgroup, pressure, swap
from sysfs.errors import KernelError
from sysfs.tree import Tree

STALL_WINDOW_S = 10.0  # shorter, and one slow page-in of a moment would brake


class Gauges:
    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._stalls: deque[tuple[float, int]] = deque()  # when, microseconds of stall in all
        self._back: deque[tuple[float, int]] = deque()  # when, bytes that came back

    def came_back(self, now: float, size: int) -> None:
        if size:
            self._back.append((now, size))

    def read(self, now: float, directories: Sequence[str], out_bytes: int) -> Signals:
        """`directories`: the workload's cgroups, absolute inside the tree."""
        while self._back and self._back[0][0] < now - WINDOW_S:
            self._back.popleft()
        devices = swap.read(self._tree)
        limit, used = self._swap_of(directories)
        return Signals(
            stall_percent=self._stall_percent(now, directories),
            out_bytes=out_bytes,
            came_back_bytes=sum(size for _, size in self._back),
            swap_total_bytes=devices.total_bytes,
            swap_free_bytes=devices.free_bytes,
            swap_limit_bytes=limit,
            swap_used_bytes=used,
        )

    def _stall_percent(self, now: float, directories: Sequence[str]) -> float:
        """Over the last readings, ten seconds or a little more; 0 where the kernel accounts no pressure."""
        total = self._stalled(directories)
        self._stalls.append((now, total))
        while len(self._stalls) > 2 and self._stalls[1][0] <= now - STALL_WINDOW_S:
            self._stalls.popleft()
        since, before = self._stalls[0]
        return max(total - before, 0) / (now - since) / 1e4 if now > since else 0.0

    def _stalled(self, directories: Sequence[str]) -> int:
        paths = [f"{directory}/memory.pressure" for directory in directories] or [pressure.NODE]
        return max(self._stall_of(path) for path in paths)

    def _stall_of(self, path: str) -> int:
        try:
            return pressure.read(self._tree, path).some_us
        except (KernelError, ValueError):
            return 0

    def _swap_of(self, directories: Sequence[str]) -> tuple[int | None, int]:
        """The most generous limit of the cgroups, and what that cgroup uses."""
        found = [self._limit_and_use(directory) for directory in directories]
        if not found or any(limit is None for limit, _ in found):
            return None, 0
        return max(((limit or 0, used) for limit, used in found), key=lambda pair: pair[0] - pair[1])

    def _limit_and_use(self, directory: str) -> tuple[int | None, int]:
        try:
            return cgroup.limits(self._tree, directory).swap_bytes, cgroup.swap_bytes(self._tree, directory)
        except KernelError:
            return None, 0
