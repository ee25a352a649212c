"""Percentages of stall time: arithmetic, own shares, kernels without PSI."""

from pathlib import Path

import pytest

from reconciler.agent.pressure import Meter, Percent, Stall, judge, percent, read
from reconciler.agentconfig import Combine, PsiConfig
from sysfs.tree import Tree

CGROUP = "/sys/fs/cgroup/a"
SECOND = 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def put(root: Path, directory: str, memory: int, io: int, full: int = 0) -> None:
    ends = ("memory", "io") if directory.startswith("/proc") else ("memory.pressure", "io.pressure")
    for end, some in zip(ends, (memory, io), strict=True):
        path = root / f"{directory}/{end}".lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        average = "avg10=0.00 avg60=0.00 avg300=0.00"
        path.write_text(f"some {average} total={some}\nfull {average} total={full}\n")


@pytest.mark.parametrize(
    ("before", "after", "seconds", "how", "expected"),
    [
        ((0, 0), (SECOND, 0), 10, Combine.SUM, (10, 0, 10)),
        ((0, 0), (SECOND, SECOND), 10, Combine.SUM, (10, 10, 20)),
        ((0, 0), (SECOND, SECOND // 2), 10, Combine.MAX, (10, 5, 10)),
        ((5, 5), (5, 5), 10, Combine.SUM, (0, 0, 0)),
        ((SECOND, 9), (0, 9), 10, Combine.SUM, (0, 0, 0)),  # made again under the same path
        ((0, 0), (SECOND, SECOND), 1, Combine.SUM, (100, 100, 200)),
        ((0, 0), (SECOND, SECOND), 0, Combine.SUM, (0, 0, 0)),
        ((0, 0), (SECOND, SECOND), -3, Combine.SUM, (0, 0, 0)),
    ],
)
def test_percentages(
    before: tuple[int, int], after: tuple[int, int], seconds: float, how: Combine, expected: tuple[float, float, float]
) -> None:
    first, last = (Stall(memory_us=memory, io_us=io) for memory, io in (before, after))

    found = percent(first, last, seconds, how)

    assert (found.memory, found.io, found.combined) == pytest.approx(expected)


def test_own_is_without_the_children(tmp_path: Path) -> None:
    put(tmp_path, CGROUP, 100, 50)
    put(tmp_path, f"{CGROUP}/b", 30, 10)
    put(tmp_path, f"{CGROUP}/c", 90, 10)
    (tmp_path / CGROUP[1:] / "ended").mkdir()

    assert read(Tree(tmp_path), CGROUP) == Stall(memory_us=100, io_us=50)
    assert read(Tree(tmp_path), CGROUP, own=True) == Stall(memory_us=0, io_us=30)


def test_a_meter_begins_with_its_first_reading(tmp_path: Path) -> None:
    clock = Clock()
    meter = Meter(Tree(tmp_path), clock)
    put(tmp_path, "/proc/pressure", 7 * SECOND, 0)
    assert meter.read(PsiConfig()) == Percent()

    clock.now += 4
    put(tmp_path, "/proc/pressure", 8 * SECOND, SECOND)
    assert meter.read(PsiConfig()).combined == pytest.approx(50)

    clock.now += 4
    assert meter.read(PsiConfig()) == Percent()


def test_full_is_when_nobody_could_go_on(tmp_path: Path) -> None:
    put(tmp_path, CGROUP, 9, 9, full=2)

    assert read(Tree(tmp_path), CGROUP, full=True) == Stall(memory_us=2, io_us=2)


@pytest.mark.parametrize(("grown", "stops"), [(19_999, True), (10_000, False), (10_001, True), (0, False)])
def test_equal_to_the_limit_is_not_above(tmp_path: Path, grown: int, stops: bool) -> None:
    clock, config = Clock(), PsiConfig()
    meter = Meter(Tree(tmp_path), clock, CGROUP)
    put(tmp_path, CGROUP, 0, 0)
    meter.read(config)
    clock.now += 1
    put(tmp_path, CGROUP, grown, 0)

    assert judge(meter, config, 1.0).stop is stops


@pytest.mark.parametrize("required", [True, False])
def test_without_psi_the_configuration_decides(tmp_path: Path, required: bool) -> None:
    found = judge(Meter(Tree(tmp_path), Clock()), PsiConfig(required=required), 1.0)

    assert found.stop is required
    assert "/proc/pressure/memory" in found.reason
