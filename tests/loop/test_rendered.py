"""What a workload runs with, as files whose names come from strangers."""

from pathlib import Path

import pytest
import yaml

from reconciler import rendered
from reconciler.model import Desired, DesiredWorkload, Knob, Workload

POD = Workload(id="c0ffee", namespace="default", pod="web-1", container="app", cgroup="/pods/c0ffee")


def wanted(workload: Workload = POD, value: str = "max") -> Desired:
    one = DesiredWorkload(workload=workload, class_name="c", knobs={Knob.SWAP_MAX: value})
    return Desired(workloads={workload.id: one})


def files(state_dir: Path) -> list[str]:
    return sorted(str(path.relative_to(state_dir)) for path in state_dir.rglob("*") if path.is_file())


def test_it_is_written_changed_and_removed_with_its_folders(tmp_path: Path) -> None:
    keeper = rendered.Rendered(tmp_path)
    keeper.reconcile(wanted())
    keeper.reconcile(wanted(value="0"))
    path = tmp_path / "rendered/default/web-1/app/config.yaml"

    assert yaml.safe_load(path.read_text())["memory"] == {"memory.swap.max": "0"}
    assert path.stat().st_mode & 0o777 == 0o600

    keeper.reconcile(Desired())
    assert list((tmp_path / "rendered").iterdir()) == []


def test_what_another_daemon_left_is_removed(tmp_path: Path) -> None:
    rendered.Rendered(tmp_path).reconcile(wanted())

    rendered.Rendered(tmp_path).reconcile(Desired())

    assert files(tmp_path) == []


@pytest.mark.parametrize("name", ["..", "a/b", "/etc", ".hidden", "x" * 300, "a\nb", ""])
def test_a_name_that_is_no_file_name_is_replaced_by_the_id(tmp_path: Path, name: str) -> None:
    strange = Workload(id="c0ffee", namespace="default", pod=name, container="app", cgroup="/x")

    rendered.Rendered(tmp_path).reconcile(wanted(strange))

    assert files(tmp_path) == ["rendered/.id/c0ffee/config.yaml"]


def test_an_id_that_is_also_a_namespace_takes_nothing_with_it(tmp_path: Path) -> None:
    keeper = rendered.Rendered(tmp_path)
    static = DesiredWorkload(workload=Workload(id="default", cgroup="/x"), class_name="c")
    keeper.reconcile(Desired(workloads={**wanted().workloads, "default": static}))
    keeper.reconcile(wanted())

    assert files(tmp_path) == ["rendered/default/web-1/app/config.yaml"]


def test_what_could_not_be_written_is_tried_again(tmp_path: Path) -> None:
    keeper = rendered.Rendered(tmp_path)
    (tmp_path / "rendered").write_text("in the way")
    keeper.reconcile(wanted())
    (tmp_path / "rendered").unlink()
    keeper.reconcile(wanted())

    assert files(tmp_path) == ["rendered/default/web-1/app/config.yaml"]


def test_output_is_kept_in_bounds_by_dropping_the_older_half(tmp_path: Path) -> None:
    for number in range(1100):
        rendered.append_output(tmp_path, POD, f"{number:04d}{'x' * 1019}\n")

    lines = (rendered.folder(tmp_path, POD) / "output").read_text().splitlines()

    assert len(lines) * 1024 <= rendered.LARGEST_OUTPUT + 1024
    assert {len(line) for line in lines} == {1023}, "no line is torn"
    assert lines[-1].startswith("1099")


def test_output_of_the_nodes_routines_stays_whatever_workloads_come_and_go(tmp_path: Path) -> None:
    path = rendered.node_output(tmp_path)
    rendered.append(path, "first\n")
    rendered.append(path, "second\n")
    keeper = rendered.Rendered(tmp_path)
    keeper.reconcile(wanted())
    keeper.reconcile(Desired())

    assert files(tmp_path) == ["rendered/.node/output"]
    assert path.read_text() == "first\nsecond\n"
    assert path.parent.stat().st_mode & 0o777 == 0o700
