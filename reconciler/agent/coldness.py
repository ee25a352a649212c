"""How long a workload's memory is not used, and how often cold memory is used again: what acting would save and cost.

After Google's far memory: for each threshold of age a look tells how many bytes are colder, and two looks tell how
many of these were used between them. Both are known without taking anything, so `what_if` can say beforehand what a
threshold would bring. The history also holds what was in use while pressure was in bounds, which `right_size` reads.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EDGES = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21600.0)  # seconds: thresholds that are kept
COLD_S = 120.0  # what was used since belongs to the working set, as with Google and the kernel's DAMON_RECLAIM
STALE_S = 1.5 * COLD_S
MOST_ROWS = 1440  # of a history: a day of minutes
UNKNOWN = -1
_MIB = 1 << 20
_SPARE_REQUEST, _SPARE_LIMIT, _SPARE_FIXED = 1.05, 1.2, 1.05

ROW = np.dtype(
    [
        ("when", np.float64),  # seconds since 1970
        ("seconds", np.float64),  # since the row before, of this daemon
        ("usage", np.int64),  # bytes, as all that follows but the percentages
        ("fixed", np.int64),  # cannot leave: the kernel's own, and anonymous memory without swap
        ("swap", np.int64),
        ("footprint", np.int64),  # as the control law knows it, or UNKNOWN
        ("at_footprint", np.bool_),  # nothing was to be taken any more, and nothing hurt
        ("refaulted", np.int64),
        ("memory_percent", np.float64),  # of the time in which tasks waited for memory
        ("io_percent", np.float64),
        ("cold", np.int64, (len(EDGES),)),  # at least so old, or UNKNOWN
        ("promoted", np.int64, (len(EDGES),)),  # was so old and was used, or UNKNOWN
    ]
)
Rows = NDArray[np.void]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much memory was not used for how long, by one look."""

    ages: NDArray[np.float64]  # seconds, at least
    sizes: NDArray[np.int64]  # bytes
    fresh: float = 0.0  # seconds since uses were noticed last: younger uses are not in it

    @property
    def oldest(self) -> float:
        """Nothing is known of ages above this."""
        return float(self.ages.max(initial=0.0))

    def cold(self, edges: NDArray[np.float64]) -> NDArray[np.int64]:
        """Bytes that are at least as old as each of `edges`."""
        older: NDArray[np.int64] = self.sizes * (self.ages >= edges[:, None])
        return np.asarray(older.sum(axis=1), np.int64)


def amounts(pairs: Iterable[tuple[float, int]], fresh: float = 0.0) -> Amounts:
    """Of pairs of age in seconds and bytes."""
    table = np.array([*pairs], np.float64).reshape(-1, 2)
    return Amounts(ages=table[:, 0], sizes=table[:, 1].astype(np.int64), fresh=fresh)


def limits(seconds: float) -> tuple[float, ...]:
    """Where a table of ages has to be cut, so that it can be compared with the one of `seconds` ago."""
    shifted = (edge + 0.75 * seconds for edge in EDGES)
    return (0.0, *sorted({*EDGES, *shifted}), 0.0)


def cold(found: Amounts | None) -> NDArray[np.int64]:
    """Bytes for each of EDGES, as far back as ages are known; nothing where uses were not noticed: all looks cold."""
    if found is None or found.fresh > STALE_S:
        return np.full(len(EDGES), UNKNOWN, np.int64)
    return _known(found, found.cold(np.array(EDGES)))


def _known(found: Amounts, values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(np.array(EDGES) <= found.oldest, values, UNKNOWN)


def promoted(before: Amounts | None, after: Amounts | None, seconds: float, evicted: int) -> NDArray[np.int64]:
    """For each threshold: bytes that were colder, and were used in these `seconds`; `evicted` left memory meanwhile.

    Without any use all would be older by that time. A quarter of it is forgiven, for looks are not exact to the second.
    """
    if before is None or after is None or after.fresh > seconds:
        return np.full(len(EDGES), UNKNOWN, np.int64)
    edges = np.array(EDGES)
    still = after.cold(edges + 0.75 * seconds)
    return _known(before, np.maximum(before.cold(edges) - still - evicted, 0))


def nothing() -> Rows:
    return np.zeros(0, ROW)


def row(**values: object) -> Rows:
    """One row; what is not given is 0, thresholds that are not given are unknown."""
    made = np.zeros(1, ROW)
    made["cold"] = made["promoted"] = UNKNOWN
    for name, value in values.items():
        made[name] = value
    return made


def appended(history: Rows, newest: Rows) -> Rows:
    """The oldest rows go."""
    return np.concatenate([history, newest])[-MOST_ROWS:]


def document(history: Rows) -> dict[str, list[Any]]:
    """Columns, as JSON has them."""
    return {name: history[name].tolist() for name in ROW.names or ()}


def rows(columns: Mapping[str, Any]) -> Rows:
    """Back from JSON; a ValueError where it is nothing of ours."""
    try:
        made = np.zeros(len(columns["when"]), ROW)
        for name in ROW.names or ():
            made[name] = np.array(columns[name]).reshape(made[name].shape)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"is no history of a workload: {error}") from error
    return made


# -- what a threshold would bring --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """If all memory left that was not used for `threshold_s`."""

    threshold_s: float
    saved_bytes: int
    refaults_per_minute: int | None  # bytes; None = not known
    percent_per_minute: float | None  # of the working set


def what_if(history: Rows) -> tuple[WhatIf, ...]:
    """A row for each threshold of which anything is known, by the median look and the mean of all promotions."""
    need = max(typical(history), 1)
    rows = (_row(history, n, need) for n in range(len(EDGES)))
    return tuple(row for row in rows if row is not None)


def _row(history: Rows, n: int, need: int) -> WhatIf | None:
    known = history["cold"][history["cold"][:, n] != UNKNOWN, n]
    if not len(known):
        return None
    rate = _rate(history[history["promoted"][:, n] != UNKNOWN], n)
    return WhatIf(
        threshold_s=EDGES[n],
        saved_bytes=int(np.median(known)),
        refaults_per_minute=None if rate is None else int(rate),
        percent_per_minute=None if rate is None else round(100 * rate / need, 4),
    )


def _rate(seen: Rows, n: int) -> float | None:
    """Bytes a minute; what had left and came back was cold for every threshold."""
    seconds = float(seen["seconds"].sum())
    if seconds <= 0:
        return None
    return float(seen["promoted"][:, n].sum() + seen["refaulted"].sum()) * 60 / seconds


def best(found: Sequence[WhatIf], percent: float) -> WhatIf | None:
    """The threshold that saves most while at most `percent` of the working set comes back a minute."""
    good = [each for each in found if each.percent_per_minute is not None and each.percent_per_minute <= percent]
    return min(good, key=lambda each: each.threshold_s, default=None)


def spare(history: Rows, percent: float) -> int | None:
    """Bytes that are older now than the best age for `percent`; None where uses of cold memory are not known."""
    found = what_if(history)
    if all(each.percent_per_minute is None for each in found) or history["cold"][-1, 0] == UNKNOWN:
        return None
    age = best(found, percent)
    return max(int(history["cold"][-1, EDGES.index(age.threshold_s)]), 0) if age else 0


# -- how large it should be --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    rows: int
    hours: float  # from the first row to the last
    need_p50: int  # bytes
    need_p95: int
    need_max: int
    usage_max: int
    fixed_max: int  # that cannot leave
    footprint_percent: float  # of the rows: at the footprint
    memory_percent_mean: float | None  # tasks waited for memory at the footprint; None = never there
    memory_percent_max: float | None
    refaults_per_minute: int  # bytes, over all
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RightSize:
    """What to write into a pod's resources, whole MiB."""

    request_bytes: int
    limit_bytes: int
    evidence: Evidence


def needed(history: Rows) -> NDArray[np.int64]:
    """Bytes: in use at the footprint, or used lately. Where no row shows either, all that was in use."""
    cold_ones = history["cold"][:, EDGES.index(COLD_S)]
    lately = np.maximum(history["usage"] - cold_ones, history["fixed"])
    found: NDArray[np.int64] = np.where(history["at_footprint"] | (cold_ones == UNKNOWN), history["usage"], lately)
    telling = history["at_footprint"] | (cold_ones != UNKNOWN)
    return found[telling] if telling.any() else found


def typical(history: Rows) -> int:
    """Bytes that were needed half of the time at most; 0 where nothing is known."""
    return int(np.median(needed(history))) if len(history) else 0


def right_size(history: Rows) -> RightSize:
    """Request: what was needed 95 % of the time. Limit: room above the most that was ever needed."""
    if not len(history):
        raise ValueError("nothing is known yet: the first row comes after a minute")
    need, fixed = needed(history), int(history["fixed"].max())
    p50, p95, most = (int(np.percentile(need, q)) for q in (50, 95, 100))
    request = _mib(p95 * _SPARE_REQUEST)
    limit = max(_mib(most * _SPARE_LIMIT), _mib(fixed * _SPARE_FIXED), request)
    there = history[history["at_footprint"]]
    seconds = max(float(history["seconds"].sum()), 1.0)
    evidence = Evidence(
        rows=len(history),
        hours=round(float(history["when"][-1] - history["when"][0]) / 3600, 2),
        need_p50=p50,
        need_p95=p95,
        need_max=most,
        usage_max=int(history["usage"].max()),
        fixed_max=fixed,
        footprint_percent=round(100 * len(there) / len(history), 1),
        memory_percent_mean=round(float(there["memory_percent"].mean()), 4) if len(there) else None,
        memory_percent_max=round(float(there["memory_percent"].max()), 4) if len(there) else None,
        refaults_per_minute=int(history["refaulted"].sum() * 60 / seconds),
        notes=_notes(history),
    )
    return RightSize(request_bytes=request, limit_bytes=limit, evidence=evidence)


def _mib(size: float) -> int:
    return -int(-size // _MIB) * _MIB


def _notes(history: Rows) -> tuple[str, ...]:
    found = []
    if history["when"][-1] - history["when"][0] < 23 * 3600:
        found.append("less than a day is known: what happens once a day may be missing")
    if not history["at_footprint"].any():
        ages = (history["cold"][:, EDGES.index(COLD_S)] != UNKNOWN).any()
        what = "what was used within two minutes counts" if ages else "all memory in use counts, which is too much"
        found.append(f"the footprint was never reached: {what}")
    return tuple(found)
