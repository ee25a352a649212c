"""Manual pages: their YAML is right, their commands exist, and they have what people look for at the end."""

import re
import shlex
from pathlib import Path

import pytest

from reconciler import schemas
from reconciler.classes import ClassText, load
from reconciler.cli import main, whole

PAGES = sorted((Path(__file__).parents[2] / "packaging/man").glob("*.scd"))
BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EVERYWHERE = {"NAME", "DESCRIPTION", "SEE ALSO"}
OF_PROGRAMS = EVERYWHERE | {"SYNOPSIS", "EXIT STATUS", "FILES", "ENVIRONMENT"}
NOT_OURS = {"systemctl", "ln"}


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


def is_yaml(block: str) -> bool:
    return ":" in block.split(maxsplit=1)[0] or block.startswith("#")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_yaml_is_right_as_it_is_printed(page: Path) -> None:
    texts = [block for block in blocks(page) if is_yaml(block)]
    # The blocks of a page make one file: a workload may name a class of the block before.
    loaded = load([ClassText(path=page.name, name=page.name, text="\n".join(texts))], schemas.load())

    assert loaded.problems == ()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_ours_and_can_be_read(page: Path) -> None:
    parser = whole.parser()
    lines = [line for block in blocks(page) if not is_yaml(block) for line in block.splitlines()]

    for words in map(shlex.split, lines):
        assert words[0] in {"ebbtide", *NOT_OURS}
        if words[0] == "ebbtide":
            assert parser.parse_args(words[1:]).verb in main.VERBS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_sections_that_people_look_for(page: Path) -> None:
    found = set(re.findall(r"^# ([A-Z ]+)$", page.read_text(), re.MULTILINE))

    assert (OF_PROGRAMS if page.stem.endswith("8") else EVERYWHERE) <= found


def test_every_class_key_is_in_the_manual() -> None:
    keys = schemas.load()["classes"]["$defs"]["class"]["properties"]
    text = next(page for page in PAGES if page.stem == "ebbtide.yaml.5").read_text()

    assert [key for key in keys if f"*{key}*" not in text] == []
