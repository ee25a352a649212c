"""YAML cases: classes + workloads + kernel -> plan -> kernel after, step by step (tests/cases/reconcile).

A step changes something (`classes`: file name -> text, null removes it; `workloads`: id -> record, null removes it;
`kernel`: cgroup -> knobs that somebody else writes, null kills it; `make`: new cgroups; `release`: ids; `restart`) and
says what is then true: `plan` (the exact actions), `holds` and `problems` (parts of texts; each must be found, and none
besides when the list is empty), `after` (cgroup -> knobs). Every step ends in a fixpoint.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler import classes, inventory, schemas, transitions
from reconciler.actions import Plan
from reconciler.model import Workload
from tests.loop.node import Node

FOLDER = Path(__file__).parents[1] / "cases/reconcile"
CASES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
SCHEMAS = {"classes": schemas.read("classes")}  # read before the file system is a fake
STEP_KEYS = {
    *("why", "classes", "workloads", "kernel", "make", "release", "restart"),
    *("plan", "holds", "problems", "after"),
}


class Story:
    def __init__(self, fs: FakeFilesystem, case: dict[str, Any]) -> None:
        kernel = case.get("kernel", {})
        self.node = Node(fs, lacks=tuple(kernel.get("lacks", ())), works=tuple(kernel.get("works", ["referenced"])))
        self.texts: dict[str, str] = {}
        self.loaded = classes.Loaded()
        self.make(kernel.get("cgroups", {}))

    def make(self, cgroups: dict[str, dict[str, str]]) -> None:
        for path, knobs in cgroups.items():
            self.node.kernel.cgroup(path)
            for name, value in (knobs or {}).items():
                self.node.kernel.set(path, name, str(value))

    def change(self, step: dict[str, Any]) -> None:
        assert set(step) <= STEP_KEYS, f"unknown keys in a step: {set(step) - STEP_KEYS}"
        if step.get("restart"):
            self.node.restart()
        self.make(step.get("make", {}))
        self._disturb(step.get("kernel", {}))
        _update(self.texts, step.get("classes", {}))
        for key, record in step.get("workloads", {}).items():
            self._record(key, record)
        self.node.released = frozenset(step.get("release", self.node.released))
        self._load()

    def _disturb(self, kernel: dict[str, dict[str, str] | None]) -> None:
        for path, knobs in kernel.items():
            if knobs is None:
                self.node.kernel.kill(path)
            for name, value in (knobs or {}).items():
                self.node.kernel.set(path, name, str(value))

    def _record(self, key: str, record: dict[str, Any] | None) -> None:
        self.node.workloads.pop(key, None)
        if record is not None:
            found = inventory.parse(yaml.safe_dump({"id": key, **record}), f"{key}.yaml")
            assert isinstance(found, Workload), found
            self.node.workloads[key] = found

    def _load(self) -> None:
        texts = [classes.ClassText(path=name, name=name, text=text) for name, text in sorted(self.texts.items())]
        self.loaded = classes.load(texts, SCHEMAS, self.loaded.files)
        self.node.table = self.loaded.table
        self.node.uncertain = bool(self.loaded.failed - self.loaded.files.keys())

    def problems(self) -> list[str]:
        found = [problem.message for problem in self.loaded.problems]
        for wanted in self.node.desired().workloads.values():
            found += [problem.message for problem in wanted.problems]
        return found


def _update(texts: dict[str, str], changes: dict[str, Any]) -> None:
    for name, text in changes.items():
        if text is None:
            texts.pop(name, None)
        else:
            texts[name] = text if isinstance(text, str) else yaml.safe_dump(text)


def words(plan: Plan) -> list[str]:
    return [f"{action.workload} {transitions.describe(action)}" for action in plan.actions]


def check_all_found(parts: list[str], texts: list[str], where: str) -> None:
    missing = [part for part in parts if not any(part in text for text in texts)]
    assert not missing, f"{where}: {missing} not found in {texts}"
    assert parts or not texts, f"{where}: unexpected {texts}"


@pytest.mark.parametrize("name", CASES)
def test_case(name: str, fs: FakeFilesystem) -> None:
    story = Story(fs, CASES[name])
    for number, step in enumerate(CASES[name]["steps"], 1):
        where = f"{name}, step {number}: {step.get('why', '')}"
        story.change(step)
        plan = story.node.plan()
        if "plan" in step:
            assert words(plan) == step["plan"], where
        if "holds" in step:
            check_all_found(step["holds"], [f"{h.workload} {h.what} {h.reason}" for h in plan.holds], where)
        if "problems" in step:
            check_all_found(step["problems"], story.problems(), where)
        story.node.settle()
        for path, knobs in step.get("after", {}).items():
            shown = {knob: story.node.kernel.knob(path, knob) for knob in knobs}
            assert shown == {knob: str(value) for knob, value in knobs.items()}, where


def test_there_are_cases() -> None:
    assert len(CASES) >= 8
