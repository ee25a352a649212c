"""The header of a swap area, byte for byte mkswap's."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from reconciler.agent import swap_header

UUID = uuid.UUID("6d0e5a1c-8a9b-4c3d-9e2f-0123456789ab")
MKSWAP = shutil.which("mkswap", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@pytest.mark.skipif(MKSWAP is None, reason="no mkswap here")
@pytest.mark.parametrize(("page_size", "pages"), [(4096, 10), (4096, 262144), (16384, 64), (65536, 64)])
def test_is_what_mkswap_writes(tmp_path: Path, page_size: int, pages: int) -> None:
    area = tmp_path / "area"
    area.touch(mode=0o600)
    os.truncate(area, page_size * pages)
    words = ["-p", str(page_size), "-U", str(UUID), "-L", swap_header.LABEL]
    subprocess.run([str(MKSWAP), *words, str(area)], check=True, capture_output=True)
    with area.open("rb") as file:
        golden = file.read(page_size)

    assert swap_header.page(page_size, pages, UUID.bytes) == golden


def test_layout() -> None:
    page = swap_header.page(4096, 1024, UUID.bytes, "a label that is too long")

    assert len(page) == 4096
    assert page[:1024] == bytes(1024)
    assert page[1024:1036] == b"".join(n.to_bytes(4, sys.byteorder) for n in (1, 1023, 0))
    assert page[1036:1068] == UUID.bytes + b"a label that is\0"
    assert page[1068:] == bytes(4096 - 1068 - 10) + b"SWAPSPACE2"


def test_too_small() -> None:
    with pytest.raises(ValueError, match="10 pages or more, not 9"):
        swap_header.page(4096, 9, UUID.bytes)
