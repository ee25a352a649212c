"""What the documents say is true: commands exist, examples load, files and links are there."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from reconciler import classes, schemas
from reconciler.cli import main, whole
from reconciler.model import Severity

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", ROOT / "HACKING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SCHEMAS = {"classes": schemas.read("classes")}


def blocks(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL)


def commands(text: str, name: str) -> Iterator[str]:
    """Words that follow `name` at the beginning of a command or after a path to it."""
    yield from re.findall(rf"(?:^|[\s`/]){re.escape(name)} ([a-z][a-z0-9-]*)", text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_verb_of_run_exists(path: Path) -> None:
    usage = subprocess.run([ROOT / "run", "help"], capture_output=True, text=True, check=True).stdout
    known = set(re.findall(r"^  ([a-z0-9, -]+?)  ", usage, re.MULTILINE))
    verbs = {verb.strip() for line in known for verb in line.split(",")}

    assert set(commands(path.read_text(), "./run")) <= verbs


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_verb_of_ebbtide_exists(path: Path) -> None:
    code = re.findall(r"`([^`\n]+)`|^    (.+)$", path.read_text(), re.MULTILINE)
    text = "\n".join(inline or indented for inline, indented in code)

    assert set(commands(text, "ebbtide")) <= set(main.VERBS)


def test_the_class_of_the_readme_is_right() -> None:
    text = next(block for block in blocks(ROOT / "README.md", "yaml") if "classes:" in block)

    loaded = classes.load([classes.ClassText(path="README.md", name="README.md", text=text)], SCHEMAS)

    assert [problem for problem in loaded.problems if problem.severity is not Severity.NOTE] == []
    assert list(loaded.table.classes) == ["swap-idle-data"]


def test_the_pod_of_the_readme_names_that_class() -> None:
    text = next(block for block in blocks(ROOT / "README.md", "yaml") if "annotations:" in block)

    assert yaml.safe_load(text)["metadata"]["annotations"]["class.memtierd.nri.io"] == "swap-idle-data"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_are_named_exist(path: Path) -> None:
    named = re.findall(
        r"`((?:reconciler|sysfs|nri|schema|etc|packaging|tests|docs)/[\w./-]*\w(?:\.\w+|/)?)`", path.read_text()
    )

    missing = [name for name in named if not (ROOT / name).exists()]
    assert [name for name in missing if not re.search(r"\b[A-Z]{2,}\b", name)] == [], "capitals stand for any name"


def test_the_changelog_has_an_entry_for_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()

    assert re.search(r"^## Unreleased\n(?:(?!## ).*\n)*?- \S", text, re.MULTILINE)


PLAIN = ["ebbtide"]  # what a shell would do with more (pipes, `$(...)`) is not looked at here


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_shell_blocks_can_be_typed(path: Path) -> None:
    parser = whole.parser()
    lines = [line for block in blocks(path, "sh") for line in block.replace("\\\n", " ").splitlines()]

    for words in (shlex.split(line) for line in lines if line.split()[:1] == PLAIN):
        assert parser.parse_args(words[1:]).verb in main.VERBS


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_class_files_in_documents_are_right(path: Path) -> None:
    keys = set(SCHEMAS["classes"]["properties"])
    texts = [text for text in blocks(path, "yaml") if set(yaml.safe_load(text) or {}) & keys]

    for text in texts:
        loaded = classes.load([classes.ClassText(path=path.name, name=path.name, text=text)], SCHEMAS)
        assert [problem for problem in loaded.problems if problem.severity is not Severity.NOTE] == []
