"""docs/memtierd-defects.md names a test for every defect of memtierd's, and every test that it names is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in (ROOT / "docs/memtierd-defects.md").read_text().splitlines()
    if line.startswith("| ")
]
DEFECTS = [row for row in ROWS if row[-1] != "test"]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")


def named_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_there_are_many() -> None:
    assert len(DEFECTS) > 100


@pytest.mark.parametrize("row", DEFECTS, ids=lambda row: str(row[0])[:32])
def test_a_row_is_whole(row: list[str]) -> None:
    assert len(row) == 3
    assert all(row)
    assert NAMED.sub("", row[2]).strip(" ,") == "", "nothing but tests"


def test_every_test_that_is_named_exists() -> None:
    named = {found for row in DEFECTS for found in NAMED.findall(row[-1])}
    files = {name: named_in(ROOT / name) for name, _ in named}

    assert sorted(f"{name}::{test}" for name, test in named if test not in files[name]) == []
