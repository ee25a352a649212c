"""What classes would save where nothing acts: workloads without a class, and those of `mode: observe`.

No container is written to for it. Where a loop only measures, its tracker knows. Everywhere else the kernel's own
generations are read, which has no effects (Documentation/admin-guide/mm/multigen_lru.rst): pages of a generation were
last used before the next one was made. The kernel makes them when memory is short, so ages are believed only where it
has looked lately. Without MGLRU the kernel's inactive lists (memory.stat) are all there is, and they know no ages.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.engine.accessed import ALL, AccessedTable
from reconciler.engine.trackers.tracker import WITHOUT_ADDRESSES
from reconciler.model import ClassTable, Features, Mode
from reconciler.report import OutlookReport, Report, WorkloadReport, Would
from sysfs import cgroup, mglru, swap
from sysfs.errors import KernelError
from sysfs.mglru import Lruvec
from sysfs.tree import Tree

EVERY_S = 60.0
FRESH_S = 180.0  # since the kernel looked: after that, uses went unnoticed for too long
EXAMPLES = (("swapout: 1m", 60.0), ("swapout: 10m", 600.0), ("swapout: 1h", 3600.0))
_NO_LOOK = (
    "of {} the kernel has not looked at the ages for {:.0f} min or more; a class with `mode: observe` measures them"
)
_YOUNG = "of {} a tracker has only begun to look"
_LISTS = "ages are not known on this kernel (no MGLRU): these are its inactive lists, from memory.stat"
_NO_SWAP = "there is no swap: only page cache could leave"

Accessed = Callable[[str, Sequence[float]], AccessedTable]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A class that takes out what was not used for so long."""

    name: str
    after_s: float
    kinds: tuple[str, ...] = ("anon",)


def candidates(table: ClassTable) -> tuple[Candidate, ...]:
    """Classes that page out by age; if there is none, examples."""
    found = [
        Candidate(name=name, after_s=each.engine.idle_after_ms() / 1000, kinds=each.engine.policy.page_types)
        for name, each in sorted(table.classes.items())
        if each.engine is not None and each.engine.pages_out() and each.engine.idle_after_ms()
    ]
    return tuple(found) or tuple(Candidate(name=name, after_s=after) for name, after in EXAMPLES)


@dataclass(slots=True)
class Outlook:
    tree: Tree
    accessed: Accessed
    _at: float = float("-inf")
    _rows: dict[str, tuple[Would, ...]] = field(default_factory=dict)
    _told: OutlookReport = field(default_factory=OutlookReport)

    def told(self, report: Report, table: ClassTable, features: Features, now: float) -> Report:
        """The report with what would be; looked at anew once a minute. `now`: seconds, monotonic."""
        idle = [row for row in report.workloads if _nothing_acts(row)]
        if now - self._at >= EVERY_S or any(map(self._missing, idle)):
            self._at = now
            self._look(idle, candidates(table), features)
        rows = tuple(replace(row, would=self._rows.get(row.id, ())) for row in report.workloads)
        return replace(report, workloads=rows, outlook=self._told)

    def _missing(self, row: WorkloadReport) -> bool:
        """It is new, or its tracker may know by now."""
        return row.id not in self._rows or (_measured(row) and not self._rows[row.id])

    def _look(self, rows: Sequence[WorkloadReport], wanted: Sequence[Candidate], features: Features) -> None:
        if not rows:
            self._rows, self._told = {}, OutlookReport()
            return
        room = swap.read(self.tree).total_bytes > 0
        sight = _Sight(self.tree, features, {row.cgroup for row in rows if row.cgroup}, swap=room)
        self._rows = {row.id: self._of(row, wanted, sight) for row in rows}
        found = [each for one in self._rows.values() for each in one]
        unknown = sum(not one for one in self._rows.values())
        young = sum(_measured(row) and not self._rows[row.id] for row in rows)
        notes = [
            _YOUNG.format(_counted(young)) if young else "",
            _NO_LOOK.format(_counted(unknown - young), FRESH_S / 60) if unknown > young else "",
            _LISTS if any(each.source == "memory.stat" for each in found) else "",
            "" if room else _NO_SWAP,
        ]
        known = len(rows) - unknown
        self._told = OutlookReport(
            classes=_sums(found), workloads=known, unknown=unknown, note="; ".join(filter(None, notes))
        )

    def _of(self, row: WorkloadReport, wanted: Sequence[Candidate], sight: "_Sight") -> tuple[Would, ...]:
        """A class that observes is measured by itself; everybody else by all."""
        mine = [each for each in wanted if each.name == row.class_name] or wanted
        if _measured(row):
            looked = row.engine is not None and row.engine.scans and row.engine.tracked_bytes
            return self._tracked(row, mine) if looked else ()
        return tuple(found for each in mine if (found := sight.of(row.cgroup, each)) is not None)

    def _tracked(self, row: WorkloadReport, wanted: Sequence[Candidate]) -> tuple[Would, ...]:
        """Nothing where the loop has ended since it was reported."""
        assert row.engine is not None
        source = f"tracker {row.engine.tracker}"
        try:
            sizes = [_present(self.accessed(row.id, (each.after_s, 0.0))) for each in wanted]
        except LookupError:
            return ()
        return tuple(
            Would(class_name=each.name, after_secs=each.after_s, bytes=size, source=source)
            for each, size in zip(wanted, sizes, strict=True)
        )


def _present(table: AccessedTable) -> int:
    """Bytes of a table's only row that are not in swap already; of all processes, if there are several."""
    whole = [row for row in table.rows if row.pid == ALL] or table.rows
    return sum(row.bytes * (row.pages - row.swapped_pages) // max(row.pages, 1) for row in whole)


class _Sight:
    """One look at the kernel, for all workloads."""

    def __init__(self, tree: Tree, features: Features, paths: Collection[str], *, swap: bool) -> None:
        self._tree, self._features, self._swap = tree, features, swap
        try:
            found: tuple[Lruvec, ...] | None = mglru.read(tree)
        except KernelError:
            found = None
        self._known = found is not None
        self._inside: dict[str, list[Lruvec]] = {path: [] for path in paths}
        for each in found or ():
            for path in _upwards(each.path):
                if path in self._inside:
                    self._inside[path].append(each)

    def of(self, path: str, wanted: Candidate) -> Would | None:
        """None = it is not known."""
        if not path:
            return None
        size = self._by_generations(path, wanted) if self._known else self._inactive(path, wanted)
        source = "mglru" if self._known else "memory.stat"
        if size is None:
            return None
        return Would(class_name=wanted.name, after_secs=wanted.after_s, bytes=size, source=source)

    def _by_generations(self, path: str, wanted: Candidate) -> int | None:
        mine = self._inside[path]
        fresh = [each for each in mine if each.generations[-1].age_ms <= FRESH_S * 1000]
        if not fresh or 2 * sum(each.pages for each in fresh) < sum(each.pages for each in mine):
            return None
        return sum(self._old(each, wanted) for each in fresh) * self._features.page_size

    def _old(self, lruvec: Lruvec, wanted: Candidate) -> int:
        """Pages: each generation ends where the next one begins."""
        pages = 0
        for one, following in zip(lruvec.generations, lruvec.generations[1:], strict=False):
            if following.age_ms >= wanted.after_s * 1000:
                pages += one.anon_pages if self._swap and "anon" in wanted.kinds else 0
                pages += one.file_pages if "file" in wanted.kinds else 0
        return pages

    def _inactive(self, path: str, wanted: Candidate) -> int | None:
        try:
            found: Mapping[str, int] = cgroup.stat(self._tree, self._features.cgroup_mount + path.rstrip("/"))
        except KernelError:
            return None
        kinds = [kind for kind in wanted.kinds if kind != "anon" or self._swap]
        return sum(found.get(f"inactive_{kind}", 0) for kind in kinds)


def _upwards(path: str) -> Iterator[str]:
    while path not in {"", "/"}:
        yield path
        path = path.rpartition("/")[0]
    yield "/"


def _measured(row: WorkloadReport) -> bool:
    """By a tracker that knows addresses; MGLRU is asked of the kernel, then."""
    return row.engine is not None and not row.engine.error and row.engine.tracker not in WITHOUT_ADDRESSES


def _nothing_acts(row: WorkloadReport) -> bool:
    return row.state in {"unmanaged", "observed"} or (row.mode == Mode.OBSERVE and row.state != "gone")


def _sums(found: Sequence[Would]) -> tuple[Would, ...]:
    """By class; where sources differ all are named."""
    result: dict[str, Would] = {}
    for each in found:
        known = result.get(each.class_name)
        if known is None:
            result[each.class_name] = each
        else:
            sources = dict.fromkeys([*known.source.split(", "), each.source])
            result[each.class_name] = replace(known, bytes=known.bytes + each.bytes, source=", ".join(sources))
    return tuple(result.values())


def _counted(number: int) -> str:
    return "1 workload" if number == 1 else f"{number} workloads"
