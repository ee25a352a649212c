"""`ebbtide status` word by word, at 80 and 140 columns and with every output."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from reconciler.cli import render, status
from reconciler.cli.published import Standing
from reconciler.cli.render import Page
from reconciler.report import ClassReport, EngineReport, OutlookReport, SavedReport, Would
from tests.cli.node import PROBLEM, SAVED, Node, golden, report, workload

MIB = 1 << 20
NOW = datetime(2026, 11, 25, 10, 3, 20, tzinfo=UTC)
TIMES = {"started": "2026-11-25T08:00:00+00:00", "time": "2026-11-25T10:03:16+00:00", "pid": 42}
TIERED = EngineReport(
    tracker="damon", tracked_bytes=900 * MIB, idle_bytes=100 * MIB, node_bytes={"0": 700 * MIB, "2": 200 * MIB}
)
WOULD = (
    Would(class_name="swap-idle-data", after_secs=10, bytes=120 * MIB, source="mglru"),
    Would(class_name="careful", after_secs=5400, bytes=90 * MIB, source="mglru"),
)
ROWS = (
    workload("shop/cart-5d8f7c-x2x9z/db"),
    workload("shop/cart-5d8f7c-x2x9z/cache", id="t", class_name="tiered", engine=TIERED, state="held", reason="paused"),
    workload(
        "shop/web-1/web",
        id="u",
        class_name="",
        engine=None,
        state="unmanaged",
        knobs=(),
        saved=SavedReport(),
        would=WOULD,
        node_bytes={"10": MIB, "2": 3 * MIB},
    ),
)
OUTLOOK = OutlookReport(classes=WOULD, workloads=1, note="there is no swap: only page cache could leave")
FULL = Standing(
    report=report(
        *ROWS,
        **TIMES,
        classes=(ClassReport(name="swap-idle-data", saved=SAVED),),
        outlook=OUTLOOK,
        problems=(PROBLEM,),
        summary="3 workloads: 1 converged, 1 held, 1 unmanaged, 1 problem",
    )
)


def page(width: int, *, wide: bool = False) -> str:
    lines = status.lines(FULL, Page(width=width), NOW, wide=wide)
    return "".join(f"{render.shown(line)}\n" for line in lines)


@pytest.mark.parametrize("width", [80, 140])
def test_on_a_terminal(width: int) -> None:
    assert page(width) == golden(f"status-{width}")
    assert max(map(len, page(width).splitlines())) <= width


def test_wide_is_as_wide_as_it_takes() -> None:
    assert page(80, wide=True) == golden("status-wide")


def test_yaml_is_the_same_document_as_json(node: Node) -> None:
    node.publish(FULL.report)

    shown = node.ebbtide("status", "-o", "yaml")

    assert yaml.safe_load(shown.out) == node.ebbtide("status", "-o", "json").document
    assert shown.out.startswith("version: 1\nstate: running\n")


def test_names_only(node: Node) -> None:
    node.publish(FULL.report)

    assert node.ebbtide("status", "-o", "name").out.splitlines() == [row.name for row in ROWS]


def test_a_node_without_workloads_says_where_they_come_from() -> None:
    lines = status.lines(Standing(report=report(**TIMES)), Page(width=100), NOW)

    assert lines[-1] == (
        "    work: none yet: containers come from `ebbtide nri`, all else from `workloads:` in a class file"
    )


def test_nothing_known_of_what_would_be_saved() -> None:
    told = replace(FULL.report, outlook=OutlookReport(unknown=2, note="the kernel has not looked"))
    lines = status.lines(Standing(report=told), Page(), NOW)

    assert lines[4:6] == ["   would: no class acts on 2 of them", "          note: the kernel has not looked"]


@pytest.mark.parametrize("output", ["wide", "yaml", "name"])
def test_other_verbs_say_what_they_do_not_have(node: Node, output: str) -> None:
    shown = node.ebbtide("journal", "-o", output)

    assert (shown.code, shown.err) == (
        64,
        f"ebbtide: -o {output}: is not there for this verb; there are table, json\n",
    )
