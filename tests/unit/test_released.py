"""Marks of released workloads."""

import os
from pathlib import Path

import pytest

from reconciler import released


@pytest.mark.parametrize("workload", ["4f" * 32, "*", "all", ".hidden", "..", "system.slice:a/b", "50%", "ä"])
def test_a_mark_is_read_back_and_removed(tmp_path: Path, workload: str) -> None:
    released.mark(tmp_path, workload)
    released.mark(tmp_path, workload)
    assert released.read(tmp_path) == {workload}
    assert os.listdir(tmp_path) == ["released.d"]

    released.unmark(tmp_path, workload)
    released.unmark(tmp_path, workload)
    assert released.read(tmp_path) == set()


def test_no_folder_no_marks(tmp_path: Path) -> None:
    assert released.read(tmp_path) == set()


def test_all_is_the_file_that_people_can_touch(tmp_path: Path) -> None:
    released.mark(tmp_path, released.ALL)

    assert os.listdir(tmp_path / "released.d") == ["all"]
