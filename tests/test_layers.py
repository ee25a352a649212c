"""Lower never imports higher, and pure code has no doors (docs/architecture.md)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.linter

ROOT = Path(__file__).parents[1]

NOUNS = {
    "reconciler.agentconfig",
    "reconciler.engineconfig",
    "reconciler.kubeletconfig",
    "reconciler.model",
    "reconciler.actions",
    "reconciler.report",
}
PURE = {
    "reconciler.agentkeys",
    "reconciler.agentreading",
    "reconciler.agentwanted",
    "reconciler.agent.swap_header",
    "reconciler.agent.swap_rules",
    "reconciler.agent.swap_telling",
    "reconciler.agent.compact_rules",
    "reconciler.backoff",
    "reconciler.agent.memcg_rules",
    "reconciler.brakes",
    "reconciler.checking",
    "reconciler.classes",
    "reconciler.classification",
    "reconciler.declarations",
    "reconciler.desired",
    "reconciler.documents",
    "reconciler.kubelet.compute",
    "reconciler.kubelet.configuration",
    "reconciler.kubelet.durations",
    "reconciler.kubelet.eviction",
    "reconciler.kubelet.findings",
    "reconciler.kubelet.fingerprint",
    "reconciler.kubelet.flags",
    "reconciler.kubelet.judging",
    "reconciler.kubelet.machine",
    "reconciler.kubelet.quantity",
    "reconciler.kubelet.refusals",
    "reconciler.kubelet.remembered",
    "reconciler.kubelet.reservations",
    "reconciler.kubelet.rules",
    "reconciler.kubelet.section",
    "reconciler.kubelet.settings",
    "reconciler.kubelet.steps",
    "reconciler.ledger",
    "reconciler.inventory",
    "reconciler.katafile",
    "reconciler.knobs",
    "reconciler.logfmt",
    "reconciler.merged",
    "reconciler.plan",
    "reconciler.quantities",
    "reconciler.regexp",
    "reconciler.safety",
    "reconciler.tracking",
    "reconciler.trends",
    "nri.mux",
    "nri.ttrpc",
    "reconciler.agent.kata_rules",
    "reconciler.agent.coldness",
    "reconciler.agent.generations",
    "reconciler.agent.reclaim_law",
    "reconciler.agent.reclaim_reach",
    "reconciler.agent.reclaim_signals",
    "reconciler.engine.accessed",
    "reconciler.engine.stamps",
    "reconciler.engine.forecasters.chain",
    "reconciler.engine.forecasters.forecaster",
    "reconciler.engine.forecasters.heatjson",
    "reconciler.engine.forecasters.stub",
    "reconciler.engine.heathistory",
    "reconciler.engine.heatmap",
    "reconciler.engine.destinations",
    "reconciler.engine.figures",
    "reconciler.engine.ranges",
    "reconciler.engine.policies",
    "reconciler.engine.regions",
    "reconciler.exerciser.score",
    "reconciler.exerciser.settings",
    "reconciler.exerciser.truth",
    "reconciler.exerciser.windows",
    "reconciler.memtierd",
}
EFFECTS = {
    "sysfs",
    "reconciler.agent",
    "reconciler.baseline",
    "reconciler.children",
    "reconciler.errand",
    "reconciler.files",
    "reconciler.classfiles",
    "reconciler.records",
    "reconciler.released",
    "reconciler.schemas",
    "reconciler.observe",
    "reconciler.persisted",
    "reconciler.pinned",
    "reconciler.execute",
    "reconciler.gather",
    "reconciler.books",
    "reconciler.journal",
    "reconciler.kubelet",
    "reconciler.lastgood",
    "reconciler.outlook",
    "reconciler.rendered",
    "reconciler.state",
    "reconciler.engine",
    "reconciler.memtierd.answering",
    "reconciler.memtierd.byhand",
    "reconciler.memtierd.commands",
    "reconciler.memtierd.console",
    "reconciler.memtierd.desk",
    "reconciler.memtierd.drafts",
    "reconciler.memtierd.host",
    "reconciler.memtierd.memory",
    "reconciler.memtierd.own",
    "reconciler.memtierd.resident",
}
DRIVE = {
    "reconciler.loop",
    "reconciler.watch",
    "reconciler.systemd",
    "reconciler.status",
    "reconciler.chronicle",
    "reconciler.metrics",
    "reconciler.scrape",
    "reconciler.transitions",
    "reconciler.control",
    "nri",
}
FORBIDDEN_IN_PURE = {"os", "time", "logging", "threading", "subprocess", "io", "pathlib", "socket", "random"}
BAD_NAMES = {"utils", "helpers", "common", "consts", "manager", "base", "core", "misc"}


def modules() -> Iterator[tuple[str, Path]]:
    for top in ("reconciler", "sysfs", "nri"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            if not name.endswith("_pb2"):
                yield name.removesuffix(".__init__"), path


MODULES = dict(modules())


def within(name: str, group: set[str]) -> bool:
    return any(name == member or name.startswith(member + ".") for member in group)


def layer(name: str) -> int:
    """Of the longest listed name that it is, or is inside of."""
    groups = (NOUNS, PURE, EFFECTS, DRIVE)
    found = [(len(member), rank) for rank, group in enumerate(groups) for member in group if within(name, {member})]
    return max(found)[1] if found else len(groups)  # wiring: __main__, cli, daemon, demo


def imports(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in MODULES or full.endswith("_pb2") else node.module), node.lineno


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_what_is_lower_or_beside(name: str) -> None:
    found = [
        f"{name}:{line} imports {target}"
        for target, line in imports(MODULES[name])
        if target in MODULES and target not in {"reconciler", "sysfs", "nri"} and layer(target) > layer(name)
    ]

    assert found == []


@pytest.mark.parametrize("name", [name for name in MODULES if layer(name) <= 1 and name != "reconciler"])
def test_pure_code_has_no_doors(name: str) -> None:
    tree = ast.parse(MODULES[name].read_text())
    opened = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "open"]
    doors = [target for target, _ in imports(MODULES[name]) if target.split(".")[0] in FORBIDDEN_IN_PURE]

    assert (opened, doors) == ([], [])


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("sysfs")])
def test_sysfs_knows_nothing_but_the_nouns(name: str) -> None:
    found = [t for t, _ in imports(MODULES[name]) if t.startswith(("reconciler", "nri")) and t != "reconciler.model"]

    assert found == []


@pytest.mark.parametrize("name", MODULES)
def test_names_say_something(name: str) -> None:
    assert not BAD_NAMES & set(name.replace("_", ".").split("."))


def test_only_one_module_starts_child_processes() -> None:
    starters = {n for n, path in MODULES.items() for target, _ in imports(path) if target.split(".")[0] == "subprocess"}

    assert starters <= {"reconciler.children"}
