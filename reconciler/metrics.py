"""What Prometheus is told: gauges and counters of the last report and the ledger, and of the loop itself.

Names and labels follow Prometheus' practices: base units, `_total` for counters, nothing labelled with a process, a
container id or free text. One series a workload only if `metrics: {workloads: true}` asks for it, and at most so many.
"""

import platform
from collections import Counter as Count
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, exposition
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from reconciler.actions import Outcome, Result, WriteKnob
from reconciler.ledger import Account, Ledger
from reconciler.model import MetricsSettings, Severity
from reconciler.report import AgentReport, EngineReport, Report, WorkloadReport

STATES = ("converged", "pending", "drift", "held", "observed", "unmanaged", "released", "gone")
BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CONTENT_TYPE = exposition.CONTENT_TYPE_LATEST
_COUNTED = {
    "out_bytes": ("ebbtide_paged_out_bytes", "Verified: left memory"),
    "back_bytes": ("ebbtide_came_back_bytes", "Of what left: came back by being used"),
    "brought_bytes": ("ebbtide_brought_back_bytes", "Brought back from swap by Ebbtide"),
    "moved_bytes": ("ebbtide_moved_bytes", "Verified: came to another memory node"),
}


class Metrics:
    """Feed it reports; `text` is the exposition. Any thread may ask."""

    def __init__(self, version: str, kernel: str) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._report, self._ledger, self._settings = Report(), Ledger(), MetricsSettings()
        about = {"version": version, "python": platform.python_version(), "kernel": kernel}
        self._info = Gauge("ebbtide_build_info", "What runs here", tuple(about), registry=self.registry)
        self._info.labels(**about).set(1)
        self._cycles = self._counter("ebbtide_cycles", "Cycles of the reconciler", "result")
        self._wakeups = self._counter("ebbtide_wakeups", "Why cycles ran", "reason")
        self._actions = self._counter("ebbtide_actions", "What cycles did", "action", "result")
        self._drift = self._counter("ebbtide_drift_corrections", "Values written again or anew", "knob", "origin")
        self._seconds = Histogram(
            "ebbtide_cycle_duration_seconds", "Of a whole cycle", buckets=BUCKETS, registry=self.registry
        )
        self._good = Gauge(
            "ebbtide_last_successful_cycle_timestamp_seconds", "When the last cycle was done", registry=self.registry
        )
        for result in ("ok", "error"):
            self._cycles.labels(result)  # a rate needs the 0 from which it began
        self.registry.register(self)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def cycle(self, report: Report, outcomes: Iterable[Outcome], now: float) -> None:
        """A cycle is done; `now`: seconds of the wall clock."""
        self._cycles.labels("ok").inc()
        self._seconds.observe(report.cycle_seconds)
        self._good.set(now)
        for reason in filter(None, report.wakeup.split(", ")):
            self._wakeups.labels(reason.split()[0]).inc()  # "engine WORKLOAD: ..." is one reason
        for outcome in outcomes:
            self._actions.labels(type(outcome.action).__name__, str(outcome.result)).inc()
            if isinstance(outcome.action, WriteKnob) and outcome.result is Result.DONE:
                origin = "foreign" if outcome.action.foreign else "wanted"
                self._drift.labels(str(outcome.action.knob), origin).inc()

    def failed(self) -> None:
        self._cycles.labels("error").inc()

    def show(self, report: Report, ledger: Ledger, settings: MetricsSettings) -> None:
        self._report, self._ledger, self._settings = report, ledger, settings

    def text(self) -> bytes:
        return exposition.generate_latest(self.registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry, at each scrape."""
        yield from families(self._report, self._ledger, self._settings)


def families(report: Report, ledger: Ledger, settings: MetricsSettings) -> Iterator[Metric]:
    """Everything that a report and a ledger tell."""
    rows = report.workloads
    yield from _of_classes(rows, ledger)
    yield from _of_loops(rows)
    yield from _of_agent(report.agent)
    found = Count(str(problem.severity) for problem in _problems(report))
    yield _gauge(
        "ebbtide_config_problems", "Problems of class files and workloads", ["severity"], _each(Severity, found)
    )
    if settings.workloads:
        yield from _of_workloads(rows[: settings.most_workloads], ledger)


def _problems(report: Report) -> list[Any]:
    return [*report.problems, *(problem for row in report.workloads for problem in row.problems)]


def _each(words: Iterable[str], found: Mapping[str, float]) -> list[tuple[Sequence[str], float]]:
    """All words, also those that nothing has: a series that appears only in trouble cannot be alerted on."""
    return [([str(word)], found.get(str(word), 0)) for word in words]


def _gauge(name: str, text: str, labels: Sequence[str], values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for words, value in values:
        family.add_metric(words, value)
    return family


def _sums(rows: Iterable[WorkloadReport], attribute: str) -> list[tuple[Sequence[str], float]]:
    found: Count[str] = Count()
    for row in rows:
        found[row.class_name] += getattr(row, attribute)
    return [([name], value) for name, value in sorted(found.items())]


def _of_classes(rows: Sequence[WorkloadReport], ledger: Ledger) -> Iterator[Metric]:
    states = Count((row.class_name, row.state) for row in rows)
    classes = sorted({row.class_name for row in rows})
    counted = [([name, state], float(states[name, state])) for name in classes for state in STATES]
    yield _gauge("ebbtide_workloads", "Workloads that are known", ["class", "state"], counted)
    yield _gauge("ebbtide_memory_bytes", "Memory in use (memory.current)", ["class"], _sums(rows, "usage_bytes"))
    yield _gauge("ebbtide_swap_bytes", "In swap (memory.swap.current)", ["class"], _sums(rows, "swap_bytes"))
    yield from _of_accounts(ledger.classes, ["class"])


def _of_accounts(accounts: Mapping[str, Account], labels: Sequence[str]) -> Iterator[Metric]:
    for attribute, (name, text) in _COUNTED.items():
        family = CounterMetricFamily(name, text, labels=labels)
        for account in accounts.values():
            family.add_metric([account.class_name], getattr(account.total, attribute))
        yield family
    avoided = CounterMetricFamily(
        "ebbtide_avoided_byte_seconds", "Memory that was away, times for how long", labels=labels
    )
    for account in accounts.values():
        avoided.add_metric([account.class_name], account.avoided_byte_seconds)
    yield avoided


def _of_loops(rows: Sequence[WorkloadReport]) -> Iterator[Metric]:
    loops = [(row.class_name, row.engine) for row in rows if row.engine is not None]
    for name, text, attribute in (
        ("ebbtide_tracked_bytes", "Memory that is looked at", "tracked_bytes"),
        ("ebbtide_idle_bytes", "Of these, unused for at least the policy's time", "idle_bytes"),
    ):
        found: Count[tuple[str, str]] = Count()
        for class_name, engine in loops:
            found[class_name, engine.tracker] += getattr(engine, attribute)
        yield _gauge(name, text, ["class", "tracker"], [(list(key), value) for key, value in sorted(found.items())])
    yield from _of_trackers([engine for _, engine in loops])


def _of_trackers(engines: Sequence[EngineReport]) -> Iterator[Metric]:
    names = sorted({engine.tracker for engine in engines})
    loops = [([name, up], float(_count(engines, name, up))) for name in names for up in ("up", "ended", "braked")]
    yield _gauge("ebbtide_tracking_loops", "Loops, by how they are", ["tracker", "state"], loops)
    slowest = [([name], max(e.scan_seconds for e in engines if e.tracker == name)) for name in names]
    yield _gauge("ebbtide_tracker_scan_duration_seconds", "The longest of the last scans", ["tracker"], slowest)


def _count(engines: Iterable[EngineReport], tracker: str, state: str) -> int:
    return sum(engine.tracker == tracker and state == _state(engine) for engine in engines)


def _state(engine: EngineReport) -> str:
    return "ended" if engine.error else "braked" if engine.brake else "up"


def _of_agent(agent: AgentReport) -> Iterator[Metric]:
    if agent.memcg is not None:
        evicted = agent.memcg.taken_bytes  # not the sum of the cgroups that are there: that falls when one goes
        yield _counter("ebbtide_memcg_evicted_bytes", "Left memory by eviction of old generations", evicted)
        yield _counter("ebbtide_memcg_agings", "Generations that were made", agent.memcg.agings)
    if agent.compact is not None:
        yield _counter("ebbtide_compactions", "Compactions begun", agent.compact.runs)
        yield _counter("ebbtide_compaction_seconds", "Of all of them", agent.compact.seconds)
    if agent.swap is not None:
        sizes = [(["size"], float(agent.swap.size_bytes)), (["used"], float(agent.swap.used_bytes))]
        yield _gauge("ebbtide_guest_swap_bytes", "Swap that Ebbtide made", ["what"], sizes)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _of_workloads(rows: Sequence[WorkloadReport], ledger: Ledger) -> Iterator[Metric]:
    labels = ["namespace", "pod", "container"]
    for name, text, attribute in (
        ("ebbtide_workload_memory_bytes", "Memory in use", "usage_bytes"),
        ("ebbtide_workload_swap_bytes", "In swap", "swap_bytes"),
    ):
        yield _gauge(name, text, labels, [(_names(row.name), getattr(row, attribute)) for row in rows])
    out = CounterMetricFamily("ebbtide_workload_paged_out_bytes", "Verified: left memory", labels=labels)
    back = CounterMetricFamily("ebbtide_workload_came_back_bytes", "Of these: came back", labels=labels)
    for row in rows:
        if row.id in ledger.workloads:
            out.add_metric(_names(row.name), ledger.workloads[row.id].total.out_bytes)
            back.add_metric(_names(row.name), ledger.workloads[row.id].total.back_bytes)
    yield from (out, back)


def _names(name: str) -> list[str]:
    """namespace, pod, container; what is no container has a name only."""
    parts = name.split("/")
    return parts if len(parts) == 3 else ["", "", name]
