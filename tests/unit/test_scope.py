"""Whose memory a class's watcher means for one workload: placeholders become its cgroup, in values, never in text."""

import pytest

from reconciler import desired
from reconciler.engineconfig import CGROUP_PLACEHOLDER, AgeConfig, EngineConfig, FilterConfig, WatcherConfig
from reconciler.model import ClassTable, EngineTask, Feature, Features, MemoryClass, Workload

FEATURES = Features(
    kernel="6.12",
    page_size=4096,
    cgroup_mount="/sys/fs/cgroup",
    features={name: Feature(name=name, works=True, detail="") for name in ("referenced", "pagemap")},
)
OWN = WatcherConfig(cgroups=(CGROUP_PLACEHOLDER,))
FILTERED = WatcherConfig(name="filter", source=OWN, filters=(FilterConfig(exe_regexp="java"),))


def task(watcher: WatcherConfig, workload: Workload) -> EngineTask | None:
    engine = EngineConfig(policy=AgeConfig(interval_ms=1000), watcher=watcher)
    table = ClassTable(classes={"c": MemoryClass(name="c", engine=engine)})
    return desired.resolve(table, [workload], FEATURES).workloads[workload.id].engine


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
