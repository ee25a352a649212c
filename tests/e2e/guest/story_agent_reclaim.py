"""Pressure-driven reclaim on a real kernel: what is cold leaves, what is hot stays, and what was learned is right.

But for the last story the part runs here, in the story's own process, with short intervals. The course of the first
one goes to /out/reclaim.jsonl, which `tests/bench/reclaim.py --of FILE --plot FILE` draws.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reconciler.agent import coldness
from reconciler.agent.reclaim import Means, Reclaim
from reconciler.agentconfig import AgentTask, ReclaimConfig, ReclaimTask
from reconciler.report import ReclaimedReport
from sysfs.reclaim import Sample, read
from sysfs.tree import Tree
from tests.e2e.guest import ebbtide, groups, memory, node, poll
from tests.e2e.guest.groups import TOP, Exerciser, Group

Services = dict[str, ebbtide.Service]

RESULTS = Path("/out/reclaim.jsonl")
MIB = 1 << 20
IDLE, HOT, CACHE = 128 * MIB, 48 * MIB, 64 * MIB
COLD_FILE = Path("/root/cold.bin")
NAME = "50-reclaim.yaml"
LEARNS = """classes:
  - name: story
    reclaim: {slo: promotion, floor: 1TiB}
"""
LINE_S, KEEPS_S = 2.0, 180.0
MOST, FEW = 0.9, 0.05

# An emulated processor takes a hundred times as long to bring a page back, so the targets are larger.
QUICK: dict[str, Any] = {
    "interval_secs": 1.0,
    "target_percent": 1.0,
    "io_target_percent": 1.0,
    "most_step_percent": 2.0,
    "floor_bytes": 16 * MIB,
}


class Run:
    """The part on one cgroup, until something is true."""

    def __init__(self, group: Group, **config: Any) -> None:
        self.group = group
        self.config = ReclaimConfig(**{**QUICK, **config})
        tree = Tree()
        self.part = Reclaim(
            Means(tree=tree, mount=str(TOP), page_size=memory.PAGE, clock=time.monotonic, wall=time.time)
        )
        name = group.path.name
        task = ReclaimTask(workload=name, name=name, cgroup=f"/{name}", config=self.config)
        self.part.change(AgentTask(reclaims=(task,)))
        self.lines: list[dict[str, Any]] = []
        self.stall = (time.monotonic(), 0)
        self.part.run(time.monotonic())

    @property
    def row(self) -> ReclaimedReport:
        return self.part.report().workloads[0]

    def sample(self) -> Sample:
        return read(Tree(), str(self.group.path), memory.PAGE)

    def until(self, what: str, true: Callable[[], bool], seconds: float = 600) -> float:
        begin, line = time.monotonic(), 0.0
        while not true():
            now = time.monotonic()
            assert now < begin + seconds, f"not within {seconds:.0f} s: {what}; {self.row}; {self.sample()}"
            due = self.part.run(now)
            if now >= line:
                line = now + LINE_S
                self._note(now)
            time.sleep(min(max(due - time.monotonic(), 0.05), 1.0))
        took = time.monotonic() - begin
        print(f"  {took:6.1f} s  {what}: {self.row.state}, {self.row.reason}", flush=True)
        return took

    def _note(self, now: float) -> None:
        row, found = self.row, self.sample()
        total = int(self.group.get("memory.pressure").splitlines()[0].rpartition("=")[2])
        (last, before), self.stall = self.stall, (now, total)
        known = bool(self.lines)
        self.lines.append(
            {
                "second": round(now, 1),
                "usage_mib": round(found.usage / MIB, 1),
                "footprint_mib": row.footprint_bytes and round(row.footprint_bytes / MIB, 1),
                "target_percent": self.config.target_percent,
                "memory_percent": round((total - before) / (now - last) / 1e4, 4) if known else 0.0,
                "refaulted_mib": round(row.refaulted_bytes / MIB, 2),
                "swap_mib": round(found.swap / MIB, 1),
                "state": row.state,
            }
        )


@pytest.fixture
def group() -> Iterator[Group]:
    node.swap_on()
    with groups.managed("reclaimed") as made:
        yield made


@pytest.fixture
def exerciser(group: Group) -> Exerciser:
    """Cold and hot anonymous memory, and a file that was read once."""
    if not COLD_FILE.exists():
        COLD_FILE.write_bytes(b"x" * CACHE)
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
    reader = group.run("cat", str(COLD_FILE))
    reader.process.wait()
    return Exerciser(group, "--idle", f"{IDLE // MIB}M", "--write", f"{HOT // MIB}M", "--rate", "10")


def test_it_comes_to_the_working_set(group: Group, exerciser: Exerciser) -> None:
    """Everything but what is known to be cold counts as working set, also what the interpreter used at its start."""
    run = Run(group)
    begin = run.sample()
    need = begin.usage - IDLE - min(begin.file, CACHE)
    took = run.until("within 10 % of the working set", lambda: run.sample().usage < 1.1 * need)
    run.until("the footprint is known", lambda: run.row.footprint_bytes is not None or run.row.state == "at floor")
    later = time.monotonic() + KEEPS_S
    run.until("it has kept that for a while", lambda: time.monotonic() > later)
    idle, hot = (memory.pages(exerciser.pid, exerciser.ranges(role)) for role in ("idle", "write"))
    keep(run, need)

    sizes = [f"{size / MIB:.0f} MiB" for size in (begin.usage, run.sample().usage, need)]
    print("  from {} to {}, needed {}".format(*sizes), f"in {took:.0f} s; {run.row}", flush=True)
    assert 0.9 * HOT < run.sample().usage < 1.1 * need
    assert idle.share() > MOST, idle
    assert hot.present > (1 - FEW) * hot.total, hot
    assert run.row.taken_bytes > MOST * (begin.usage - run.sample().usage)
    assert exerciser.alive()


def keep(run: Run, need: int) -> None:
    """For the picture."""
    first = run.lines[0]["second"]
    lines = [{**line, "second": line["second"] - first, "working_set_mib": round(need / MIB, 1)} for line in run.lines]
    if RESULTS.parent.is_dir():
        RESULTS.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def test_without_swap_page_cache_alone_leaves(group: Group, exerciser: Exerciser) -> None:
    group.set("memory.swap.max", "0")
    run = Run(group)
    run.until("the file has left", lambda: run.sample().file < 0.25 * CACHE)
    idle = memory.pages(exerciser.pid, exerciser.ranges("idle"))

    assert idle.swapped == 0, idle
    assert idle.present == idle.total, idle
    assert "memory.swap.max is 0" in run.row.reason or run.row.state in {"holding", "backing off"}, run.row


def test_a_limit_of_somebody_else_is_noticed(group: Group, exerciser: Exerciser) -> None:
    run = Run(group)
    run.until("it takes", lambda: run.row.steps > 3)
    group.set("memory.high", str(160 * MIB))
    run.until("it begins again", lambda: "memory.high was changed" in run.row.reason, seconds=60)

    assert group.get("memory.high") == str(160 * MIB), "never ours to write"
    assert exerciser.alive()


def row_of(document: dict[str, Any]) -> dict[str, Any]:
    """What was not used for two minutes."""
    return next((row for row in document.get("rows", ()) if row["threshold_s"] == coldness.COLD_S), {})


@pytest.mark.skipif(not Path("/sys/kernel/debug/lru_gen").exists(), reason="a kernel without generations")
def test_what_if_says_beforehand_what_would_come_back(product: Services, group: Group, exerciser: Exerciser) -> None:
    """At its floor the daemon takes nothing, and still learns."""
    ebbtide.drop(NAME, LEARNS)
    name = group.path.name

    def table() -> dict[str, Any]:
        told = ebbtide.cli("what-if", name, "-o", "json", ok=(0, 1, 4))
        document = dict(json.loads(told)) if told.startswith("{") else {}
        row: dict[str, Any] = next(
            (row for row in document.get("rows", ()) if row["threshold_s"] == coldness.COLD_S), {}
        )
        return document if row.get("saved_bytes", 0) > MOST * IDLE and row["refaults_per_minute"] is not None else {}

    def sizes() -> dict[str, Any]:
        """At a floor not all that is in use is needed."""
        document = dict(json.loads(ebbtide.cli("right-size", name, "-o", "json")))
        return document if document["evidence"]["need_p50"] < HOT + CACHE else {}

    found = poll.until("the cold memory is known to be cold", table, seconds=600, pause=5)
    print(ebbtide.cli("what-if", name), ebbtide.cli("right-size", name), sep="\n", flush=True)
    at = row_of(found)
    sized = poll.until("most minutes know what is needed", sizes, seconds=300, pause=5)

    assert at["saved_bytes"] < 1.1 * (IDLE + CACHE) + 16 * MIB, "the hot memory is not cold"
    assert at["refaults_per_minute"] < 0.1 * IDLE
    assert HOT < sized["request_bytes"] <= sized["limit_bytes"]
    assert memory.pages(exerciser.pid, exerciser.ranges("idle")).swapped == 0
    assert exerciser.alive()
