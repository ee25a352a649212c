"""The table of docs/trackers.md, from what `guest/story_trackers.py` has measured on one kernel after the other."""

import itertools
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from reconciler.exerciser import settings

KINDS = {"write": "written", "read": "read"}
BEGIN, END = "<!-- measured: tests/e2e/tables writes what follows -->", "<!-- end of what was measured -->"
Result = dict[str, Any]


def results(lines: Iterable[str]) -> list[Result]:
    """The last measurement of each case counts."""
    found: dict[tuple[str, ...], Result] = {}
    for line in lines:
        row = json.loads(line)
        found[version(row["kernel"]), row["tracker"], row["scenario"], row["kind"]] = row
    return list(found.values())


def version(kernel: str) -> str:
    """`6.12`, or `6.12 idlepage` for our own, which does not end as Debian's do."""
    release = re.match(r"(\d+\.\d+)", kernel)
    assert release, kernel
    return release[1] + ("" if kernel.endswith("-amd64") else " idlepage")


def document(found: Sequence[Result]) -> str:
    """One table for each tracker: a row a scenario, a column a kernel."""
    trackers = sorted({row["tracker"] for row in found})
    return "\n\n".join(section(tracker, [row for row in found if row["tracker"] == tracker]) for tracker in trackers)


def section(tracker: str, found: Sequence[Result]) -> str:
    kernels = sorted({version(row["kernel"]) for row in found}, key=natural)
    cells = {(row["scenario"], row["kind"], version(row["kernel"])): cell(row) for row in found}
    measured = {(row["kind"], row["scenario"]) for row in found}
    cases = [case for case in itertools.product(KINDS, settings.SCENARIOS) if case in measured]
    lines = [f"### {tracker}", "", line(["hot memory", *kernels]), line(["---"] * (1 + len(kernels)))]
    for kind, scenario in cases:
        shown = [cells.get((scenario, kind, kernel), "") for kernel in kernels]
        lines.append(line([f"{scenario}, {KINDS[kind]}", *shown]))
    return "\n".join([*lines, *reasons(found)])


def cell(row: Result) -> str:
    """Precision / recall by region; an asterisk: a limit of the mechanism. Where nothing was surely hot, no recall."""
    marks = {metric: "*" if metric in row["limits"] else "" for metric in ("precision", "recall")}
    figures = {metric: f"{row[metric]:.2f}" for metric in marks} | ({} if row["hot_bytes"] else {"recall": "?"})
    return " / ".join(f"{figures[metric]}{mark}" for metric, mark in marks.items())


def reasons(found: Sequence[Result]) -> list[str]:
    """Why cells have an asterisk, and where, if not everywhere."""
    scenarios = {row["scenario"] for row in found}
    limited: dict[tuple[str, str], set[str]] = {}
    for row in found:
        for metric, why in row["limits"].items():
            limited.setdefault((metric, why), set()).add(row["scenario"])
    lines = []
    for (metric, why), where in sorted(limited.items()):
        only = "" if where == scenarios else f" ({', '.join(sorted(where))})"
        lines.append(f"\\* {metric}{only}: {why}.")
    return ["", *lines] if lines else []


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def natural(text: str) -> list[int | str]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def put(text: str, tables: str) -> str:
    """The document with the tables between its two marks."""
    head, mark, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"the document lacks a line {END if mark else BEGIN}")
    return f"{head}{BEGIN}\n\n{tables}\n\n{END}{tail}"
