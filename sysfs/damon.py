"""DAMON by its sysfs tree (Documentation/admin-guide/mm/damon/usage.rst): values in, values out.

What a caller must know, all of it seen on real kernels:

* `nr_kdamonds` is one number for the machine, and writing it makes every kdamond anew. Who owns it is not decided
  here.
* All files that matter share one lock that is only ever tried, so any access may fail with EBUSY because of somebody
  else's: it is tried again for a few seconds. Our own threads must come one at a time.
* Before Linux 6.16 a bad `commit` succeeds and the kdamond ends. So `commit` looks at `state` afterwards.
* Before 6.2 there are no snapshots here (sysfs/damon_trace.py has them).
"""

import errno
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sysfs import damon_scheme
from sysfs.damon_scheme import Abilities, Context
from sysfs.errors import Busy, Gone, KernelError, Refused, Rejected
from sysfs.tree import Tree

ADMIN = "/sys/kernel/mm/damon/admin/kdamonds"
STAT = "/sys/module/damon_stat/parameters/enabled"
MODULES = ("damon_stat", "damon_reclaim", "damon_lru_sort")  # each wants DAMON for itself alone
_PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 0.8, 0.8)  # seconds between tries
_LEFT_OUT = {"state", "pid", "avail_operations", "tried_regions", "stats", "effective_bytes"}  # not settings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Regions in ascending order, as columns of equal length."""

    start: NDArray[np.uint64]
    end: NDArray[np.uint64]
    accesses: NDArray[np.uint32]  # samples of the last aggregation interval
    age: NDArray[np.uint32]  # aggregation intervals since the access pattern changed
    passed: NDArray[np.uint64]  # bytes that passed the scheme's filters, 0 where the kernel does not count them

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """What a scheme has done since it was staged."""

    tried_regions: int = 0
    tried_bytes: int = 0
    applied_regions: int = 0
    applied_bytes: int = 0
    quota_exceeded: int = 0  # times


class Damon:
    def __init__(self, tree: Tree, sleep: Callable[[float], None] = time.sleep) -> None:
        self._tree, self._sleep = tree, sleep

    # -- all kdamonds ------------------------------------------------------------------------------------------------

    def count(self) -> int:
        return int(self._read("nr_kdamonds"))

    def make(self, count: int) -> None:
        """So many new ones; those that were there are gone, with all that was set in them."""
        self._write("nr_kdamonds", str(count))

    def inode(self, number: int) -> int:
        """Of a kdamond's directory: another one with the same number has another."""
        return self._tree.inode(f"{ADMIN}/{number}")

    def exclusive(self) -> tuple[str, ...]:
        """Kernel modules that use DAMON now, so that nobody else can."""
        return exclusive(self._tree)

    def switch_stat(self, on: str) -> None:
        """DAMON_STAT (Linux 6.17): Y or N."""
        self._patiently(lambda: self._tree.write(STAT, on))

    # -- one kdamond -------------------------------------------------------------------------------------------------

    def is_on(self, number: int) -> bool:
        return self._read(f"{number}/state").strip() == "on"

    def thread(self, number: int) -> int:
        """Process id of a kdamond that is on."""
        return int(self._read(f"{number}/pid"))

    def contexts(self, number: int) -> int:
        return int(self._read(f"{number}/contexts/nr_contexts"))

    def clear(self, number: int) -> None:
        """As if nobody had ever set anything."""
        self._write(f"{number}/contexts/nr_contexts", "0")

    def stage(self, number: int, context: Context, can: Abilities) -> None:
        """Write it down; it holds from the next `on` or `commit` on."""
        if not self.contexts(number):
            self._write(f"{number}/contexts/nr_contexts", "1")
        for path, text in damon_scheme.files(context, can):
            self._write(f"{number}/contexts/0/{path}", text)

    def on(self, number: int) -> None:
        self._write(f"{number}/state", "on")

    def off(self, number: int) -> None:
        """Also if it has ended already, which the kernel calls an error up to 7.1."""
        try:
            self._write(f"{number}/state", "off")
        except (Refused, Rejected):
            if self.is_on(number):
                raise

    def commit(self, number: int) -> bool:
        """Take over what is staged; False if the kdamond did not survive it. Waits for the next aggregation."""
        self._write(f"{number}/state", "commit")
        return self.is_on(number)

    def update(self, number: int) -> None:
        """Fill tried_regions of all schemes; waits until each was applied once."""
        self._write(f"{number}/state", "update_schemes_tried_regions")

    def regions(self, number: int, scheme: int) -> Snapshot:
        """What the last `update` brought. The directories' names are sparse on Linux 6.16 to 7.1, and mean nothing."""
        base = f"{ADMIN}/{number}/contexts/0/schemes/{scheme}/tried_regions"
        names = self._tree.folders(base)
        columns = ["start", "end", "nr_accesses", "age"]
        if names and self._tree.exists(f"{base}/{names[0]}/sz_filter_passed"):
            columns.append("sz_filter_passed")
        read = self._tree.read_bytes
        rows = [[int(read(f"{base}/{name}/{column}")) for column in columns] for name in names]
        return snapshot(rows)

    def stats(self, number: int, scheme: int) -> Stats:
        """Fresh figures of one scheme."""
        self._write(f"{number}/state", "update_schemes_stats")
        base = f"{number}/contexts/0/schemes/{scheme}/stats"
        names = ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")
        tried, tried_bytes, applied, applied_bytes, exceeded = (int(self._read(f"{base}/{name}")) for name in names)
        return Stats(
            tried_regions=tried,
            tried_bytes=tried_bytes,
            applied_regions=applied,
            applied_bytes=applied_bytes,
            quota_exceeded=exceeded,
        )

    def tuned(self, number: int) -> tuple[int, int]:
        """Sampling and aggregation interval in microseconds that the kernel has found (Linux 6.15)."""
        self._write(f"{number}/state", "update_tuned_intervals")
        base = f"{number}/contexts/0/monitoring_attrs/intervals"
        return int(self._read(f"{base}/sample_us")), int(self._read(f"{base}/aggr_us"))

    # -- what it can, what it was --------------------------------------------------------------------------------------

    def abilities(self, number: int) -> Abilities:
        """By what files there are in a kdamond that is ours and off: it is empty afterwards."""
        self._write(f"{number}/contexts/nr_contexts", "1")
        context = f"{ADMIN}/{number}/contexts/0"
        for path in ("targets/nr_targets", "schemes/nr_schemes"):
            self._write(f"{number}/contexts/0/{path}", "1")
        for folder in ("filters", "core_filters"):
            with suppress(Gone):
                self._write(f"{number}/contexts/0/schemes/0/{folder}/nr_filters", "1")
        found = self._abilities(context, f"{context}/schemes/0")
        self.clear(number)
        return found

    def _abilities(self, context: str, scheme: str) -> Abilities:
        there = self._tree.exists
        filters = [f"{scheme}/{folder}" for folder in ("filters", "core_filters") if there(f"{scheme}/{folder}")]
        return Abilities(
            operations=self._operations(context),
            snapshots=there(f"{scheme}/tried_regions"),
            filters=bool(filters),
            target_filter=any(there(f"{each}/0/damon_target_idx") for each in filters),
            goals=there(f"{scheme}/quotas/goals"),
            target_nid=there(f"{scheme}/target_nid"),
            allow=any(there(f"{each}/0/allow") for each in filters),
            split_filters=there(f"{scheme}/core_filters"),
            tuning=there(f"{context}/monitoring_attrs/intervals/intervals_goal"),
            dests=there(f"{scheme}/dests"),
            virtual_young=there(f"{context}/addr_unit"),
            obsolete=there(f"{context}/targets/0/obsolete_target"),
        )

    def _operations(self, context: str) -> tuple[str, ...]:
        with suppress(Gone):  # Linux 5.19
            return tuple(self._tree.read(f"{context}/avail_operations").split())
        return Abilities().operations

    def settings(self, number: int) -> tuple[tuple[str, str], ...]:
        """Everything that can be set in a kdamond: paths below it and texts, in an order in which `restore` works."""
        return tuple(self._settings(str(number), ""))

    def _settings(self, number: str, below: str) -> list[tuple[str, str]]:
        folder = f"{ADMIN}/{number}/{below}".rstrip("/")
        folders = set(self._tree.folders(folder)) - _LEFT_OUT
        names = [name for name in self._tree.list(folder) if name not in folders | _LEFT_OUT]
        names.sort(key=lambda name: not name.startswith("nr_"))  # these make directories
        found = [(f"{below}{name}", self._read(f"{number}/{below}{name}").strip()) for name in names]
        for name in sorted(folders):
            found += self._settings(number, f"{below}{name}/")
        return [each for each in found if each[1]]

    def restore(self, number: int, settings: tuple[tuple[str, str], ...]) -> None:
        """Set a kdamond that is off as it was; files that only tell something refuse, and that is right."""
        self.clear(number)
        for path, text in settings:
            with suppress(Refused, Rejected, Gone):
                self._write(f"{number}/{path}", text)

    # -- files ---------------------------------------------------------------------------------------------------------

    def _read(self, path: str) -> str:
        return self._patiently(lambda: self._tree.read(f"{ADMIN}/{path}"))

    def _write(self, path: str, text: str) -> None:
        self._patiently(lambda: self._tree.write(f"{ADMIN}/{path}", text))

    def _patiently(self, call: Callable[[], _T]) -> _T:
        for pause in _PAUSES:
            try:
                return call()
            except Busy as error:
                if error.errno != errno.EBUSY:
                    raise
                self._sleep(pause)
        return call()


def exclusive(tree: Tree) -> tuple[str, ...]:
    """Kernel modules that use DAMON now, so that nobody else can."""
    return tuple(name for name in MODULES if _enabled(tree, name))


def _enabled(tree: Tree, module: str) -> bool:
    with suppress(KernelError):
        return tree.read(f"/sys/module/{module}/parameters/enabled").strip() in {"Y", "1"}
    return False


def snapshot(rows: list[list[int]]) -> Snapshot:
    """From rows of start, end, accesses, age and perhaps bytes passed, in any order."""
    width = len(rows[0]) if rows else 4
    table = np.array(rows, np.uint64).reshape(-1, width)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Snapshot(
        start=table[:, 0],
        end=table[:, 1],
        accesses=table[:, 2].astype(np.uint32),
        age=table[:, 3].astype(np.uint32),
        passed=table[:, 4] if width > 4 else np.zeros(len(table), np.uint64),
    )
