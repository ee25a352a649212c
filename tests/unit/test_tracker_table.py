"""How measurements become the table of docs/trackers.md."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import trackertable


def row(**changes: Any) -> dict[str, Any]:
    known = {"kernel": "6.12.1-amd64", "tracker": "a", "scenario": "static", "kind": "write", "limits": {}}
    return {**known, "precision": 1.0, "recall": 0.987, "hot_bytes": 4096, **changes}


ROWS = [
    row(precision=0.1),
    row(),
    row(kernel="6.12.95-own+", recall=0.5),
    row(kernel="6.1.0-50-amd64", hot_bytes=0),
    row(kind="read", recall=0.0, limits={"recall": "it is blind"}),
    row(scenario="fork", precision=0.5, limits={"precision": "it shares", "recall": "it is blind"}),
    row(tracker="b", kernel="7.3-amd64"),
]

TABLES = """\
### a

| hot memory | 6.1 | 6.12 | 6.12 idlepage |
| --- | --- | --- | --- |
| static, written | 1.00 / ? | 1.00 / 0.99 | 1.00 / 0.50 |
| fork, written |  | 0.50* / 0.99* |  |
| static, read |  | 1.00 / 0.00* |  |

\\* precision (fork): it shares.
\\* recall: it is blind.

### b

| hot memory | 7.3 |
| --- | --- |
| static, written | 1.00 / 0.99 |"""


def test_the_table() -> None:
    assert trackertable.document(trackertable.results(map(json.dumps, ROWS))) == TABLES


def test_it_goes_between_its_marks() -> None:
    before = f"# Head\n\n{trackertable.BEGIN}\nold\n{trackertable.END}\n\ntail\n"
    after = trackertable.put(before, "new")

    assert after == f"# Head\n\n{trackertable.BEGIN}\n\nnew\n\n{trackertable.END}\n\ntail\n"
    assert trackertable.put(after, "new") == after


@pytest.mark.parametrize("text", ["", trackertable.BEGIN, trackertable.END])
def test_a_document_without_marks_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match="the document lacks a line"):
        trackertable.put(text, "new")


def test_the_document_has_its_marks() -> None:
    text = (Path(__file__).parents[2] / "docs/trackers.md").read_text()

    assert trackertable.put(text, "x")
