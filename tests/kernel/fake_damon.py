"""DAMON's sysfs tree as kernels of each generation behave: one owner, rebuilt by each write of nr_kdamonds, one lock.

    damon = FakeDamon(kernel, "6.12")    # CONFIG_DAMON_SYSFS of that kernel
    damon.stat = True                    # DAMON_STAT runs (the default of Debian kernels from 6.17 on)
    damon.foreign()                      # somebody else has made a kdamond and started it
    damon.sees[70] = [Row(start, end, accesses, age)]
    damon.advance(20)                    # aggregation intervals: schemes act, ages grow

Documentation/admin-guide/mm/damon/usage.rst; which errors come was seen on Linux 6.12 to 7.3.
"""

import errno
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.kernel.fake import FakeKernel
from tests.kernel.files import failure

ADMIN = "/sys/kernel/mm/damon/admin/kdamonds"
STAT = "/sys/module/damon_stat/parameters/enabled"
TRACING = "/sys/kernel/tracing/instances"
_FIRST_PID = 900
_KEYWORDS = {"memcg": "6.3", "anon": "6.3", "target": "6.6", "addr": "6.6", "young": "6.10"}
_ACTIONS = {"stat", "pageout", "cold", "willneed", "lru_prio", "lru_deprio", "migrate_cold", "migrate_hot"}


@dataclass(frozen=True)
class Row:
    """A region as DAMON sees it."""

    start: int
    end: int
    accesses: int = 0
    age: int = 1 << 30  # at most as long as it was watched
    passed: int = 0  # bytes that are young


@dataclass
class Watched:
    """A target of a running kdamond."""

    pid: int
    regions: list[tuple[int, int]]
    aggregations: int = 0  # since its regions were given


@dataclass
class Running:
    operations: str
    targets: list[Watched]
    schemes: list[dict[str, str]]
    figures: list[list[int]] = field(default_factory=list)  # of each scheme: tried, bytes, applied, bytes, exceeded


class FakeDamon:
    def __init__(self, kernel: FakeKernel, version: str = "6.12", operations: str = "vaddr\nfvaddr\npaddr") -> None:
        self.kernel, self.version, self.operations = kernel, version, operations
        self.stat = False  # runs DAMON exclusively
        self.in_flight = 0  # so many accesses find that somebody else's command holds the one lock of all files
        self.sees: dict[int, list[Row]] = {}
        self.acted: list[tuple[str, int, int, int]] = []  # action, pid, start, end
        self.commits = 0
        self.kdamonds: list[FakeKdamond] = []
        self.names = 28  # of the next region's directory, where they only grow
        self._add(f"{ADMIN}/nr_kdamonds", lambda: str(len(self.kdamonds)), self._set_count)
        self._add(STAT, lambda: "Y" if self.stat else "N", self._set_stat)

    def since(self, version: str) -> bool:
        return _number(self.version) >= _number(version)

    def foreign(self, count: int = 1) -> None:
        """A vendor's agent was here first; nothing of it is counted as our write."""
        self._set_count(str(count))
        self.kdamonds[0].make("contexts/nr_contexts", "1")
        self.kdamonds[0].make("contexts/0/operations", "paddr")
        self.kdamonds[0].make("contexts/0/targets/nr_targets", "1")
        self.kdamonds[0].command("on")

    def advance(self, aggregations: int) -> None:
        for kdamond in self.kdamonds:
            kdamond.advance(aggregations)

    def tracefs(self) -> None:
        self.kernel.fs.create_dir(self.kernel.tree.path(TRACING))
        self.kernel.tree.made = self._instance

    def _instance(self, path: str) -> None:
        for name in ("buffer_size_kb", "set_event_pid", "events/damon/damon_aggregated/enable"):
            self.kernel.add_file(f"{path}/{name}", lambda: "\n", lambda _text: None)

    def _set_count(self, text: str) -> None:
        self.lock()
        count = _count(text)
        if any(kdamond.on for kdamond in self.kdamonds):
            raise failure(errno.EBUSY)
        for kdamond in self.kdamonds:
            self.kernel.fs.remove_object(self.kernel.tree.path(kdamond.base))
        self.kdamonds = [FakeKdamond(self, number) for number in range(count)]

    def _set_stat(self, text: str) -> None:
        wanted = text.strip() in {"Y", "y", "1"}
        if wanted and any(kdamond.on for kdamond in self.kdamonds):
            raise failure(errno.EBUSY)
        self.stat = wanted

    def lock(self) -> None:
        if self.in_flight:
            self.in_flight -= 1
            raise failure(errno.EBUSY)

    def _add(self, path: str, show: Callable[[], str], store: Callable[[str], None] | None = None) -> None:
        self.kernel.add_file(path, lambda: show() + "\n", store)


class FakeKdamond:
    def __init__(self, damon: FakeDamon, number: int) -> None:
        self.damon, self.base, self.pid = damon, f"{ADMIN}/{number}", _FIRST_PID + number
        self.values: dict[str, str] = {}
        self.running: Running | None = None
        self._started = False
        self.inode = damon.kernel.fs.create_dir(damon.kernel.tree.path(self.base)).st_ino
        self._file("state", self._state, self.command)
        self._file("pid", lambda: str(self.pid if self.on else -1))
        self._many("contexts", "nr_contexts", self._context, most=1)

    @property
    def on(self) -> bool:
        """It ends by itself when all of its processes have exited."""
        run = self.running
        if run is not None and run.operations != "paddr" and not any(self._alive(each.pid) for each in run.targets):
            self.running = None
        return self.running is not None

    def make(self, path: str, text: str) -> None:
        """As a write, but not counted as ours."""
        writes = len(self.damon.kernel.writes)
        self.damon.kernel.tree.write(f"{self.base}/{path}", text)
        del self.damon.kernel.writes[writes:]

    # -- the tree ----------------------------------------------------------------------------------------------------

    def _context(self, base: str) -> None:
        self._file(f"{base}/avail_operations", lambda: self.damon.operations)
        self._values(base, operations="vaddr")
        intervals = f"{base}/monitoring_attrs/intervals"
        self._values(intervals, sample_us="5000", aggr_us="100000", update_us="60000000")
        self._values(f"{base}/monitoring_attrs/nr_regions", min="10", max="1000")
        if self.damon.since("6.15"):
            goal = {"access_bp": "0", "aggrs": "0", "min_sample_us": "0", "max_sample_us": "0"}
            self._values(f"{intervals}/intervals_goal", **goal)
        if self.damon.since("6.18"):
            self._values(base, addr_unit="1")
        self._many(f"{base}/targets", "nr_targets", self._target)
        self._many(f"{base}/schemes", "nr_schemes", self._scheme)

    def _target(self, base: str) -> None:
        self._values(base, pid_target="0")
        if self.damon.since("6.19"):
            self._values(base, obsolete_target="N")
        self._many(f"{base}/regions", "nr_regions", lambda region: self._values(region, start="0", end="0"))

    def _scheme(self, base: str) -> None:
        self._values(base, action="stat")
        for name in ("sz", "nr_accesses", "age"):
            self._values(f"{base}/access_pattern/{name}", min="0", max="0")
        self._values(f"{base}/quotas", ms="0", bytes="0", reset_interval_ms="0")
        for number, name in enumerate(("nr_tried", "sz_tried", "nr_applied", "sz_applied", "qt_exceeds")):
            self.values[f"{base}/stats/{number}"] = "0"
            self._file(f"{base}/stats/{name}", lambda number=number: self.values[f"{base}/stats/{number}"])  # type: ignore[misc]
        since = self.damon.since
        if since("6.2"):
            self._folder(f"{base}/tried_regions")
            self._file(f"{base}/tried_regions/total_bytes", lambda: "0")
        if since("6.8"):
            self._many(f"{base}/quotas/goals", "nr_goals", self._goal)
        if since("6.11"):
            self._values(base, target_nid="-1")
        if since("6.17"):
            self._many(f"{base}/dests", "nr_dests", lambda dest: self._values(dest, id="0", weight="0"))
        folders = ["filters"] * since("6.3") + ["core_filters", "ops_filters"] * since("6.15")
        for folder in folders:
            self._many(f"{base}/{folder}", "nr_filters", self._filter)

    def _goal(self, base: str) -> None:
        self._values(base, target_metric="user_input", target_value="0", current_value="0", nid="0", path="")

    def _filter(self, base: str) -> None:
        self._values(base, matching="N", memcg_path="")
        if self.damon.since("6.6"):
            self._values(base, damon_target_idx="0", addr_start="0", addr_end="0")
        if self.damon.since("6.14"):
            self._values(base, allow="N")
        self.values[f"{base}/type"] = "anon"

        def store(text: str) -> None:
            core = text.strip() in {"target", "addr"}
            wrong = ("/ops_" in base and core) or ("/core_" in base and not core)
            if wrong or not self.damon.since(_KEYWORDS.get(text.strip(), "99")):
                raise failure(errno.EINVAL)
            self.values[f"{base}/type"] = text.strip()

        self._file(f"{base}/type", lambda: self.values[f"{base}/type"], store)

    def _values(self, base: str, **defaults: str) -> None:
        for name, default in defaults.items():
            path = f"{base}/{name}"
            self.values[path] = default
            self._file(path, lambda path=path: self.values[path], lambda text, path=path: self._set(path, text))  # type: ignore[misc]

    def _set(self, path: str, text: str) -> None:
        name = path.rpartition("/")[2]
        if name in {"pid_target", "memcg_path"}:
            self.damon.lock()
        known = {"operations": self.damon.operations.split(), "action": _ACTIONS}.get(name)
        if known is not None and text.strip() not in known:
            raise failure(errno.EINVAL)
        self.values[path] = text.strip()

    def _many(self, base: str, name: str, template: Callable[[str], None], most: int = 1 << 20) -> None:
        """A directory whose numbered ones a write of nr_* makes anew."""
        counter = f"{base}/{name}"
        self.values[counter] = "0"

        def store(text: str) -> None:
            self.damon.lock()
            count = _count(text)
            if count > most:
                raise failure(errno.EINVAL)
            for number in range(int(self.values[counter])):
                self._remove(f"{base}/{number}")
            self.values[counter] = str(count)
            for number in range(count):
                template(f"{base}/{number}")

        self._file(counter, lambda: self.values[counter], store)

    def _remove(self, path: str) -> None:
        self.damon.kernel.fs.remove_object(self.damon.kernel.tree.path(f"{self.base}/{path}"))
        self.values = {key: each for key, each in self.values.items() if not key.startswith(path + "/")}

    def _folder(self, path: str) -> None:
        self.damon.kernel.fs.create_dir(self.damon.kernel.tree.path(f"{self.base}/{path}"))

    def _file(self, path: str, show: Callable[[], str], store: Callable[[str], None] | None = None) -> None:
        self.damon._add(f"{self.base}/{path}", show, store)

    # -- commands ----------------------------------------------------------------------------------------------------

    def _state(self) -> str:
        self.damon.lock()
        return "on" if self.on else "off"

    def command(self, text: str) -> None:
        self.damon.lock()
        commands: dict[str, Callable[[], None]] = {
            "on": self._on,
            "off": self._off,
            "commit": self._commit,
            "update_schemes_stats": self._update_stats,
        }
        if self.damon.since("6.2"):
            commands["update_schemes_tried_regions"] = self._update_regions
        if self.damon.since("6.15"):
            commands["update_tuned_intervals"] = lambda: None
        if text.strip() not in commands:
            raise failure(errno.EINVAL)
        commands[text.strip()]()

    def _on(self) -> None:
        if self.on or self.damon.stat:
            raise failure(errno.EBUSY)
        self.running = self._inputs()
        self._started = True

    def _off(self) -> None:
        if not self.on:
            raise failure(errno.EPERM if self._started else errno.EINVAL)
        self.running = None

    def _commit(self) -> None:
        """Before Linux 6.16 what is wrong ends the kdamond, and the write succeeds."""
        if not self.on or self.running is None:
            raise failure(errno.EINVAL)
        self.damon.commits += 1
        try:
            self.running = self._merged(self.running, self._inputs())
        except OSError:
            if self.damon.since("6.16"):
                raise
            self.running = None

    def _merged(self, old: Running, new: Running) -> Running:
        """By number: a target without regions keeps those of whoever had its number, a scheme its figures."""
        gone = [f"contexts/0/targets/{number}/obsolete_target" for number in range(len(new.targets))]
        kept = [number for number, path in enumerate(gone) if self.values.get(path, "N") != "Y"]
        before = list(old.targets)
        for number, target in enumerate(new.targets):
            if not target.regions and number < len(before):
                target.regions, target.aggregations = before[number].regions, before[number].aggregations
        new.targets = [new.targets[number] for number in kept]
        new.figures[: len(old.figures)] = old.figures[: len(new.figures)]
        return new

    def _inputs(self) -> Running:
        value = self.values
        if value["contexts/nr_contexts"] == "0":
            raise failure(errno.EINVAL)
        context = "contexts/0"
        attributes = f"{context}/monitoring_attrs"
        if int(value[f"{attributes}/intervals/sample_us"]) > int(value[f"{attributes}/intervals/aggr_us"]):
            raise failure(errno.EINVAL)
        if not 3 <= int(value[f"{attributes}/nr_regions/min"]) <= int(value[f"{attributes}/nr_regions/max"]):
            raise failure(errno.EINVAL)
        operations = value[f"{context}/operations"]
        targets = [self._watched(f"{context}/targets/{n}", operations) for n in range(self._int("targets/nr_targets"))]
        schemes = [self._staged(f"{context}/schemes/{n}") for n in range(self._int("schemes/nr_schemes"))]
        return Running(operations, targets, schemes, [[0] * 5 for _ in schemes])

    def _int(self, path: str) -> int:
        return int(self.values[f"contexts/0/{path}"])

    def _watched(self, base: str, operations: str) -> Watched:
        pid = int(self.values[f"{base}/pid_target"])
        if operations != "paddr" and not self._alive(pid):
            raise failure(errno.EINVAL)
        count = int(self.values[f"{base}/regions/nr_regions"])
        names = [f"{base}/regions/{number}" for number in range(count)]
        regions = [(int(self.values[f"{each}/start"]), int(self.values[f"{each}/end"])) for each in names]
        flat = [edge for region in regions for edge in region]
        if flat != sorted(flat):
            raise failure(errno.EINVAL)
        return Watched(pid, regions)

    def _staged(self, base: str) -> dict[str, str]:
        found = {key.removeprefix(base + "/"): each for key, each in self.values.items() if key.startswith(base + "/")}
        paths = [text for key, text in found.items() if key.endswith("/memcg_path") and text]
        if any(path not in self.damon.kernel.groups for path in paths):
            raise failure(errno.ENOMEM)
        return found

    def _alive(self, pid: int) -> bool:
        return pid in self.damon.kernel.processes

    # -- monitoring --------------------------------------------------------------------------------------------------

    def advance(self, aggregations: int) -> None:
        if not self.on or self.running is None:
            return
        for target in self.running.targets:
            target.aggregations += aggregations
        for number, scheme in enumerate(self.running.schemes):
            for pid, row in self._matching(scheme):
                size = row.end - row.start
                self.running.figures[number] = [
                    old + new for old, new in zip(self.running.figures[number], (1, size, 1, size, 0), strict=True)
                ]
                if scheme["action"] != "stat":
                    self.damon.acted.append((scheme["action"], pid, row.start, row.end))

    def _matching(self, scheme: dict[str, str]) -> list[tuple[int, Row]]:
        assert self.running is not None
        found = []
        for number, target in enumerate(self.running.targets):
            if self._passes(scheme, number) and (self.running.operations == "paddr" or self._alive(target.pid)):
                for row in self.damon.sees.get(target.pid, [Row(*region) for region in target.regions]):
                    seen = Row(row.start, row.end, row.accesses, min(row.age, target.aggregations), row.passed)
                    found += [(target.pid, seen)] if _within(scheme, seen) else []
        return found

    def _passes(self, scheme: dict[str, str], target: int) -> bool:
        bases = [key.removesuffix("/type") for key in scheme if key.endswith("/type")]
        for base in bases:
            if scheme[f"{base}/type"] == "target":
                hit = (int(scheme[f"{base}/damon_target_idx"]) == target) == (scheme[f"{base}/matching"] == "Y")
                if hit and scheme.get(f"{base}/allow", "N") == "N":
                    return False
        return True

    def _update_stats(self) -> None:
        if not self.on or self.running is None:
            raise failure(errno.EINVAL)
        for number, figures in enumerate(self.running.figures[: self._int("schemes/nr_schemes")]):
            for place, figure in enumerate(figures):
                self.values[f"contexts/0/schemes/{number}/stats/{place}"] = str(figure)

    def _update_regions(self) -> None:
        if not self.on or self.running is None:
            raise failure(errno.EINVAL)
        for number, scheme in enumerate(self.running.schemes):
            base = f"contexts/0/schemes/{number}/tried_regions"
            for name in self.damon.kernel.tree.folders(f"{self.base}/{base}"):
                self._remove(f"{base}/{name}")
            for place, (_, row) in enumerate(self._matching(scheme)):
                self._show(f"{base}/{self._name(place)}", row, scheme)

    def _name(self, place: int) -> int:
        """Dense on Linux 6.12 and from 7.2 on, in between they only ever grow."""
        if not self.damon.since("6.16") or self.damon.since("7.2"):
            return place
        self.damon.names += 2
        return self.damon.names

    def _show(self, path: str, row: Row, scheme: dict[str, str]) -> None:
        self._values(path, start=f"{row.start}", end=f"{row.end}", nr_accesses=f"{row.accesses}", age=f"{row.age}")
        if self.damon.since("6.14"):
            young = any(key.endswith("/type") and each == "young" for key, each in scheme.items())
            counted = row.passed if self.damon.since("6.18") else 0  # earlier, vaddr does not look
            self._values(path, sz_filter_passed=str(counted if young else row.end - row.start))


def _within(scheme: dict[str, str], row: Row) -> bool:
    looks = {"sz": row.end - row.start, "nr_accesses": row.accesses, "age": row.age}
    return all(
        int(scheme[f"access_pattern/{name}/min"]) <= value <= int(scheme[f"access_pattern/{name}/max"])
        for name, value in looks.items()
    )


def _number(version: str) -> tuple[int, int]:
    major, _, minor = version.partition(".")
    return int(major), int(minor or 0)


def _count(text: str) -> int:
    try:
        count = int(text.strip(), 0)
    except ValueError:
        raise failure(errno.EINVAL) from None
    if count < 0:
        raise failure(errno.EINVAL)
    return count
