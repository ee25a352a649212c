"""What Prometheus is told, and that dashboard and alerts ask for nothing else."""

import json
import re
import socket
import urllib.request
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reconciler import ledger, scrape
from reconciler.actions import Outcome, Result
from reconciler.ledger import Ledger
from reconciler.metrics import Metrics, families
from reconciler.model import MetricsSettings, Problem
from reconciler.report import AgentReport, CompactReport, MemcgReport, Report, SwapReport
from tests.eventually import eventually
from tests.unit.test_journal import WRITE
from tests.unit.test_ledger import report, row

ROOT = Path(__file__).parents[2]
RULES = ROOT / "packaging/prometheus/ebbtide.rules.yaml"
DASHBOARD = ROOT / "packaging/grafana/ebbtide.json"
EVERYTHING = MetricsSettings(workloads=True)
WORD = re.compile(r"\b(?:ebbtide|process|python)_\w+")


def told(metrics: Metrics) -> dict[str, dict[tuple[str, ...], float]]:
    """Samples by name and the values of their labels."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def full() -> Metrics:
    rows = (row(paged_out_bytes=10, tracked_bytes=100, idle_bytes=40), row("x", "hot", paged_out_bytes=1))
    parts = AgentReport(memcg=MemcgReport(), compact=CompactReport(runs=3), swap=SwapReport())
    whole = Report(
        workloads=rows, agent=parts, cycle_seconds=0.02, wakeup="files, engine a/b/c: ended", problems=(PROBLEM,)
    )
    metrics = Metrics("1.2", "6.12")
    metrics.cycle(whole, [Outcome(action=WRITE, result=Result.DONE)], 1234.0)
    metrics.show(whole, ledger.look(Ledger(), whole, 1.0, first=True), EVERYTHING)
    return metrics


PROBLEM = Problem(where="a", message="b")


def test_a_report_as_samples() -> None:
    found = told(full())

    assert found["ebbtide_workloads"]["cold", "converged"] == 1
    assert found["ebbtide_workloads"]["cold", "drift"] == 0
    assert found["ebbtide_paged_out_bytes_total"] == {("cold",): 10, ("hot",): 1}
    assert found["ebbtide_idle_bytes"]["cold", "damon"] == 40
    assert found["ebbtide_config_problems"] == {("error",): 1, ("warning",): 0, ("note",): 0}
    assert found["ebbtide_cycles_total"] == {("ok",): 1, ("error",): 0}
    assert found["ebbtide_wakeups_total"] == {("files",): 1, ("engine",): 1}
    assert found["ebbtide_drift_corrections_total"] == {("memory.high", "foreign"): 1}
    assert found["ebbtide_last_successful_cycle_timestamp_seconds"][()] == 1234
    assert found["ebbtide_workload_paged_out_bytes_total"]["c", "ns", "w"] == 10
    assert found["ebbtide_compactions_total"][()] == 3


def test_cardinality_is_bounded() -> None:
    many = report(*(row(f"w{number}") for number in range(50)))
    names = {
        sample.labels.get("pod")
        for family in families(many, Ledger(), MetricsSettings(workloads=True, most_workloads=7))
        for sample in family.samples
    }

    assert len(names - {None}) == 7
    quiet = list(families(many, Ledger(), MetricsSettings()))
    assert not [sample for family in quiet for sample in family.samples if "pod" in sample.labels]


def test_names_follow_the_rules() -> None:
    for family in text_string_to_metric_families(full().text().decode()):
        if family.name.startswith("ebbtide_"):
            assert family.documentation
            counter = family.type == "counter"
            assert not family.name.endswith("_total") or counter
            assert not {"pid", "id", "reason_text"} & {label for each in family.samples for label in each.labels}


@pytest.mark.parametrize("path", [RULES, DASHBOARD], ids=lambda path: path.name)
def test_alerts_and_dashboard_ask_for_what_there_is(path: Path) -> None:
    known = set(told(full()))
    text = path.read_text()
    expressions = (
        [rule["expr"] for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]
        if path is RULES
        else re.findall(r'"expr": "(.*?)(?<!\\)"', text)
    )

    assert expressions
    asked = {word for expression in expressions for word in WORD.findall(expression)}
    assert asked - known == set()


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    document = json.loads(DASHBOARD.read_text())

    assert document["uid"] == "ebbtide"
    panels = [panel for panel in document["panels"] if panel["type"] != "row"]
    assert all(panel["datasource"]["uid"] == "${datasource}" for panel in panels)
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    assert {variable["name"] for variable in document["templating"]["list"]} == {"datasource", "node", "class"}


def test_an_inherited_socket_is_answered() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    scrapes = scrape.Scrapes(listener, full().registry)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
            text = answer.read().decode()
    finally:
        scrapes.close()

    assert "ebbtide_build_info{" in text
    assert "text/plain" in answer.headers["Content-Type"]


def test_there_are_only_so_many_scrapes_at_once() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    scrapes = scrape.Scrapes(listener, full().registry)
    silent = [socket.create_connection(address, timeout=60) for _ in range(scrape.MOST_CLIENTS)]
    try:
        assert not _answered(address)
        silent.pop().close()
        assert eventually(lambda: _answered(address))
    finally:
        for each in silent:
            each.close()
        scrapes.close()


def _answered(address: tuple[str, int]) -> bool:
    with socket.create_connection(address, timeout=60) as asking:
        try:
            asking.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            return asking.recv(8) == b"HTTP/1.0"
        except ConnectionError:
            return False


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "metrics"}, {"LISTEN_FDS": "1"}],
)
def test_what_was_meant_for_others_is_left_alone(environment: dict[str, str]) -> None:
    assert scrape.inherited(environment) is None
