"""`ebbtide what-if` and `ebbtide right-size`: from the daemon's history of a workload."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from reconciler.agent import coldness
from reconciler.control import server
from reconciler.control.answering import Answers
from tests.cli.node import ID, Node, conforms, report, workload

MIB = 1 << 20
COLD = [800, 700, 650, 600, 500, 400, 300, 200, 100, 0]
USED = [50, 20, 10, 4, 2, 0.5, 0, 0, 0, 0]


AGES = {"cold": [size * MIB for size in COLD], "promoted": [int(size * MIB) for size in USED]}


def history(minutes: int, **values: Any) -> dict[str, Any]:
    rows = [
        coldness.row(when=1e9 + 60 * n, seconds=60.0, usage=1000 * MIB, fixed=20 * MIB, **values)
        for n in range(minutes)
    ]
    columns = coldness.document(np.concatenate(rows) if rows else coldness.nothing())
    return {"slo": "pressure", "target_percent": 0.1, "ages_from": "mglru", "columns": columns}


HISTORIES = {
    ID: history(90, **AGES),
    "blind": history(3),
    "new": history(0),
    "found": history(1440, at_footprint=True, memory_percent=0.03, footprint=950 * MIB, swap=64 * MIB, **AGES),
}


def answer(asked: str) -> dict[str, Any]:
    if asked not in HISTORIES:
        raise LookupError(f"no history of {asked}: its class has no `reclaim:`")
    return HISTORIES[asked]


@pytest.fixture
def daemon(node: Node) -> Iterator[Node]:
    others = [workload(f"shop/{name}-1/log", id=name) for name in ("blind", "new", "found", "other")]
    node.publish(report(workload(), *others))
    serving = server.serve(str(node.run / "control.sock"), Answers(history=answer))
    yield node
    serving.close()


def test_what_if(daemon: Node) -> None:
    shown = daemon.ebbtide("what-if", "shop/cart-1/db")

    assert shown.code == 0
    assert shown.out.splitlines() == [
        "shop/cart-1/db: 400M are needed (median of 90 min); ages from mglru",
        "UNUSED FOR  SAVES  COMES BACK/MIN  % OF WORKING SET/MIN",
        "       10s   800M             50M                 12.50",
        "       30s   700M             20M                  5.00",
        "        1m   650M             10M                  2.50",
        "        2m   600M              4M                  1.00",
        "        5m   500M              2M                  0.50",
        "       10m   400M            512K                  0.12  <- saves most within 0.2 %",
        "       30m   300M              0B                  0.00",
        "        1h   200M              0B                  0.00",
        "        2h   100M              0B                  0.00",
        "        6h     0B              0B                  0.00",
    ]


def test_what_is_gone_already(daemon: Node) -> None:
    assert "64M are in swap already" in daemon.ebbtide("what-if", "found").out.splitlines()


def test_another_target(daemon: Node) -> None:
    document = daemon.ebbtide("what-if", ID, "--target", "1%", "-o", "json").document

    conforms("what-if", document)
    assert (document["best_threshold_s"], document["minutes"], document["working_set_bytes"]) == (120, 90, 400 * MIB)


def test_right_size(daemon: Node) -> None:
    shown = daemon.ebbtide("right-size", "shop/cart-1/db")

    assert shown.code == 0
    assert shown.out.splitlines() == [
        "shop/cart-1/db",
        "  request      420M  needed were 400M half of the time, 400M 95 % of it",
        "  limit        480M  needed were 400M at most; 20M could not leave",
        "  seen for 1.48 h; in use were up to 1000M",
        "  at the footprint 0 % of the time",
        "  0B came back a minute",
        "note: less than a day is known: what happens once a day may be missing",
        "note: the footprint was never reached: what was used within two minutes counts",
    ]


@pytest.mark.parametrize("name", [ID, "blind", "found"])
def test_right_size_as_json(daemon: Node, name: str) -> None:
    document = daemon.ebbtide("right-size", name, "-o", "json").document

    conforms("right-size", document)
    assert document["limit_bytes"] >= document["request_bytes"] > 0


def test_stall_at_the_footprint_is_evidence(daemon: Node) -> None:
    shown = daemon.ebbtide("right-size", "found")

    assert "at the footprint 100 % of the time, and there tasks waited for memory 0.03 % of it" in shown.out
    assert "note:" not in shown.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["what-if", "shop/other-1/log"], 4, "no history of other: its class has no `reclaim:`\nhint: its class needs"),
        (["right-size", "shop/other-1/log"], 4, "no history of other"),
        (["what-if", "nobody"], 4, "no such workload"),
        (["what-if", "blind"], 1, "nothing is known of the ages of its memory\nhint: ages come from a tracker"),
        (["what-if", "new"], 1, "nothing is known of the ages"),
        (["right-size", "new"], 1, "nothing is known yet"),
        (["what-if", ID, "--target", "much"], 64, "--target: 'much' is not a percentage"),
    ],
)
def test_what_can_be_wrong(daemon: Node, words: list[str], code: int, said: str) -> None:
    shown = daemon.ebbtide(*words)

    assert shown.code == code
    assert said in shown.err


@pytest.mark.parametrize("verb", ["what-if", "right-size"])
def test_no_daemon(node: Node, verb: str) -> None:
    node.publish(report(workload()))

    assert node.ebbtide(verb, ID).code == 3
