"""Files that say which pages matter, written by strangers."""

import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reconciler.engine import pages_of_interest
from reconciler.engine.pages_of_interest import Interest

PAGE = 4096


def pairs(*numbers: int) -> bytes:
    return np.array(numbers, "<u8").tobytes()


def listed(interest: Interest) -> dict[int, list[tuple[int, int]]]:
    return {
        pid: [(int(a), int(b)) for a, b in zip(start, end, strict=True)]
        for pid, (start, end) in interest.ranges.items()
    }


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(pairs(PAGE, 3 * PAGE), [(PAGE, 3 * PAGE)], id="one"),
        pytest.param(b"", [], id="empty"),
        pytest.param(pairs(0x1234, 0x2001), [(0x1000, 0x3000)], id="whole pages"),
        pytest.param(pairs(0x9000, 0x9000, 0x9000, 0x8000, 0x1000, 0x2000), [(0x1000, 0x2000)], id="no ranges"),
        pytest.param(
            pairs(0x5000, 0x6000, 0x1000, 0x3000, 0x2000, 0x4000, 0x4000, 0x4800),
            [(0x1000, 0x6000)],
            id="in any order, overlapping, touching",
        ),
        pytest.param(pairs(0x1000, 2**64 - 1), [(0x1000, 1 << 56)], id="to the end of the world"),
        pytest.param(pairs(2**64 - 2, 2**64 - 1, 1 << 56, (1 << 56) + 1), [], id="beyond it"),
        pytest.param(pairs((1 << 56) - 1, 1 << 56), [((1 << 56) - PAGE, 1 << 56)], id="at its end"),
    ],
)
def test_ranges(tmp_path: Path, data: bytes, expected: list[tuple[int, int]]) -> None:
    (tmp_path / "42.vab").write_bytes(data)

    assert listed(pages_of_interest.read(str(tmp_path), PAGE)) == {42: expected}


@pytest.mark.parametrize("name", ["lock", "42", "x.vab", "0.vab", "-1.vab", "042.vab", "42.vab.tmp", "9999999999.vab"])
def test_other_names_are_none_of_our_business(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pairs(PAGE, 2 * PAGE))

    assert pages_of_interest.read(str(tmp_path), PAGE) == Interest()


def fill_short(path: Path) -> None:
    path.write_bytes(pairs(PAGE, 2 * PAGE) + b"x" * 8)


def fill_huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(pages_of_interest.MOST_BYTES + 16)


def link(path: Path) -> None:
    target = path.with_name("secret")
    target.write_bytes(pairs(PAGE, 2 * PAGE))
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (fill_short, "has 24 bytes, which is no multiple of 16: it is ignored"),
        (fill_huge, "is larger than 16 MiB: it is ignored"),
        (link, "cannot be read (Too many levels of symbolic links): it is ignored"),
        (Path.mkdir, "is no regular file: it is ignored"),
        (os.mkfifo, "is no regular file: it is ignored"),
    ],
)
def test_garbage_is_said_and_the_others_count(tmp_path: Path, make: object, said: str) -> None:
    make(tmp_path / "7.vab")  # type: ignore[operator]
    (tmp_path / "8.vab").write_bytes(pairs(PAGE, 2 * PAGE))
    interest = pages_of_interest.read(str(tmp_path), PAGE)

    assert listed(interest) == {8: [(PAGE, 2 * PAGE)]}
    assert interest.notes == (f"{tmp_path}/7.vab {said}",)


def test_much_garbage_is_said_in_a_few_words(tmp_path: Path) -> None:
    for pid in range(1, 12):
        (tmp_path / f"{pid}.vab").write_bytes(b"x")

    assert pages_of_interest.read(str(tmp_path), PAGE).notes[5:] == ("and 6 more files are ignored",)


def test_there_may_be_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages_of_interest, "MOST_FILES", 2)
    for pid in range(1, 5):
        (tmp_path / f"{pid}.vab").write_bytes(b"")
    interest = pages_of_interest.read(str(tmp_path), PAGE)

    assert sorted(interest.ranges) == [1, 2]
    assert interest.notes == (f"{tmp_path}: only 2 of 4 files are read",)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "8.vab").write_bytes(pairs(PAGE, 2 * PAGE))
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize(("held", "read"), [(fcntl.LOCK_EX, False), (fcntl.LOCK_SH, True), (fcntl.LOCK_UN, True)])
def test_while_somebody_writes_the_round_is_left_out(tmp_path: Path, writer: int, held: int, read: bool) -> None:
    fcntl.flock(writer, held)
    interest = pages_of_interest.read(str(tmp_path), PAGE)

    assert bool(interest.ranges) == read
    assert interest.notes == (() if read else (f"{tmp_path}: is being written: this round is left out",))


def test_a_writer_gets_the_lock_when_we_have_read(tmp_path: Path, writer: int) -> None:
    pages_of_interest.read(str(tmp_path), PAGE)

    fcntl.flock(writer, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_lock_is_made_for_all_to_open(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        pages_of_interest.read(str(tmp_path), PAGE)
    finally:
        os.umask(before)

    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o644


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "8.vab").write_bytes(pairs(PAGE, 2 * PAGE))
    (tmp_path / "lock").symlink_to(tmp_path / "made")
    interest = pages_of_interest.read(str(tmp_path), PAGE)

    assert interest == Interest(notes=(f"{tmp_path}/lock: Too many levels of symbolic links: this round is left out",))
    assert not (tmp_path / "made").exists()


def test_without_the_directory_nothing_is_of_interest(tmp_path: Path) -> None:
    where = str(tmp_path / "none")

    assert pages_of_interest.read(where, PAGE) == Interest(
        notes=(f"{where}: No such file or directory: no pages are of interest",)
    )


def test_files_are_read_again_each_time(tmp_path: Path) -> None:
    for end in (2, 3):
        (tmp_path / "8.vab").write_bytes(pairs(PAGE, end * PAGE))

        assert listed(pages_of_interest.read(str(tmp_path), PAGE)) == {8: [(PAGE, end * PAGE)]}
