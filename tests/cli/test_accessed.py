"""`ebbtide accessed`: memtierd's table, from the daemon's answer."""

from collections.abc import Iterator, Sequence

import pytest

from reconciler.cli import accessed as verb
from reconciler.cli.render import Page
from reconciler.control import server
from reconciler.control.answering import Answers
from reconciler.engine.accessed import AccessedRow, AccessedTable
from tests.cli.node import ID, Node, conforms, golden, report, workload


def answer(asked: str, limits: Sequence[float]) -> AccessedTable:
    if asked != ID:
        raise LookupError(f"no tracking loop runs for {asked}")
    if list(limits) == [3, 2]:
        raise ValueError("limits must grow")
    low, high = limits[:2]
    size = {"pages": 201216, "bytes": 786 << 20, "swapped_pages": 1000}
    return AccessedTable(
        rows=(AccessedRow(pid=42, at_least=low, below=high, percent=75.0, **size),), tracker="idlepage"
    )


@pytest.fixture
def daemon(node: Node) -> Iterator[Node]:
    node.publish(report(workload(), workload("shop/cart-1/log", id="unmeasured", engine=None)))
    serving = server.serve(str(node.run / "control.sock"), Answers(status=dict, accessed=answer))
    yield node
    serving.close()


def test_memtierds_table(daemon: Node) -> None:
    shown = daemon.ebbtide("accessed", "shop/cart-1/db", "--times", "0,1m")

    assert shown.code == 0
    assert shown.out.splitlines() == [
        "table: time since last access",
        "     pid lastaccs>=[s] lastaccs<[s]    pages   mem[G] pidmem[%]",
        "      42         0.000       60.000   201216    0.768     75.00",
    ]


@pytest.mark.parametrize("width", [80, 140])
def test_bars_on_a_terminal(width: int) -> None:
    rows = [(0, 5, 100, 25.0, 0), (5, 30, 200, 50.0, 100), (30, 0, 100, 25.0, 100), (60, 0, 0, 0.0, 0)]
    table = AccessedTable(
        rows=tuple(
            AccessedRow(
                pid=42, at_least=low, below=high, pages=pages, bytes=pages << 20, percent=percent, swapped_pages=out
            )
            for low, high, pages, percent, out in rows
        )
    )
    lines = verb._with_bars(table, Page(width=width))

    assert "".join(f"{line}\n" for line in lines) == golden(f"accessed-{width}")
    assert max(map(len, lines)) <= width


def test_no_bars_without_room() -> None:
    assert verb._with_bars(AccessedTable(), Page(width=70)) == AccessedTable().text().splitlines()


def test_times_behind_the_workload(daemon: Node) -> None:
    document = daemon.ebbtide("accessed", ID, "30s,10m,0", "-o", "json").document

    assert (document["rows"][0]["at_least"], document["rows"][0]["below"]) == (30.0, 600.0)


def test_as_json(daemon: Node) -> None:
    document = daemon.ebbtide("accessed", ID[:5], "-o", "json").document

    conforms("accessed", document)
    assert (document["name"], document["tracker"], document["rows"][0]["pages"]) == (
        "shop/cart-1/db",
        "idlepage",
        201216,
    )


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["shop/cart-1/log"], 4, "no tracking loop runs for unmeasured\nhint: its class needs a `memtierdconfig`"),
        (["nobody"], 4, "no such workload"),
        ([ID, "--times", "0,soon"], 64, "invalid TIMESPEC 'soon'"),
        ([ID, "--times", "3,2"], 64, "limits must grow"),
    ],
)
def test_what_can_be_wrong(daemon: Node, words: list[str], code: int, said: str) -> None:
    shown = daemon.ebbtide("accessed", *words)

    assert shown.code == code
    assert said in shown.err


def test_no_daemon(node: Node) -> None:
    node.publish(report(workload()))

    shown = node.ebbtide("accessed", ID)

    assert shown.code == 3
    assert "hint: start it with" in shown.err
