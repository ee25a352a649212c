"""The command line's fixture."""

from pathlib import Path

import pytest

from tests.cli.node import Node


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Node:
    for folder in ("state", "run"):
        (tmp_path / folder).mkdir()
    return Node(tmp_path, capsys)
