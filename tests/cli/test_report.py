"""`ebbtide report`: a page that is whole, true and harmless, with charts and without."""

import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import pytest

from reconciler.cli import report as report_verb
from reconciler.cli.published import Standing
from reconciler.control import server
from reconciler.control.answering import Answers
from reconciler.report import ClassReport, SavedReport
from tests.cli import histories_sample
from tests.cli.node import ID, PROBLEM, SAVED, Node, report, workload

EVIL = "shop/<script>alert(1)</script>\x1b[2J/db"
NOW = datetime(2026, 11, 25, 10, 3, 20, tzinfo=UTC)
CLASSES = (
    ClassReport(name="gone", saved=replace(SAVED, away_bytes=0)),
    ClassReport(name="swap-idle-data", saved=SAVED),
)


def history(moments: int = 240) -> dict[str, Any]:
    return {"sizes": histories_sample.document(moments)["sizes"], "stall_percent": {ID: 0.25}}


def page(*rows: Any, moments: int = 240, **changes: Any) -> str:
    told = report(*rows, **{"classes": CLASSES, **changes})
    return report_verb.page(Standing(report=told), history(moments), "node-1", NOW)


class Reader(HTMLParser):
    """Rows of tables, and whether every tag that has to be closed is."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag not in {"meta", "path", "use", "image"}:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        return

    def handle_endtag(self, tag: str) -> None:
        if tag not in {"path", "use", "image"}:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th"}:
            self.rows[-1][-1] += data


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)


def test_classes_and_workloads(without_charts: None) -> None:
    other = workload("b/web-1/web", id="u", class_name="", engine=None, state="unmanaged", saved=SavedReport())
    rows = Reader(page(workload(), other)).rows

    assert ["gone", "0", "0B", "0B", "0B", "1.5", "191M", "1M", "0.5 %"] in rows
    assert ["swap-idle-data", "1", "300M", "191M", "190M", "1.5", "191M", "1M", "0.5 %"] in rows
    assert ["(no class)", "1", "300M", "191M", "0B", "0", "0B", "0B", "-"] in rows
    mine = ["shop/cart-1/db", "swap-idle-data", "converged", "300M", "50M", "200M", "191M", "190M", "1.5"]
    assert [*mine, "191M", "1M", "0.25 %"] in rows
    assert any(row[:3] == ["b/web-1/web", "-", "unmanaged"] and row[-1] == "-" for row in rows)


def test_without_matplotlib_there_are_tables(without_charts: None) -> None:
    text = page(workload())
    found = Reader(text)

    assert found.open == []
    assert "Charts need matplotlib: apt install" in text
    over_time = [row for row in found.rows if re.match(r"\d{4}-\d\d-\d\d", row[0])]
    assert len(over_time) == 24
    assert over_time[-1][0] == "2025-11-25 08:59:45"


def test_with_it_there_are_charts() -> None:
    pytest.importorskip("matplotlib")
    text = page(workload())

    assert text.count("<svg") == 3
    assert Reader(text).open == []


@pytest.mark.parametrize("moments", [1, 240])
def test_reasons_problems_and_strangers_texts(moments: int) -> None:
    rows = (workload(EVIL, state="held", reason=EVIL, class_name=EVIL),)
    text = page(*rows, problems=(replace(PROBLEM, message=EVIL, hint=EVIL),), summary=EVIL, moments=moments)

    assert "<script" not in text
    assert "\x1b" not in text
    assert not re.search(r'(?:src|href)="(?!#|data:)', text)
    shown = EVIL.replace("\x1b", "�")
    assert [shown, "held", shown] in Reader(text).rows
    assert ["/etc/nri/conf.d/x.yaml:3:5", "error", shown, shown] in Reader(text).rows


def test_before_anything_is_known(without_charts: None) -> None:
    nothing: dict[str, Any] = {"sizes": {"fine": {"when": [], "stall_percent": []}, "coarse": {"when": []}}}
    text = report_verb.page(Standing(report=report()), nothing, "node-1", NOW)

    assert "Nothing is known yet." in text


@pytest.fixture
def daemon(node: Node) -> Iterator[Node]:
    node.publish(report(workload()))
    serving = server.serve(str(node.run / "control.sock"), Answers(heatmap=lambda _: history(3)))
    yield node
    serving.close()


def test_into_a_file_or_onto_a_pipe(daemon: Node, without_charts: None) -> None:
    shown = daemon.ebbtide("report", str(daemon.path / "a.html"))

    assert (shown.code, shown.out) == (0, "")
    text = (daemon.path / "a.html").read_text()
    assert text.startswith("<!DOCTYPE html>")
    piped = daemon.ebbtide("report")
    assert (piped.code, piped.out[:15]) == (0, "<!DOCTYPE html>")


def test_no_daemon(node: Node) -> None:
    node.publish(report(workload()))

    assert node.ebbtide("report", "a.html").code == 3
