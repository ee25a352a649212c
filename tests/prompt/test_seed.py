"""Command lines as memtierd's manual prints them, where its newest version refuses some of them."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.engineconfig import AgeConfig, HeatConfig
from tests.prompt import children
from tests.prompt.children import Sleeper, memtierd
from tests.prompt.conftest import Prompt

AGE = (
    r'{"Tracker":{"Name":"softdirty","Config":"{\"PagesInRegion\":256,\"MaxCountPerRegion\":1,\"ScanIntervalMs\":4000,'
    r'\"RegionsUpdateMs\":0,\"SkipPageProb\":0,\"PagemapReadahead\":0}"},"Mover":{"IntervalMs":20,"Bandwidth":200},'
    r'"Cgroups":["/sys/fs/cgroup/foobar"],"IntervalMs":5000,"IdleDurationMs":15000,"IdleNumas":[2,3],'
    r'"ActiveDurationMs":10000,"ActiveNumas":[0,1]}'
)
HEAT = (
    r'{"Tracker":{"Name":"idlepage","Config":"{\"PagesInRegion\":256,\"MaxCountPerRegion\":0,\"ScanIntervalMs\":5000,'
    r'\"RegionsUpdateMs\":0,\"PagemapReadahead\":0,\"KpageflagsReadahead\":0,\"BitmapReadahead\":0}"},"Heatmap":'
    r'{"HeatMax":0.01,"HeatRetention":0.8,"HeatClasses":4},"Mover":{"IntervalMs":20,"Bandwidth":200},'
    r'"Cgroups":["/sys/fs/cgroup/foobar"],"IntervalMs":10000,"HeatNumas":{"0":[2,3],"3":[0,1]}}'
)
root = pytest.mark.skipif(os.geteuid() != 0, reason="must run as root")


@pytest.fixture(scope="module")
def sleeper() -> Iterator[Sleeper]:
    with children.sleeper() as found:
        yield found


def test_the_age_policy_in_unquoted_json(prompt: Prompt) -> None:
    prompt(f"policy -create age -config {AGE} -start")

    config = prompt.host.configs["policy"]
    assert config.policy == AgeConfig(
        interval_ms=5000, idle_ms=15000, idle_nodes=(2, 3), active_ms=10000, active_nodes=(0, 1)
    )
    assert (config.tracker.name, config.tracker.pages_in_region) == ("softdirty", 256)
    assert config.watcher.cgroups == ("/sys/fs/cgroup/foobar",)
    assert config.mover.bandwidth_mib == 200


def test_the_heat_policy_in_unquoted_json(prompt: Prompt) -> None:
    prompt(f"policy -create heat -config {HEAT}")
    prompt("policy -start")

    policy = prompt.host.configs["policy"].policy
    assert isinstance(policy, HeatConfig)
    assert policy.nodes == ((0, (2, 3)), (3, (0, 1)))


@root
def test_tracking_by_hand(tmp_path: Path, sleeper: Sleeper) -> None:
    """With any tracker that this kernel has: idlepage is replaced, and that is said."""
    lines = f"tracker -create idlepage -start {sleeper.pid}\ntime -sleep 0.1\ntracker -counters\nstats | cat\n"

    done = memtierd(tmp_path, "-prompt", lines=lines)

    assert "tracker created\ntracker started\n" in done.stdout
    assert done.stdout.endswith("memtierd> quit: EOF\nquit.\n")


@root
def test_moving_by_hand(tmp_path: Path, sleeper: Sleeper) -> None:
    """As far as one node goes: everything is there already."""
    lines = f"pages -pid {sleeper.pid}\nmover -pages-to 0\ntime -sleep 0.5\nmover -wait\nmover -tasks\nstats\nq\n"

    done = memtierd(tmp_path, "-prompt", lines=lines)

    assert done.returncode == 0, done.stdout
    assert "memtierd> mover wait received: AllDone\nmemtierd> memtierd> nothing was scanned or moved\n" in done.stdout
    assert done.stdout.endswith("memtierd> quit.\n")


@root
def test_the_text_of_stats_is_found_by_grep(tmp_path: Path, sleeper: Sleeper) -> None:
    config = '{"ScanIntervalMs":100}'
    lines = [
        f"tracker -create referenced -config {config} -start {sleeper.pid}",
        "time -sleep 1",
        "stats | grep accessed",
        "stats",
        "stats -t memory_scans -f csv",
    ]

    done = memtierd(tmp_path, "-c", "\n".join(lines))

    assert re.search(r"^    accessed: \d+ pages \(\d+ pages/scan, \d+ MB/scan\)$", done.stdout, re.MULTILINE)
    text = done.stdout.split(f"memory scans on pid: {sleeper.pid}\n")[1].splitlines()
    assert [line.split(":")[0].strip() for line in text[:5]] == ["scans", "scan time", "scanned", "accessed", "written"]
    head, row = done.stdout.splitlines()[-2:]
    assert head == "pid,scans,tot[pages],avg[s],last,max[s],avg[G],last[G],a+w[%],last"
    assert len(row.split(",")) == 10


@root
def test_recording_raw_events(tmp_path: Path, sleeper: Sleeper) -> None:
    out = tmp_path / "raw-events.txt"
    config = '{"ScanIntervalMs":100}'
    lines = [
        f"tracker -create referenced -config {config} -start {sleeper.pid}",
        "# Start recording raw memory access events.",
        "tracker -dump raw start",
        "time -sleep 1",
        "# Append new (unreported) raw memory access events to a file.",
        f"tracker -dump raw new | tee -a {out} | wc -l",
        "tracker -dump raw stop",
    ]

    done = memtierd(tmp_path, "-c", "\n".join(lines))

    assert done.returncode == 0, done.stderr
    head, *rows = out.read_text().splitlines()
    assert head.split() == ["timestamp", "pid", "addr", "pages", "accs", "writes"]
    assert {row.split()[1] for row in rows} == {str(sleeper.pid)}


ROUTINES = """\
policy:
  name: stub
routines:
- name: statactions
  config: |
    intervalms: 100
    intervalcommand: ["tracker", "-ls"]
    intervalcommandrunner: memtier
- name: statactions
  config: |
    intervalms: 100
    intervalcommand: ["time -now | sed s/^/now:/"]
    intervalcommandrunner: memtier-prompt
"""


@root
def test_routines_of_a_file_and_of_the_prompt(tmp_path: Path) -> None:
    path = tmp_path / "routines.yaml"
    path.write_text(ROUTINES)
    command = '{"IntervalMs":100,"IntervalCommand":["echo","from exec"]}'
    lines = [
        "time -sleep 1",
        "routines -use 1 -stop",
        f"routines -create statactions -config {command} -start",
        "time -sleep 1",
        "q",
    ]

    done = memtierd(tmp_path, "-config", str(path), lines="\n".join(lines))

    assert done.returncode == 0, done.stderr
    before, after = done.stdout.split("routine 2 created, started using it\n")
    assert "now:1" in before
    assert "softdirty\n" in before
    assert "from exec\n" in after
    assert "now:" not in after.split("from exec", 1)[1]


@root
def test_the_watchers_log(tmp_path: Path, sleeper: Sleeper) -> None:
    config = f'{{"Pids":[{sleeper.pid}]}}'
    line = f"pidwatcher -create pidlist -config {config} -listener log -start"

    done = memtierd(tmp_path, "-c", f"{line}\ntime -sleep 0.5\npidwatcher -stop")

    assert f"pidwatcher: AddPids([{sleeper.pid}])\n" in done.stdout
