"""`ebbtide heatmap`: text word by word, pictures as far as a program can look at them, and what can be wrong."""

import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli import heat_lines, pictures, render
from reconciler.cli.render import Page
from reconciler.control import server
from reconciler.control.answering import Answers
from tests.cli import histories_sample
from tests.cli.node import ID, Node, conforms, golden, report, workload

EVIL = "shop/<script>alert(1)</script>$\\frac{1}{0}$\x1b[2J/db"


def answer(asked: str) -> dict[str, Any]:
    if asked == "new":
        raise LookupError("nothing is known of new yet")
    return histories_sample.document()


@pytest.fixture
def daemon(node: Node) -> Iterator[Node]:
    node.publish(report(workload(), workload("shop/cart-1/log", id="new"), workload(EVIL, id="evil")))
    serving = server.serve(str(node.run / "control.sock"), Answers(heatmap=answer))
    yield node
    serving.close()


def page(document: dict[str, Any], width: int = 0, *, color: bool = False) -> str:
    lines = heat_lines.lines(document, Page(width=width, color=color))
    return "".join(f"{render.shown(line)}\n" for line in lines)


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal(width: int) -> None:
    shown = page(histories_sample.document(), width)

    assert shown == golden(f"heatmap-{width}")
    assert max(map(len, shown.splitlines())) <= width


def test_colours_say_nothing_that_shades_do_not() -> None:
    painted = page(histories_sample.document(), 80, color=True)

    assert re.sub(r"\x1b\[\d+m", "", painted) == golden("heatmap-80")
    assert "\x1b[31m█" in painted


def test_memory_that_nothing_tracks_has_a_size() -> None:
    shown = page(histories_sample.document(30, tracked=False), 80)

    assert shown == golden("heatmap-untracked-80")


def test_a_time_in_which_nobody_looked_is_a_gap() -> None:
    document = histories_sample.document(60)
    picture: dict[str, Any] = document["map"]
    picture["when"] = [when + 3600 * (at >= 30) for at, when in enumerate(picture["when"])]
    rows = [line[heat_lines.MARGIN :] for line in page(document, 80).splitlines()[1:17]]

    assert {row[20:50].strip() for row in rows} == {""}


def test_on_a_pipe_and_from_the_daemon(daemon: Node) -> None:
    shown = daemon.ebbtide("heatmap", "shop/cart-1/db")

    assert shown.code == 0
    assert shown.out.startswith("shop/cart-1/db\nmemory by address")
    assert "\x1b" not in shown.out


@pytest.mark.parametrize("moments", [1, 2, 240])
def test_few_moments_are_enough(moments: int) -> None:
    assert "┤" in page(histories_sample.document(moments), 80)


def test_before_the_first_moment() -> None:
    nothing: dict[str, Any] = {"sizes": {"fine": {"when": []}}, "map": {}}

    assert page(nothing) == "nothing is known yet: the first moment comes after 15 s\n"


def test_as_json(daemon: Node) -> None:
    document = daemon.ebbtide("heatmap", ID, "-o", "json").document

    conforms("heatmap", document)
    assert (document["name"], len(document["map"]["heat"])) == ("shop/cart-1/db", 240)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["shop/cart-1/log"], 4, "nothing is known of new yet\nhint: ask again"),
        (["nobody"], 4, "no such workload"),
        ([ID, "--png", "a", "--svg", "b"], 64, "not allowed with"),
    ],
)
def test_what_can_be_wrong(daemon: Node, words: list[str], code: int, said: str) -> None:
    shown = daemon.ebbtide("heatmap", *words)

    assert shown.code == code
    assert said in shown.err


def test_without_matplotlib_it_is_said_what_to_install(daemon: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    shown = daemon.ebbtide("heatmap", ID, "--png", str(daemon.path / "a.png"))

    assert shown.code == 1
    assert shown.err.startswith("ebbtide: --png: needs matplotlib: ")
    assert shown.err.endswith(f"\nhint: {pictures.INSTALL}\n")
    assert not (daemon.path / "a.png").exists()


def test_a_folder_that_is_not_there(daemon: Node) -> None:
    pytest.importorskip("matplotlib")
    shown = daemon.ebbtide("heatmap", ID, "--svg", str(daemon.path / "no/a.svg"))

    assert shown.code == 1
    assert "No such file or directory" in shown.err


@pytest.mark.parametrize("form", ["svg", "png", "html"])
@pytest.mark.parametrize("moments", [1, 240])
def test_pictures(tmp_path: Path, form: str, moments: int) -> None:
    pytest.importorskip("matplotlib")
    document = {"name": "shop/cart-1/db", **histories_sample.document(moments)}
    data = pictures.of_workload(document, form)

    assert data.startswith({"svg": b"<?xml", "png": b"\x89PNG", "html": b"<!DOCTYPE html>"}[form])
    if form == "svg":
        assert ET.fromstring(data).tag.endswith("}svg")


def test_a_page_needs_nothing_else_and_strangers_texts_stay_texts(daemon: Node) -> None:
    pytest.importorskip("matplotlib")
    file = daemon.path / "a.html"
    shown = daemon.ebbtide("heatmap", "evil", "--html", str(file))
    text = file.read_text()

    assert (shown.code, shown.out) == (0, "")
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert "\x1b" not in text
    assert "<td>4711</td>" in text


def test_working_sets_alone_make_a_picture_too() -> None:
    pytest.importorskip("matplotlib")

    assert pictures.of_workload({"name": "a", **histories_sample.document(30, tracked=False)}, "png")
