"""Which problems of a record still count: what was wrong with the classes of yesterday does not."""

import pytest

from reconciler import desired
from reconciler.model import ClassTable, Features, MemoryClass, Problem, Workload

FEATURES = Features(kernel="6.12", page_size=4096, cgroup_mount="/sys/fs/cgroup")
TABLE = ClassTable(classes={"new": MemoryClass(name="new")})
UNKNOWN = Problem(where="workload a/b/c", pointer="class.memtierd.nri.io", message="there is no class 'new'")
UNPLACED = Problem(where="workload a/b/c", pointer="/cgroup", message="its cgroup was not found")


def record(writer: str) -> Workload:
    return Workload(
        id="1",
        namespace="a",
        pod="b",
        container="c",
        annotations={"class.memtierd.nri.io": "new"},
        problems=(UNKNOWN, UNPLACED),
        writer=writer,
    )


@pytest.mark.parametrize(("writer", "left"), [("nri", (UNPLACED,)), ("", (UNKNOWN, UNPLACED))])
def test_a_class_that_came_later_is_no_problem(writer: str, left: tuple[Problem, ...]) -> None:
    wanted = desired.resolve(TABLE, [record(writer)], FEATURES).workloads["1"]
    assert wanted.class_name == "new"
    assert wanted.problems == left


def test_a_class_that_is_missing_still_is() -> None:
    wanted = desired.resolve(ClassTable(), [record("nri")], FEATURES).workloads["1"]
    assert len([problem for problem in wanted.problems if problem.pointer == UNKNOWN.pointer]) == 1
