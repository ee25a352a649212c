"""The agent in `ebbtide status`: what it does, and one line for each part with the figures that say something."""

from collections.abc import Iterator
from dataclasses import asdict, is_dataclass
from typing import Any

from reconciler.cli import render
from reconciler.cli.render import Page
from reconciler.quantities import human_bytes
from reconciler.report import OFF, AgentReport

PARTS = ("memcg", "compact", "swap", "reclaim", "kata")


def lines(report: AgentReport, page: Page) -> list[str]:
    """Nothing for an agent that is off and has nothing to say."""
    if report.doing == OFF and not report.errors and not report.overrides:
        return []
    result = [f"   agent: {report.doing}"]
    result += [f"          {name}: {said}" for name in PARTS if (said := _part(getattr(report, name)))]
    result += [f"          reclaim of {said}" for said in _probed(report)]
    result += [f"          set at runtime: {said}" for said in _overrides(report)]
    return result + [page.paint(f"          failed: {error}", render.RED) for error in report.errors]


def _overrides(report: AgentReport) -> Iterator[str]:
    for one in report.overrides:
        values = ", ".join(f"{key}: {_value(key, value)}" for key, value in one.values.items())
        yield f"{one.section}{f'[{one.cgroup}]' if one.cgroup else ''} {values} (by {one.origin})"


def _probed(report: AgentReport) -> Iterator[str]:
    """One line a workload: what it uses, what it was seen to do with, and what holds the probe."""
    for one in report.reclaim.workloads if report.reclaim else ():
        least = f", did with {human_bytes(one.footprint_bytes)}" if one.footprint_bytes is not None else ""
        taken = one.would_take_bytes or one.taken_bytes
        word = "would have taken" if one.would_take_bytes else "took"
        why = one.error or one.reason
        yield (
            f"{one.name}: {one.state}, uses {human_bytes(one.usage_bytes)}{least}, {word} {human_bytes(taken)}"
            f"{f'; {why}' if why else ''}"
        )


def _part(report: object) -> str:
    """Plain values that are not empty; lists and tables are for `-o json`."""
    if not is_dataclass(report) or isinstance(report, type):
        return ""
    plain = {key: value for key, value in asdict(report).items() if isinstance(value, str | int | float) and value}
    return ", ".join(f"{_name(key)} {_value(key, value)}" for key, value in plain.items())


def _name(key: str) -> str:
    for unit in ("_bytes", "_seconds", "_secs", "_percent"):
        key = key.removesuffix(unit)
    return key.replace("_", " ")


def _value(key: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if key.endswith("_bytes") and isinstance(value, int):
        return human_bytes(value)
    unit = next((sign for end, sign in _UNITS.items() if key.endswith(end)), "")
    return f"{value:.6g}{unit}" if isinstance(value, int | float) else str(value)


_UNITS = {"_seconds": " s", "_secs": " s", "_percent": " %"}
