"""Engines beside the daemon: what one that was killed had borrowed goes back at the next start, of whomever."""

from pathlib import Path

import pytest

from reconciler.engine import kdamond_folders
from reconciler.engine.kdamond_record import Loan, Record
from sysfs.tree import Tree

ADMIN = "sys/kernel/mm/damon/admin/kdamonds"
MADE = 2


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Plain files: two kdamonds that are off."""
    boot_id = tmp_path / "proc/sys/kernel/random/boot_id"
    boot_id.parent.mkdir(parents=True)
    boot_id.write_text("this-boot\n")
    for number in range(MADE):
        folder = tmp_path / ADMIN / str(number)
        folder.mkdir(parents=True)
        (folder / "state").write_text("off\n")
    (tmp_path / ADMIN / "nr_kdamonds").write_text(f"{MADE}\n")
    return Tree(tmp_path)


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def killed(tmp_path: Path, run_dir: Path, boot_id: str = "this-boot") -> Path:
    """The folder that a killed process leaves behind."""
    folder = run_dir / kdamond_folders.NAME / "4711-abc"
    folder.mkdir(parents=True)
    inode = (tmp_path / ADMIN / "0").stat().st_ino
    Record(folder, boot_id).save(Loan(made=MADE, inode=inode))
    (folder / ".kdamonds.json.half").touch()
    return folder


def count(tmp_path: Path) -> str:
    return (tmp_path / ADMIN / "nr_kdamonds").read_text().strip()


def test_nothing_stays(tree: Tree, run_dir: Path) -> None:
    with kdamond_folders.own(tree, run_dir) as kdamonds:
        assert len(list((run_dir / kdamond_folders.NAME).iterdir())) == 1
        kdamonds.close()

    assert list((run_dir / kdamond_folders.NAME).iterdir()) == []


def test_nothing_stays_of_one_that_a_signal_ends(tree: Tree, run_dir: Path) -> None:
    with pytest.raises(KeyboardInterrupt), kdamond_folders.own(tree, run_dir):
        raise KeyboardInterrupt

    assert list((run_dir / kdamond_folders.NAME).iterdir()) == []


def test_the_next_one_gives_back(tree: Tree, tmp_path: Path, run_dir: Path) -> None:
    folder = killed(tmp_path, run_dir)

    with kdamond_folders.own(tree, run_dir):
        assert count(tmp_path) == "0"
        assert not folder.exists()


def test_the_daemon_gives_back_too(tree: Tree, tmp_path: Path, run_dir: Path) -> None:
    folder = killed(tmp_path, run_dir)

    kdamond_folders.recover(tree, run_dir)

    assert (count(tmp_path), folder.exists()) == ("0", False)


def test_what_lives_is_left_alone(tree: Tree, tmp_path: Path, run_dir: Path) -> None:
    with kdamond_folders.own(tree, run_dir):
        (living,) = (run_dir / kdamond_folders.NAME).iterdir()
        Record(living, "this-boot").save(Loan(made=MADE, inode=(tmp_path / ADMIN / "0").stat().st_ino))

        with kdamond_folders.own(tree, run_dir):
            assert len(list(living.parent.iterdir())) == 2
        kdamond_folders.recover(tree, run_dir)

        assert (count(tmp_path), living.exists()) == (str(MADE), True)


def test_an_earlier_boot_says_nothing(tree: Tree, tmp_path: Path, run_dir: Path) -> None:
    folder = killed(tmp_path, run_dir, "earlier-boot")

    kdamond_folders.recover(tree, run_dir)

    assert (count(tmp_path), folder.exists()) == (str(MADE), False)


def test_what_cannot_be_given_back_now_stays_recorded(tree: Tree, tmp_path: Path, run_dir: Path) -> None:
    folder = killed(tmp_path, run_dir)
    (tmp_path / ADMIN / "1/state").unlink()  # no kernel does this; any error will do

    kdamond_folders.recover(tree, run_dir)

    assert folder.exists()
    assert Record(folder, "this-boot").load().made == MADE


def test_without_any_folder_there_is_nothing_to_do(tree: Tree, run_dir: Path) -> None:
    kdamond_folders.recover(tree, run_dir)

    assert not run_dir.exists()
