"""STATE/swap.json: written before, kept over a boot as far as it means something, never guessed from."""

from pathlib import Path

import pytest

from reconciler.agent.swap_record import NOTHING, File, Ledger, Record, Zram

FILE = File(path="/var/lib/ebbtide/swap/swap0-01020304", size_bytes=1 << 30)
FULL = Ledger(
    files=(FILE,),
    zrams=(Zram(number=1, inode=77, size_bytes=1 << 20),),
    before=(0,),
    folders=("/var/lib/ebbtide/swap",),
)


def test_is_read_as_it_was_written(tmp_path: Path) -> None:
    Record(tmp_path, "one").save(FULL)

    assert Record(tmp_path, "one").ledger == FULL
    assert (tmp_path / "swap.json").stat().st_mode & 0o777 == 0o600


def test_after_a_reboot_only_files_are_left(tmp_path: Path) -> None:
    Record(tmp_path, "one").save(FULL)

    assert Record(tmp_path, "two").ledger == Ledger(files=(FILE,), folders=FULL.folders)


def test_nothing_is_no_file(tmp_path: Path) -> None:
    record = Record(tmp_path, "one")
    record.save(FULL)
    record.save(NOTHING)

    assert list(tmp_path.iterdir()) == []
    assert Record(tmp_path, "one").ledger == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        '{"version": 2}',
        '{"version": 1, "boot_id": "one", "areas": {"files": [{}]}}',
        '{"version": 1}',
    ],
)
def test_what_cannot_be_understood_is_set_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "swap.json").write_text(text)
    record = Record(tmp_path, "one")

    assert record.ledger == NOTHING
    assert "swap.json.unreadable cannot be understood" in record.problem
    assert (tmp_path / "swap.json.unreadable").read_text() == text
    assert not (tmp_path / "swap.json").exists()


def test_a_disk_that_refuses_is_heard(tmp_path: Path) -> None:
    record = Record(tmp_path / "gone", "one")

    with pytest.raises(OSError, match="gone"):
        record.save(FULL)
    assert record.ledger == NOTHING
