"""A node with swap for the tests of the agent's parts."""

from pathlib import Path

import pytest

from tests.agent.fake_swap import Node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)
