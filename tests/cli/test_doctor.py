"""`ebbtide doctor` as a command: both outputs, captures, exit codes."""

from pathlib import Path

import pytest

from tests.cli.node import Node, conforms


def test_json_is_as_the_schema_says(node: Node) -> None:
    done = node.ebbtide("doctor", "-o", "json")

    conforms("doctor", done.document)
    assert done.document["live"]


def test_the_table_names_everything(node: Node) -> None:
    out = node.ebbtide("doctor").out

    for word in ("FEATURE", "TRACKER", "POLICY", "CLASS KEY", "PRIVILEGE", "idle-page", "memory.swap.max", "auto"):
        assert word in out


def test_a_capture_is_replayed(node: Node, tmp_path: Path) -> None:
    file = str(tmp_path / "captured.tar.gz")
    live = node.ebbtide("doctor", "--capture", file, "-o", "json").document
    replayed = node.ebbtide("doctor", "--root", file, "-o", "json").document

    assert not replayed["live"]
    assert replayed["features"] == live["features"]
    assert replayed["trackers"] == live["trackers"]


def test_nothing_works_in_an_empty_tree(node: Node, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = node.ebbtide("doctor", "--root", str(tmp_path / "empty"))

    assert done.code == 1
    assert "no tracker works" in done.out
    assert "hint:" in done.out


@pytest.mark.parametrize("name", ["nowhere.tar.gz", "text"])
def test_no_capture(node: Node, tmp_path: Path, name: str) -> None:
    (tmp_path / "text").write_text("hello")
    done = node.ebbtide("doctor", "--root", str(tmp_path / name))

    assert done.code == 1
    assert "doctor --capture" in done.err


def test_a_capture_that_cannot_be_written(node: Node, tmp_path: Path) -> None:
    done = node.ebbtide("doctor", "--capture", str(tmp_path / "none" / "x.tar.gz"))

    assert done.code == 1
    assert "cannot be written" in done.err


def test_files_with_the_wrong_ending_are_named(node: Node, tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    (folder / "mine.conf").write_text("classes:\n- name: x\n  allowswap: true\n")
    done = node.ebbtide("doctor", "--config-dir", str(folder))

    assert "mine.conf" in done.out
    assert "mine.yaml" in done.out
