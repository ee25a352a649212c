"""What Ebbtide has saved: bytes out, bytes that came back, and resident memory avoided over time. Pure.

Loops count since they began; a ledger adds up what they have counted since the last look, so that its totals outlive
loops, workloads and the daemon. Avoided cost is an integral: what is away now, times the time that it is away.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from reconciler.report import ClassReport, EngineReport, ReclaimedReport, Report, SavedReport, WorkloadReport

MOST_GONE = 200  # workloads that are no more, the last ones to go
_LONGEST_STEP_S = 120.0  # nobody looked for longer: what was away meanwhile is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a workload's loop and the agent have counted so far, since they began."""

    out_bytes: int = 0  # verified: left memory
    back_bytes: int = 0  # of these, came back by being used
    brought_bytes: int = 0  # brought back by us
    moved_bytes: int = 0  # to another memory node

    def since(self, before: "Counted") -> "Counted":
        """What was added; a counter below its last value has begun anew."""
        return Counted(**{name: _added(getattr(self, name), getattr(before, name)) for name in self.__slots__})

    def plus(self, more: "Counted") -> "Counted":
        return Counted(**{name: getattr(self, name) + getattr(more, name) for name in self.__slots__})

    @property
    def away_bytes(self) -> int:
        return max(self.out_bytes - self.back_bytes - self.brought_bytes, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Totals of one workload, or of one class over all its workloads ever."""

    name: str
    class_name: str
    total: Counted = Counted()
    avoided_byte_seconds: float = 0.0
    since: float = 0.0  # seconds of the wall clock
    seen: float = 0.0

    def plus(self, added: Counted, byte_seconds: float, now: float) -> "Account":
        return replace(
            self,
            total=self.total.plus(added),
            avoided_byte_seconds=self.avoided_byte_seconds + byte_seconds,
            seen=now,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    workloads: Mapping[str, Account] = field(default_factory=dict)  # by id
    classes: Mapping[str, Account] = field(default_factory=dict)
    last: Mapping[str, Counted] = field(default_factory=dict)  # by id: what was counted at the last look
    away: Mapping[str, int] = field(default_factory=dict)  # by id: bytes that were away at the last look
    carried: Mapping[str, int] = field(default_factory=dict)  # by id: of these, sent away by loops that are no more
    at: float = 0.0  # of the last look, seconds of the wall clock; 0 = there was none


def counted(row: WorkloadReport, reclaimed: ReclaimedReport | None) -> Counted:
    """Of a workload, by what the kernel has shown; the agent's share beside the loop's."""
    engine = row.engine or EngineReport(tracker="")
    probed = reclaimed or ReclaimedReport(workload=row.id, name=row.name, cgroup=row.cgroup, state="")
    return Counted(
        out_bytes=engine.paged_out_bytes + probed.taken_bytes,
        back_bytes=engine.came_back_bytes + min(probed.refaulted_bytes, probed.taken_bytes),
        brought_bytes=engine.brought_back_bytes,
        moved_bytes=engine.moved_bytes,
    )


def away(row: WorkloadReport, reclaimed: ReclaimedReport | None) -> int:
    """Bytes that left memory and are not back. What ended processes had away is nowhere, and saves nothing."""
    here = row.engine.away_bytes if row.engine else None
    if here is None:
        return counted(row, reclaimed).away_bytes
    probed = counted(replace(row, engine=None), reclaimed).away_bytes
    return min(here, counted(row, None).away_bytes) + probed


def look(before: Ledger, report: Report, now: float, *, first: bool = False) -> Ledger:
    """The ledger after a report. `first`: of a daemon that has just begun, whose loops count from zero."""
    seconds = now - before.at if before.at and 0 < now - before.at <= _LONGEST_STEP_S else 0.0
    reclaim = report.agent.reclaim
    probed = {each.workload: each for each in (reclaim.workloads if reclaim else ())}
    present = {row.id: row for row in report.workloads if row.class_name}
    last: dict[str, Counted] = {}
    gone: dict[str, int] = {}
    carried: dict[str, int] = {}
    workloads, classes = dict(before.workloads), dict(before.classes)
    for key, row in present.items():
        last[key] = found = counted(row, probed.get(key))
        added = found.since(Counted() if first else before.last.get(key, Counted()))
        mine = away(row, probed.get(key))
        carried[key] = _carried(before, key, found, row.swap_bytes - mine, first=first)
        gone[key] = mine + carried[key]
        avoided = gone[key] * seconds
        for book, word in ((workloads, key), (classes, row.class_name)):
            name = row.name if book is workloads else row.class_name
            account = book.get(word) or Account(name=name, class_name=row.class_name, since=now)
            book[word] = account.plus(added, avoided, now)
    return Ledger(
        workloads=_bounded(workloads, present), classes=classes, last=last, away=gone, carried=carried, at=now
    )


def _carried(before: Ledger, key: str, found: Counted, swapped: int, *, first: bool) -> int:
    """Bytes that earlier loops sent away: at most what is in swap beyond what the present one knows to be its own."""
    anew = first or found.out_bytes < before.last.get(key, Counted()).out_bytes
    known = before.away.get(key, 0) if anew else before.carried.get(key, 0)
    return min(known, max(swapped, 0))


def told(known: Ledger, report: Report) -> Report:
    """The report with what the ledger knows of its workloads and of all classes."""
    rows = tuple(
        replace(row, saved=_saved(known.workloads.get(row.id), known.away.get(row.id, 0))) for row in report.workloads
    )
    here: dict[str, int] = {}
    for row in rows:
        here[row.class_name] = here.get(row.class_name, 0) + row.saved.away_bytes
    classes = tuple(
        ClassReport(name=name, saved=_saved(account, here.get(name, 0)))
        for name, account in sorted(known.classes.items())
    )
    return replace(report, workloads=rows, classes=classes)


def _saved(account: Account | None, away_bytes: int) -> SavedReport:
    if account is None:
        return SavedReport(away_bytes=away_bytes)
    return SavedReport(
        away_bytes=away_bytes,
        byte_seconds=round(account.avoided_byte_seconds, 3),
        out_bytes=account.total.out_bytes,
        back_bytes=account.total.back_bytes,
        brought_bytes=account.total.brought_bytes,
        moved_bytes=account.total.moved_bytes,
        since=datetime.fromtimestamp(account.since, tz=UTC).isoformat(timespec="seconds"),
    )


def _added(now: int, before: int) -> int:
    return now - before if now >= before else now


def _bounded(workloads: Mapping[str, Account], present: Mapping[str, object]) -> dict[str, Account]:
    gone = sorted((key for key in workloads if key not in present), key=lambda key: workloads[key].seen)
    forgotten = set(gone[: max(len(gone) - MOST_GONE, 0)])
    return {key: account for key, account in workloads.items() if key not in forgotten}
