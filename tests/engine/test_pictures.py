"""What a loop keeps for pictures and figures, and what it gives to those who ask."""

import json
from dataclasses import replace

import pytest

from tests.engine.conftest import CONFIG, Bench
from tests.engine.fake_process import PAGE
from tests.engine.test_session import app


def test_a_loop_keeps_a_heat_map(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(50)

    found = bench.engine.heat("w", 5000.0)
    assert found["size_bytes"] == 64 * PAGE
    assert [(each["pid"], each["end"] - each["start"], each["from_bytes"]) for each in found["extents"]] == [
        (50, 32 * PAGE, 0),
        (50, 32 * PAGE, 32 * PAGE),
    ]
    assert found["extents"][1]["start"] - found["extents"][0]["start"] == 64 * PAGE
    assert [round(later - before) for before, later in zip(found["when"], found["when"][1:], strict=False)] == [
        15,
        15,
        15,
    ]
    assert found["heat"][-1] == [255] * 32 + [1] * 32, "also when it is in swap it is data"


def test_it_goes_on_when_the_loop_gets_another_task(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(20)
    bench.engine.start(bench.task(config=replace(CONFIG, routines=())))
    bench.run(20)

    assert len(bench.engine.heat("w", 0.0)["when"]) == 3
    assert bench.engine.heat("nobody", 0.0) == {}


def test_what_was_away_is_told(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(6)

    report = bench.engine.report("w")
    assert report is not None
    assert report.away_bytes == report.paged_out_bytes == 32 * PAGE


def test_statistics_of_one_workload_and_of_all(bench: Bench) -> None:
    app(bench.kernel)
    bench.engine.start(bench.task())
    bench.run(6)

    found = bench.engine.statistics("w")
    assert json.loads(json.dumps(found)) == found
    assert found == bench.engine.statistics("")
    assert [(each["pid"], each["left_bytes"]) for each in found["processes"]] == [(50, 32 * PAGE)]
    assert found["events"]["scan"]["count"] == 6
    assert found["text"]
    with pytest.raises(LookupError, match="nothing tracks x"):
        bench.engine.statistics("x")
