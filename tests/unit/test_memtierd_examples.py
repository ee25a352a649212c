"""The shipped files in memtierd's own format: memtierd's four samples in words of our own, and routines."""

from pathlib import Path

import jsonschema
import pytest

from reconciler import documents, schemas
from reconciler.documents import Document
from reconciler.engineconfig import (
    AgeConfig,
    DamonConfig,
    EngineConfig,
    HeatConfig,
    HeatmapConfig,
    MoverConfig,
    NodeSize,
    StubConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.memtierd import config

FOLDER = Path(__file__).parents[2] / "etc/examples/memtierd"
FILES = sorted(FOLDER.glob("*.yaml"))
TRACKED = WatcherConfig(cgroups=("/sys/fs/cgroup/track-me",))
NODES = ((0, (2, 3)), (3, (0, 1)))
MOVER = MoverConfig(interval_ms=20, bandwidth_mib=200)


def parsed(path: Path) -> Document:
    document = documents.parse(path.read_text(), path.name)
    assert isinstance(document, Document), document
    return document


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_is_read_without_problems_and_keeps_the_schema(path: Path) -> None:
    document = parsed(path)

    assert config.read(document, "", document.value).problems == ()
    jsonschema.Draft202012Validator(schemas.read("memtierd")).validate(document.value)


WANTED = {
    "memtierd-age-idlepage-trackonly": EngineConfig(
        policy=AgeConfig(interval_ms=2000),
        tracker=TrackerConfig(name="idlepage", scan_interval_ms=2000),
        watcher=TRACKED,
    ),
    "memtierd-age-softdirty": EngineConfig(
        policy=AgeConfig(interval_ms=5000, idle_ms=15000, idle_nodes=(2, 3), active_ms=10000, active_nodes=(0, 1)),
        tracker=TrackerConfig(
            name="softdirty",
            pages_in_region=256,
            max_count_per_region=0,
            scan_interval_ms=4000,
            regions_update_ms=0,
        ),
        mover=MOVER,
        watcher=TRACKED,
    ),
    "memtierd-heat-damon": EngineConfig(
        policy=HeatConfig(
            interval_ms=10000, heatmap=HeatmapConfig(heat_max=0.001, retention=0.99, classes=4), nodes=NODES
        ),
        tracker=TrackerConfig(
            name="damon",
            damon=DamonConfig(
                sampling_us=1000,
                aggregation_us=10**6,
                regions_update_us=5 * 10**6,
                max_regions=2000,
                range_size_max=64 << 20,
                kdamonds=(0, 1),
                nr_kdamonds=4,
            ),
        ),
        mover=MOVER,
        watcher=TRACKED,
    ),
    "memtierd-heat-idlepage": EngineConfig(
        policy=HeatConfig(
            interval_ms=10000,
            heatmap=HeatmapConfig(heat_max=0.01, retention=0.8, classes=4),
            nodes=NODES,
            node_sizes=(
                NodeSize(node=0, size_bytes=1 << 30),
                NodeSize(node=2, size_bytes=200 << 20),
                NodeSize(node=3, size_bytes=200 << 20),
            ),
        ),
        tracker=TrackerConfig(name="idlepage", pages_in_region=256, max_count_per_region=0, regions_update_ms=0),
        mover=MOVER,
        watcher=TRACKED,
    ),
}


@pytest.mark.parametrize("name", WANTED)
def test_memtierds_samples_come_to_what_memtierd_documents(name: str) -> None:
    document = parsed(FOLDER / f"{name}.yaml")

    assert config.read(document, "", document.value).config == WANTED[name]


def test_routines_alone() -> None:
    document = parsed(FOLDER / "memtierd-routines.yaml")
    found = config.read(document, "", document.value).config

    assert found is not None
    assert found.policy == StubConfig()
    assert [each.pageout_mib for each in found.routines] == [0, 3000]
