"""The command line's fixtures."""

import json
from pathlib import Path

import pytest

from reconciler.cli.options import Options
from tests.cli import kernel_tree
from tests.cli.node import Node, Outcome

CLASS = """\
classes:
  - name: roomy
    allowswap: true
    memory:
      high: 64M
"""


@pytest.fixture
def node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Node:
    for folder in ("state", "run"):
        (tmp_path / folder).mkdir()
    return Node(tmp_path, capsys)


class Machine:
    """A node with a kernel of plain files, one class and one workload of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.root = kernel_tree.make(node.path / "root")
        self.cgroup = kernel_tree.cgroup(self.root, "/shop/db")
        self.classes = node.path / "conf.d" / "a.yaml"
        kernel_tree.write(self.classes, CLASS)
        record = {"id": "db-1", "cgroup": "/shop/db", "class": "roomy"}
        kernel_tree.write(node.state / "workloads.d" / "db-1.json", json.dumps(record))

    @property
    def options(self) -> Options:
        """The same options as a value."""
        places = (str(self.classes.parent),)
        state, run = str(self.node.state), str(self.node.run)
        return Options(root=str(self.root), config_dirs=places, state_dir=state, run_dir=run)

    def ebbtide(self, verb: str, *words: str) -> Outcome:
        return self.node.ebbtide(verb, "--root", str(self.root), "--config-dir", str(self.classes.parent), *words)

    def knob(self, name: str) -> str:
        return (self.cgroup / name).read_text().strip()

    def set(self, **knobs: str) -> None:
        for name, value in knobs.items():
            (self.cgroup / f"memory.{name.replace('_', '.')}").write_text(value + "\n")


@pytest.fixture
def machine(node: Node) -> Machine:
    return Machine(node)
