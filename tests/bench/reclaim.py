"""What pressure-driven reclaim comes to, on a simulated workload whose working set is known. Prints one JSON line, and
the same for people on standard error.

300 of 1000 MiB are used. After an hour and a half 150 MiB more are wanted, after two hours these rest again.
`--lines FILE` keeps the course as JSON lines, as the end-to-end story does; `--plot FILE` draws it (matplotlib, which
the extra `plot` brings).
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reconciler.agent.reclaim import Means, Reclaim
from reconciler.agentconfig import AgentTask, ReclaimConfig, ReclaimTask

sys.path.insert(0, str(Path(__file__).parents[2]))  # the tests are no installed package
from tests.agent.fake_workload import MIB, MOUNT, FakeWorkload, Part

EVERY = 30  # seconds between two lines
HOURS = 3.0
TARGET = 0.1  # percent
GROWS, RESTS = 5400, 7200  # seconds


def task() -> AgentTask:
    config = ReclaimConfig(floor_bytes=16 * MIB, target_percent=TARGET)
    return AgentTask(reclaims=(ReclaimTask(workload="bench", name="bench", cgroup="/shop", config=config),))


def workload() -> FakeWorkload:
    fake = FakeWorkload()
    fake.add(Part(200 * MIB, every=3))
    fake.add(Part(100 * MIB, every=20, anon=False))
    fake.add(Part(500 * MIB))
    fake.add(Part(200 * MIB, anon=False))
    return fake


def course(hours: float) -> list[dict[str, Any]]:
    """A line every half minute."""
    fake, due, found = workload(), 0.0, list[dict[str, Any]]()
    part = Reclaim(Means(tree=fake, mount=MOUNT, page_size=4096, clock=lambda: fake.now, wall=lambda: fake.now))
    part.change(task())
    begin, stall = fake.now, 0.0
    for second in range(int(hours * 3600)):
        if second == GROWS:
            fake.add(Part(150 * MIB, every=5))
        if second == RESTS:
            fake.rest(150 * MIB)
        if fake.now >= due:
            due = part.run(fake.now)
        fake.advance(1)
        if second % EVERY == EVERY - 1:
            found.append(line(fake, part, fake.now - begin, fake.stall_us["memory"] - stall))
            stall = fake.stall_us["memory"]
    return found


def line(fake: FakeWorkload, part: Reclaim, second: float, stall_us: float) -> dict[str, Any]:
    row = part.report().workloads[0]
    return {
        "second": second,
        "usage_mib": round(fake.usage / MIB, 1),
        "working_set_mib": round(fake.working_set() / MIB, 1),
        "footprint_mib": row.footprint_bytes and round(row.footprint_bytes / MIB, 1),
        "target_percent": TARGET,
        "memory_percent": round(stall_us / EVERY / 1e4, 4),
        "refaulted_mib": round(row.refaulted_bytes / MIB, 2),
        "swap_mib": round(fake.swap / MIB, 1),
        "state": row.state,
    }


def summary(lines: Sequence[dict[str, Any]], where: str) -> dict[str, Any]:
    near = [each for each in lines if each["usage_mib"] <= 1.1 * each["working_set_mib"]]
    last = lines[-1]
    return {
        "benchmark": "reclaim",
        "minutes_to_working_set": round(near[0]["second"] / 60, 1) if near else None,
        "usage_of_working_set_percent": round(100 * last["usage_mib"] / last["working_set_mib"], 1),
        "stall_percent": round(sum(each["memory_percent"] for each in lines) / len(lines), 4),
        "stall_percent_worst": max(each["memory_percent"] for each in lines),
        "refaulted_mib": last["refaulted_mib"],
        "begin_mib": lines[0]["usage_mib"],
        "end_mib": last["usage_mib"],
        "machine": where,
    }


def said(found: dict[str, Any]) -> str:
    return (
        f"reclaim: from {found['begin_mib']:.0f} to {found['end_mib']:.0f} MiB, "
        f"{found['usage_of_working_set_percent']} % of the working set, within 10 % of it after "
        f"{found['minutes_to_working_set']} min; tasks waited {found['stall_percent']} % of the time "
        f"({found['stall_percent_worst']} % at worst)"
    )


def plot(lines: Sequence[dict[str, Any]], path: str) -> None:
    """Three panels over minutes: memory, stall, what came back."""
    drawing: Any = importlib.import_module("matplotlib")
    drawing.use("svg")
    drawing.rcParams.update({"svg.hashsalt": "ebbtide", "svg.fonttype": "none", "font.size": 9})
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    minutes = [each["second"] / 60 for each in lines]
    figure, (memory, stall, back) = pyplot.subplots(3, 1, sharex=True, figsize=(7, 5.5), height_ratios=(3, 1, 1))
    memory.plot(minutes, [each["usage_mib"] for each in lines], label="memory.current")
    memory.plot(minutes, [each["working_set_mib"] for each in lines], "--", label="working set (known)")
    memory.set_ylabel("MiB")
    memory.set_ylim(bottom=0)
    memory.legend(loc="upper right")
    stall.plot(minutes, [each["memory_percent"] for each in lines], color="tab:red")
    stall.axhline(lines[0]["target_percent"], linestyle=":", color="gray")
    stall.set_ylabel("stall %")
    back.plot(minutes, [each["refaulted_mib"] for each in lines], color="tab:green")
    back.set_ylabel("came back, MiB")
    back.set_xlabel("minutes")
    figure.align_ylabels()
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=HOURS, help=f"of the workload's life ({HOURS:g})")
    parser.add_argument("--lines", metavar="FILE", help="keep the course there")
    parser.add_argument("--of", metavar="FILE", help="take the course from there instead: a real run's")
    parser.add_argument("--plot", metavar="FILE", help="draw it there, as SVG")
    options = parser.parse_args()
    if options.of:
        lines = [json.loads(text) for text in Path(options.of).read_text(encoding="utf-8").splitlines()]
    else:
        lines = course(options.hours)
    if options.lines:
        Path(options.lines).write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
    if options.plot:
        plot(lines, options.plot)
    here = f"{os.cpu_count()} CPUs, Linux {os.uname().release}; simulated"
    found = summary(lines, options.of or here)
    print(json.dumps(found))
    print(said(found), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
