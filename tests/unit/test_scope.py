"""Whose memory a class's watcher means for one workload: placeholders become its cgroup, in values, never in text."""

from dataclasses import replace

import pytest

from reconciler import desired
from reconciler.engineconfig import (
    CGROUP_PLACEHOLDER,
    AgeConfig,
    DemoteIdleConfig,
    EngineConfig,
    FilterConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.model import (
    ClassTable,
    EngineTask,
    Feature,
    Features,
    Knob,
    MemoryClass,
    Origin,
    Setting,
    Severity,
    Workload,
)

WORKING = ("referenced", "pagemap", "pagemap-pfn", "idle-page")
FEATURES = Features(
    kernel="6.12",
    page_size=4096,
    cgroup_mount="/sys/fs/cgroup",
    features={name: Feature(name=name, works=True, detail="") for name in WORKING},
)
OWN = WatcherConfig(cgroups=(CGROUP_PLACEHOLDER,))
FILTERED = WatcherConfig(name="filter", source=OWN, filters=(FilterConfig(exe_regexp="java"),))


def table(watcher: WatcherConfig) -> ClassTable:
    engine = EngineConfig(policy=AgeConfig(interval_ms=1000), watcher=watcher)
    return ClassTable(classes={"c": MemoryClass(name="c", engine=engine)})


def task(watcher: WatcherConfig, workload: Workload) -> EngineTask | None:
    return desired.resolve(table(watcher), [workload], FEATURES).workloads[workload.id].engine


@pytest.mark.parametrize(
    ("watcher", "cgroups", "pids"),
    [
        (OWN, ("/sys/fs/cgroup/pods/a $(x)",), (7,)),
        (
            WatcherConfig(cgroups=(f"{CGROUP_PLACEHOLDER}/sub", "/other")),
            ("/sys/fs/cgroup/pods/a $(x)/sub", "/other"),
            (7,),
        ),
        (WatcherConfig(name="pidlist", pids=(8, 7)), (), (8, 7)),
        (FILTERED, ("/sys/fs/cgroup/pods/a $(x)",), (7,)),
        (WatcherConfig(name="filter", source=FILTERED), ("/sys/fs/cgroup/pods/a $(x)",), (7,)),
        (WatcherConfig(name="filter", source=WatcherConfig(name="pidlist", pids=(9,))), (), (9, 7)),
        (WatcherConfig(name="filter", source=WatcherConfig(name="proc")), (), ()),
        (WatcherConfig(name="proc"), (), ()),
        (WatcherConfig(name="stub"), (), ()),
    ],
)
def test_scope(watcher: WatcherConfig, cgroups: tuple[str, ...], pids: tuple[int, ...]) -> None:
    found = task(watcher, Workload(id="w", cgroup="/pods/a $(x)", pids=(7,), class_name="c", named=True))

    assert found is not None
    assert (found.cgroups, found.pids, found.config.watcher) == (cgroups, pids, watcher)


@pytest.mark.parametrize("watcher", [OWN, FILTERED, WatcherConfig(name="filter")])
def test_a_workload_without_a_cgroup_yet_has_nothing_to_look_at(watcher: WatcherConfig) -> None:
    assert task(watcher, Workload(id="w", class_name="c")) is None


NOBODY_SAID = "finds no processes by itself"
PROC = WatcherConfig(name="proc")
BY_NAME = WatcherConfig(cgroups=("/sys/fs/cgroup/batch.slice",))


@pytest.mark.parametrize(
    ("watcher", "said"),
    [
        (PROC, ()),
        (WatcherConfig(name="filter", source=PROC, filters=(FilterConfig(exe_regexp="x"),)), ()),
        (WatcherConfig(name="pidlist", pids=(9,)), ()),
        (BY_NAME, ()),
        (WatcherConfig(name="stub"), ()),
        (OWN, (NOBODY_SAID,)),
        (FILTERED, (NOBODY_SAID,)),
        (WatcherConfig(cgroups=(f"{CGROUP_PLACEHOLDER}/sub", "/other")), (NOBODY_SAID,)),
    ],
)
def test_somebody_named_without_a_cgroup_is_whom_the_watcher_finds(watcher: WatcherConfig, said: tuple[str]) -> None:
    named = Workload(id="w", class_name="c", named=True, source="w.yaml")
    found = desired.resolve(table(watcher), [named], FEATURES).workloads["w"]

    assert (found.engine is not None) or watcher in (OWN, FILTERED)
    assert [each.where for each in found.problems] == ["w.yaml"] * len(said)
    assert all(text in each.message for text, each in zip(said, found.problems, strict=True))


def test_files_of_pages_of_interest_name_processes_for_whoever_names_none() -> None:
    policy = DemoteIdleConfig(idle_nodes=(2,), pages_of_interest_directory="/run/poi")
    config = EngineConfig(policy=policy, tracker=TrackerConfig(name="idlepage"), watcher=OWN)
    classes = ClassTable(classes={"c": MemoryClass(name="c", engine=config)})
    named = Workload(id="w", class_name="c", named=True)
    container = Workload(id="x", class_name="c")
    found = desired.resolve(classes, [named, container], FEATURES).workloads

    assert found["w"].engine is not None
    assert found["w"].problems == ()
    assert found["x"].engine is None, "a container is its cgroup, never whom a file names"


def test_settings_of_a_cgroup_need_one() -> None:
    low = Setting(knob=Knob.MEMORY_LOW, value="0", origin=Origin(file="c.yaml"))
    engine = EngineConfig(policy=AgeConfig(), watcher=PROC)
    classes = ClassTable(classes={"c": MemoryClass(name="c", engine=engine, settings=(low,))})
    features = replace(FEATURES, knobs=frozenset({Knob.MEMORY_LOW}))
    found = desired.resolve(classes, [Workload(id="w", class_name="c", named=True)], features).workloads["w"]

    assert found.knobs == {}
    assert [(each.severity, each.message) for each in found.problems] == [
        (Severity.WARNING, "class c sets memory.low, but no cgroup is named: they are left as they are")
    ]
