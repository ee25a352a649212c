"""A place to run verbs in: state and run directories, and reports as the daemon would publish them."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from reconciler.cli import main
from reconciler.model import Problem
from reconciler.report import EngineReport, KnobReport, Report, SavedReport, WorkloadReport

SCHEMAS = Path(__file__).parents[2] / "schema"
ID = "4f" * 32
PROBLEM = Problem(where="/etc/nri/conf.d/x.yaml", line=3, column=5, pointer="/classes/0", message="bad", hint="do")

SAVED = SavedReport(
    away_bytes=190 << 20,
    byte_seconds=1.5 * 3600 * (1 << 30),
    out_bytes=191 << 20,
    back_bytes=1 << 20,
    since="2026-11-24T08:00:00+00:00",
)


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Node:
    """A node's directories, and the command line on it."""

    path: Path
    capsys: pytest.CaptureFixture[str]

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def run(self) -> Path:
        return self.path / "run"

    def publish(self, report: Report) -> None:
        (self.run / "status.json").write_text(json.dumps(asdict(report)))

    def ebbtide(self, verb: str, *words: str) -> Outcome:
        code = main.main([verb, "--state-dir", str(self.state), "--run-dir", str(self.run), *words], {})
        captured = self.capsys.readouterr()
        return Outcome(code, captured.out, captured.err)


def conforms(name: str, document: Any) -> None:
    """Check a document against schema/NAME.schema.json."""
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(document)


def golden(name: str) -> str:
    """Text that somebody has looked at."""
    return (Path(__file__).parent / "golden" / f"{name}.txt").read_text()


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def report(*workloads: WorkloadReport, **changes: Any) -> Report:
    """A report of a daemon that is this very process."""
    now = datetime.now(tz=UTC).isoformat(timespec="seconds")
    values = {"pid": os.getpid(), "time": now, "started": now, "cycles": 7, "cycle_seconds": 0.0123, "wakeup": "resync"}
    return Report(**{**values, "workloads": workloads, **changes})


def workload(name: str = "shop/cart-1/db", **changes: Any) -> WorkloadReport:
    values: dict[str, Any] = {
        "id": ID,
        "name": name,
        "class_name": "swap-idle-data",
        "state": "converged",
        "cgroup": "/kubepods/podX/4f4f",
        "usage_bytes": 300 << 20,
        "swap_bytes": 191 << 20,
        "knobs": (KnobReport(knob="memory.swap.max", now="max", wanted="max", original="0", origin="/etc/a.yaml:4"),),
        "engine": EngineReport(
            tracker="idlepage",
            tracked_bytes=250 << 20,
            idle_bytes=200 << 20,
            paged_out_bytes=191 << 20,
            notes=("a note",),
        ),
        "saved": SAVED,
    }
    return WorkloadReport(**{**values, **changes})
