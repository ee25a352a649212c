"""How right each tracker is, in each scenario of the exerciser: precision and recall of hot bytes, on this kernel.

What a mechanism cannot do is in `LIMITS`, with the reason; everything else must reach 0.95. One JSON line for each case
goes to /out/trackers.jsonl, of which `tests/e2e/tables` makes the table of docs/trackers.md.
"""

import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from reconciler import tracking
from reconciler.engine.engine import TRACKERS
from reconciler.engineconfig import DamonConfig, TrackerConfig
from reconciler.exerciser import settings
from reconciler.model import Features
from sysfs import probe
from sysfs.tree import Tree
from tests.e2e.guest import accuracy

pytestmark = pytest.mark.trackers

RESULTS = Path("/out/trackers.jsonl")
ENOUGH = 0.95
BLIND = {"finder", "stub"}  # see no accesses at all
CONFIGS = {
    "damon": TrackerConfig(name="damon", damon=DamonConfig(sampling_us=50_000, aggregation_us=1_000_000)),
    "multi": TrackerConfig(name="multi", trackers=(TrackerConfig(name="softdirty"), TrackerConfig(name="referenced"))),
}
TOGETHER = {"idlepage": 2}  # scenarios at a time: its kernel asks for each page who maps it, and an emulator is slow
LRU_GEN = Path("/sys/kernel/mm/lru_gen/enabled")
DAMON_STAT = Path("/sys/module/damon_stat/parameters/enabled")
KHUGEPAGED = Path("/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs")
HOUR_MS = "3600000"
ALL_KERNELS, LOOKS_AT_EVERY_PAGE = (99, 0), (6, 18)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Why a tracker need not be right there; empty words stand for all."""

    tracker: str
    metric: str  # "precision" or "recall"
    why: str
    scenario: str = ""
    kind: str = ""
    before: tuple[int, int] = ALL_KERNELS  # Linux versions; newer ones can do it

    def holds(self, tracker: str, scenario: str, kind: str) -> bool:
        fits = self.tracker == tracker and self.scenario in {"", scenario} and self.kind in {"", kind}
        return fits and linux() < self.before


def linux() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int(minor.partition("-")[0])


LIMITS = (
    Limit(tracker="softdirty", kind="read", metric="recall", why="reads leave no trace"),
    Limit(
        tracker="softdirty",
        scenario="growing",
        metric="precision",
        why="memory that is mapped beside a mapping joins it, and the kernel calls the whole of it soft-dirty"
        " (VM_SOFTDIRTY) until the bits are cleared again",
    ),
    Limit(tracker="referenced", metric="precision", why="the kernel tells how much of a mapping was used, not where"),
    Limit(
        tracker="damon",
        scenario="stripes",
        metric="precision",
        why="the kernel cuts regions at random and joins neighbours that are used as often, as those that span many"
        " stripes are; where in a region memory was used it does not tell, even if it counts the bytes (6.18)",
    ),
    Limit(
        tracker="damon",
        scenario="stripes",
        metric="recall",
        before=LOOKS_AT_EVERY_PAGE,
        why="of a region the kernel samples one page at a time, 20 a second, which may miss what little of it is hot"
        " (from 6.18 on it looks at every page)",
    ),
    Limit(
        tracker="damon",
        scenario="growing",
        metric="precision",
        why="the edge of what is hot moves every 2 s, and once a second the kernel cuts the region that it lies in, at"
        " random: what was left a few seconds ago still shares a region with what is hot",
    ),
    Limit(tracker="multi", metric="precision", why="as its part referenced"),
)


def names() -> list[str]:
    """Parameters are made before anything runs: which of them work here is asked in the story."""
    return [name for name in TRACKERS if name not in BLIND]


@cache
def features() -> Features:
    if DAMON_STAT.exists():
        DAMON_STAT.write_text("N", encoding="ascii")  # 6.17 and newer start it; while it runs nobody else has DAMON
    if LRU_GEN.exists():
        LRU_GEN.write_text("y", encoding="ascii")  # 6.1 leaves it off
    # It would join the exercisers' Python, of which little is used, into huge pages, which are used as a whole: in some
    # and not in others, so that what a Python uses that does nothing could not be taken off.
    KHUGEPAGED.write_text(HOUR_MS, encoding="ascii")
    return probe.features(Tree("/"))


def config(tracker: str) -> TrackerConfig:
    return CONFIGS.get(tracker, TrackerConfig(name=tracker))


def group(tracker: str, scenario: str) -> tuple[str, ...]:
    """What is measured at once: all, if the machine can keep up."""
    names = tuple(settings.SCENARIOS)
    size = TOGETHER.get(tracker, len(names))
    first = names.index(scenario) // size * size
    return names[first : first + size]


@cache
def measured(tracker: str, kind: str, scenarios: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """Several scenarios at once: they do not disturb each other, two trackers would."""
    print(f"\n--- {tracker}, {kind}", flush=True)
    with accuracy.subjects(kind, scenarios) as subjects:
        accuracy.watch(subjects, config(tracker), features())
        found = {each.name: result(tracker, kind, each, subjects[-1]) for each in subjects[:-1]}
    with RESULTS.open("a", encoding="ascii") as file:
        file.writelines(json.dumps(each) + "\n" for each in found.values())
    return found


def result(tracker: str, kind: str, about: accuracy.Subject, control: accuracy.Subject) -> dict[str, object]:
    pages = accuracy.regions_of(about.name, TrackerConfig(name=tracker)).pages_in_region
    if tracker == "mglru":
        by_region = by_page = accuracy.by_amount(about, control, shared=kind == "read")
    else:
        by_region, by_page = (accuracy.by_address(about, granule * accuracy.PAGE) for granule in (pages, 1))
    return {
        "kernel": os.uname().release,
        "tracker": tracker,
        "scenario": about.name,
        "kind": kind,
        "region_bytes": pages * accuracy.PAGE,
        "looks": about.rounds() - 1,
        "slowest_s": round(about.slowest_s(), 1),
        "precision": by_region.precision,
        "recall": by_region.recall,
        "page_precision": by_page.precision,
        "page_recall": by_page.recall,
        "claimed_bytes": by_region.claimed,
        "hot_bytes": by_region.hot,
        **counted(tracker, about),
        "limits": {each.metric: each.why for each in LIMITS if each.holds(tracker, about.name, kind)},
    }


def counted(tracker: str, about: accuracy.Subject) -> dict[str, float]:
    """Where DAMON looks at every page of its regions it knows how much was used, if not where."""
    if tracker != "damon" or linux() < LOOKS_AT_EVERY_PAGE:
        return {}
    found = accuracy.by_count(about)
    return {"counted_precision": found.precision, "counted_recall": found.recall}


@pytest.mark.parametrize("scenario", settings.SCENARIOS)
@pytest.mark.parametrize("kind", accuracy.KINDS)
@pytest.mark.parametrize("tracker", names())
def test_hot_memory_is_found(tracker: str, kind: str, scenario: str) -> None:
    needed = [each.name for each in config(tracker).trackers] or [tracker]
    if lacking := [name for each in needed for name in tracking.missing(each, features())]:
        pytest.skip(f"this kernel lacks {', '.join(lacking)}")
    found = measured(tracker, kind, group(tracker, scenario))[scenario]
    print(
        f"  {scenario}: precision {found['precision']:.3f} recall {found['recall']:.3f} {found['slowest_s']} s",
        flush=True,
    )
    if "counted_recall" in found:
        print(f"    by count: {found['counted_precision']:.3f} {found['counted_recall']:.3f}", flush=True)
    limits = found["limits"]
    assert isinstance(limits, dict)
    assert found["hot_bytes"]
    for metric in {"precision", "recall"} - set(limits):
        assert float(str(found[metric])) >= ENOUGH, metric
