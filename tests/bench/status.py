"""How long after its start a daemon with 200 workloads has a useful `ebbtide status`: JSON lines, and words beside.

The kernel is one of plain files, so what is measured is ours: reading classes and records, looking, planning, writing
200 values, and telling. Our target is at most 2 s from exec to a complete answer of the command line.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.cli import kernel_tree  # noqa: E402  the path comes first

WORKLOADS, TARGET_S, PATIENCE_S = 200, 2.0, 120.0
CLASSES = "classes: [{name: roomy, allowswap: true, memory: {high: 64M}}]\n"


def make(folder: Path) -> list[str]:
    """A node with its workloads; the options that say where it is."""
    root = kernel_tree.make(folder / "root")
    kernel_tree.write(folder / "conf.d/a.yaml", CLASSES)
    for number in range(WORKLOADS):
        path = f"/pods/{number}"
        kernel_tree.cgroup(root, path)
        record = {"id": f"w{number}", "cgroup": path, "class": "roomy"}
        kernel_tree.write(folder / f"state/workloads.d/w{number}.json", json.dumps(record))
    (folder / "run").mkdir()
    places = {"root": "root", "config-dir": "conf.d", "state-dir": "state", "run-dir": "run"}
    return [word for name, place in places.items() for word in (f"--{name}", str(folder / place))]


def measure() -> dict[str, object]:
    with tempfile.TemporaryDirectory() as name:
        where = make(Path(name))
        begin = time.perf_counter()
        daemon = subprocess.Popen(
            [sys.executable, "-m", "reconciler", "daemon", *where], cwd=REPOSITORY, stderr=subprocess.DEVNULL
        )
        try:
            report = _first(Path(name) / "run/status.json", daemon, begin)
            published, used = time.perf_counter() - begin, _cpu_seconds(daemon.pid)
            shown = subprocess.run(
                [sys.executable, "-m", "reconciler", "status", *where],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                check=False,
            )
            answered = time.perf_counter() - begin
        finally:
            daemon.terminate()
            daemon.wait()
    assert shown.stdout.count("converged") >= WORKLOADS, shown.stdout + shown.stderr
    return {
        "benchmark": "status",
        "workloads": WORKLOADS,
        "published_s": round(published, 2),
        "answered_s": round(answered, 2),
        "cpu_s": round(used, 2),
        "cycle_s": round(report["cycle_seconds"], 3),
        "target_s": TARGET_S,
        "machine": f"{os.cpu_count()} CPUs, Linux {os.uname().release}",
    }


def _cpu_seconds(pid: int) -> float:
    """Of the daemon so far (proc_pid_stat(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _first(file: Path, daemon: "subprocess.Popen[bytes]", begin: float) -> dict[str, float]:
    """The first report in which everybody is as wanted."""
    while time.perf_counter() - begin < PATIENCE_S:
        assert daemon.poll() is None, "the daemon has ended"
        try:
            report = json.loads(file.read_text())
        except (OSError, ValueError):
            report = {"workloads": []}
        if sum(row["state"] == "converged" for row in report["workloads"]) == WORKLOADS:
            return dict(report)
        time.sleep(0.01)
    raise AssertionError(f"not within {PATIENCE_S:.0f} s")


def main() -> None:
    found = measure()
    print(json.dumps(found), flush=True)
    said = f"complete after {found['published_s']} s (CPU: {found['cpu_s']} s), shown after {found['answered_s']} s"
    print(f"status: {WORKLOADS} workloads, {said}; target {TARGET_S} s", file=sys.stderr)


if __name__ == "__main__":
    main()
