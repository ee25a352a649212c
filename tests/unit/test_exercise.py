"""The exerciser says the truth about itself, and leaves nothing behind."""

import ctypes
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import exercise


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    options = ["--idle", "4M", "--write", "1M", "--read", "1M", "--nohugepage", "--tally", f"{tmp_path}/tally"]
    mapped = ["--file", f"{tmp_path}/cold:2M", "--hot-file", f"{tmp_path}/hot:2M"]
    command = [sys.executable, exercise.__file__, *options, *mapped, "--with-parent"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_every_range_is_a_vma_of_its_own(child: subprocess.Popen[str], tmp_path: Path) -> None:
    assert child.stdout is not None
    truth = json.loads(child.stdout.readline())
    maps = {line.split()[0]: line for line in Path(f"/proc/{child.pid}/maps").read_text().splitlines()}
    names = {f"{area['start']:x}-{area['end']:x}": area["role"] for area in truth["ranges"]}

    assert truth["pid"] == child.pid
    assert set(names) <= set(maps)
    assert list(names.values()) == ["idle", "write", "read", "file-cold", "file-hot"]

    child.send_signal(signal.SIGTERM)

    assert child.wait() == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tally"]


def test_it_tells_what_is_taken_from_its_hot_ranges(child: subprocess.Popen[str], tmp_path: Path) -> None:
    assert child.stdout is not None
    child.stdout.readline()
    assert taken(tmp_path) == {"write": 0, "read": 0, "file-hot": 0}

    punch_hole(tmp_path / "hot")
    deadline = time.monotonic() + 60
    while not (seen := taken(tmp_path))["file-hot"] and time.monotonic() < deadline:
        pass

    assert seen == {"write": 0, "read": 0, "file-hot": 2 << 20}


def punch_hole(path: Path) -> None:
    """Drops pages that are mapped, on every file system and without a privilege: FALLOC_FL_PUNCH_HOLE, KEEP_SIZE."""
    offset, size = ctypes.c_long(0), ctypes.c_long(path.stat().st_size)
    with path.open("r+b") as file:
        assert exercise.libc.fallocate(file.fileno(), 3, offset, size) == 0


def taken(folder: Path) -> dict[str, int]:
    return {each["role"]: each["taken"] for each in json.loads((folder / "tally").read_text())}


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("1", 4096), ("2M", 2 << 20), ("1.5K", 4096), ("1G", 1 << 30), ("2MiB", 2 << 20)]
)
def test_sizes_are_whole_pages(text: str, size: int) -> None:
    assert exercise.size_of(text) == size
