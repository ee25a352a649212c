"""`ebbtide stats`: the daemon's answer as text, JSON and YAML."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from reconciler.control import server
from reconciler.control.answering import Answers
from reconciler.engine import stats
from reconciler.engine.figures import Book, MoveRecord
from tests.cli.node import ID, Node, conforms, report, workload


def answer(asked: str) -> dict[str, Any]:
    if asked == "new":
        raise LookupError("nothing tracks new: its class has no memtierdconfig, or its loop has ended")
    book = Book()
    figures = book.figures((42, 1, ()), 10.0)
    figures.scanned(100, 5, 0.25)
    figures.paged_out(8192, 4096)
    figures.moved(MoveRecord(pid=42, pages=3, first=4096, to=1, result=1, on_other=0, errors={16: 1}))
    book.happened("scan", 12.0)
    return stats.document(book, 4096, 15.0)


@pytest.fixture
def daemon(node: Node) -> Iterator[Node]:
    node.publish(report(workload(), workload("shop/cart-1/log", id="new")))
    serving = server.serve(str(node.run / "control.sock"), Answers(stats=answer))
    yield node
    serving.close()


def test_text_is_what_the_prompt_says(daemon: Node) -> None:
    shown = daemon.ebbtide("stats", "shop/cart-1/db")

    assert shown.code == 0
    assert shown.out == answer("")["text"] + "\n"


@pytest.mark.parametrize(("words", "name"), [([], ""), ([ID], "shop/cart-1/db")])
def test_as_json_and_yaml(daemon: Node, words: list[str], name: str) -> None:
    document = daemon.ebbtide("stats", *words, "-o", "json").document

    conforms("stats", document)
    assert yaml.safe_load(daemon.ebbtide("stats", *words, "-o", "yaml").out) == document
    assert document["name"] == name
    assert document["events"] == {"scan": {"count": 1, "first_s": 3.0, "latest_s": 3.0}}
    process = document["processes"][0]
    assert (process["pid"], process["left_bytes"], process["on_target"]) == (42, 4096, {"1": 2})
    assert process["errors"] == {"Device or resource busy": 1}


def test_nothing_tracks_it(daemon: Node) -> None:
    shown = daemon.ebbtide("stats", "shop/cart-1/log")

    assert shown.code == 4
    assert "nothing tracks new" in shown.err
    assert "hint: its class needs" in shown.err


def test_no_daemon(node: Node) -> None:
    node.publish(report(workload()))

    assert node.ebbtide("stats").code == 3
