"""The exerciser says the truth about itself, and leaves nothing behind."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler import exercise


@pytest.fixture
def child(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    options = ["--idle", "4M", "--write", "1M", "--read", "1M", "--file", f"{tmp_path}/cold:2M", "--nohugepage"]
    command = [sys.executable, exercise.__file__, *options, "--with-parent"]
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
    assert list(names.values()) == ["idle", "write", "read", "file-cold"]

    child.send_signal(signal.SIGTERM)

    assert child.wait() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "size"), [("4096", 4096), ("1", 4096), ("2M", 2 << 20), ("1.5K", 4096), ("1G", 1 << 30), ("2MiB", 2 << 20)]
)
def test_sizes_are_whole_pages(text: str, size: int) -> None:
    assert exercise.size_of(text) == size
