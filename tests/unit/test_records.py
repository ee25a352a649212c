import os
from pathlib import Path

import pytest

from reconciler import records
from reconciler.model import Workload

MINE = Workload(id="0123abcd", cgroup="/x", boot_id="now", writer="nri")


def state(tmp_path: Path, **files: str) -> str:
    folder = tmp_path / "workloads.d"
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return str(tmp_path)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = records.write(str(tmp_path), MINE)

    (found,), problems = records.read_all(str(tmp_path), "now")
    assert (found.id, found.source, problems) == ("0123abcd", path, ())
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path / "workloads.d") == ["0123abcd.json"]


def test_no_folder_is_no_record(tmp_path: Path) -> None:
    assert records.read_all(str(tmp_path), "now") == ((), ())


def test_records_of_another_boot_do_not_count(tmp_path: Path) -> None:
    records.write(str(tmp_path), MINE)

    assert records.read_all(str(tmp_path), "later") == ((), ())


def test_a_persons_record_holds_on_every_boot(tmp_path: Path) -> None:
    where = state(tmp_path, db__yaml="{name: db, cgroup: /db, class: c}")

    (found,), _ = records.read_all(where, "later")
    assert found.named


def test_a_torn_file_is_named_and_the_rest_works(tmp_path: Path) -> None:
    where = state(tmp_path, torn__json='{"id": "x', note__txt="hello", __hidden="{{{")
    records.write(where, MINE)

    found, problems = records.read_all(where, "now")
    assert [one.id for one in found] == ["0123abcd"]
    assert sorted(os.path.basename(problem.where) for problem in problems) == ["note.txt", "torn.json"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_can_write_is_not_obeyed(tmp_path: Path, mode: int) -> None:
    where = state(tmp_path, db__yaml="{name: db, cgroup: /db}")
    (tmp_path / "workloads.d" / "db.yaml").chmod(mode)

    found, (problem,) = records.read_all(where, "now")
    assert found == ()
    assert "written by others" in problem.message


def test_links_pipes_and_folders_are_refused(tmp_path: Path) -> None:
    where = state(tmp_path)
    (tmp_path / "elsewhere").write_text("{name: db, cgroup: /db}")
    (tmp_path / "workloads.d" / "a.json").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "workloads.d" / "b.json", 0o600)
    (tmp_path / "workloads.d" / "c.json").mkdir()

    found, problems = records.read_all(where, "now")
    assert found == ()
    assert len(problems) == 3


def test_large_and_binary_files_are_refused(tmp_path: Path) -> None:
    where = state(tmp_path, a__json=" " * (1 << 20) + "{}")
    (tmp_path / "workloads.d" / "b.json").write_bytes(b'{"id": "\xff"}')

    _, problems = records.read_all(where, "now")
    assert ["1 MiB" in problems[0].message, "UTF-8" in problems[1].message] == [True, True]


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    where = state(tmp_path)
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "workloads.d" / ".0123abcd.new").symlink_to(tmp_path / "victim")

    records.write(where, MINE)

    assert (tmp_path / "victim").read_text() == "precious"


@pytest.mark.parametrize("name", ["", "../x", ".x", "a/b", "x" * 300, "a\n"])
def test_an_id_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        records.write(str(tmp_path), Workload(id=name))


def test_remove_says_whether_there_was_one(tmp_path: Path) -> None:
    records.write(str(tmp_path), MINE)

    assert [records.remove(str(tmp_path), MINE.id), records.remove(str(tmp_path), MINE.id)] == [True, False]


def test_prune_removes_what_only_we_can_have_written(tmp_path: Path) -> None:
    """A record that cannot be read would be complained about for ever."""
    where = state(tmp_path)
    for name in ("a" * 64, "b" * 64, "torn"):
        (tmp_path / "workloads.d" / f"{name}.json").write_text("{")

    gone = records.prune(where, frozenset({"b" * 64}), "now")

    assert gone == ("a" * 64,)
    assert sorted(os.listdir(tmp_path / "workloads.d")) == [f"{'b' * 64}.json", "torn.json"]


def test_prune_removes_our_own_only(tmp_path: Path) -> None:
    where = state(tmp_path, db__yaml="{name: db, cgroup: /db}", torn__json="{")
    records.write(where, MINE)
    records.write(where, Workload(id="gone", boot_id="now", writer="nri"))
    records.write(where, Workload(id="old", boot_id="then", writer="nri"))

    gone = records.prune(where, frozenset({"0123abcd", "old"}), "now")

    assert sorted(gone) == ["gone", "old"]
    assert sorted(os.listdir(tmp_path / "workloads.d")) == ["0123abcd.json", "db.yaml", "torn.json"]
