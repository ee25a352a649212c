"""What tracking single pages costs: 512 MiB, one page a region, a soft-dirty scan a second. Prints one JSON line, and
the same for people on standard error.

memtierd's known cost for 1 GiB is 527 MB of memory and 124 % of a CPU on a machine with two. Where the kernel was built
without soft-dirty bits, the same work is done (pagemap is scanned, clear_refs is written), only nobody sets the bits.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from reconciler.engine.engine import Engine
from reconciler.engineconfig import EngineConfig, StubConfig, TrackerConfig, WatcherConfig
from reconciler.model import EngineSettings, EngineTask
from sysfs import allocator, probe
from sysfs.tree import Tree

EXERCISER = Path(__file__).parents[2] / "reconciler/exercise.py"
MEMTIERD_MB, MEMTIERD_PERCENT, MEMTIERD_BYTES = 527, 124, 1 << 30


def task(pid: int, pages: int) -> EngineTask:
    tracker = TrackerConfig(name="softdirty", pages_in_region=pages, scan_interval_ms=1000, regions_update_ms=10_000)
    config = EngineConfig(
        policy=StubConfig(interval_ms=1000), tracker=tracker, watcher=WatcherConfig(name="pidlist", pids=(pid,))
    )
    return EngineTask(workload="bench", config=config, tracker="softdirty", pids=(pid,))


def rss_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


def measure(size_mib: int, seconds: float, pages: int) -> dict[str, Any]:
    hot = size_mib // 8
    command = [sys.executable, str(EXERCISER), "--idle", f"{size_mib - hot}M", "--write", f"{hot}M", "--with-parent"]
    with subprocess.Popen([*command, "--nohugepage"], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        tree = Tree()
        features = probe.features(tree)
        allocator.return_large_blocks()  # as the daemon does
        before = rss_kb("VmRSS")
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # VmHWM begins again
        engine = Engine(tree, features, EngineSettings(cpu_percent=100), lambda _: None, workers=1)
        begin, cpu = time.monotonic(), time.process_time()
        engine.start(task(child.pid, pages))
        time.sleep(seconds)
        report = engine.report("bench")
        used, lasted = time.process_time() - cpu, time.monotonic() - begin
        peak = rss_kb("VmHWM")
        engine.close()
        child.terminate()
    assert report is not None
    percent, own = 100 * used / lasted, (peak - before) / 1000
    share = (size_mib << 20) / MEMTIERD_BYTES
    return {
        "benchmark": "softdirty",
        "size_mib": size_mib,
        "pages_in_region": pages,
        "regions": report.regions,
        "scans": report.scans,
        "soft_dirty_works": features.works("soft-dirty"),
        "cpu_percent": round(percent, 2),
        "cpu_of_memtierds": round(percent / (MEMTIERD_PERCENT * share), 3),
        "peak_mb": round(peak / 1000, 1),
        "peak_over_idle_mb": round(own, 1),
        "peak_of_memtierds": round(peak / 1000 / (MEMTIERD_MB * share), 3),
        "peak_over_idle_of_memtierds": round(own / (MEMTIERD_MB * share), 3),
        "error": report.error,
        "machine": f"{os.cpu_count()} CPUs, Linux {os.uname().release}",
    }


def said(found: dict[str, Any]) -> str:
    percent, peak, own = found["cpu_percent"], found["peak_mb"], found["peak_over_idle_mb"]
    lines = [
        f"softdirty: {found['regions']} regions, {found['scans']} scans",
        f"{percent} % of a CPU ({100 * found['cpu_of_memtierds']:.1f} % of memtierd's for as much memory)",
        f"peak {peak} MB ({100 * found['peak_of_memtierds']:.1f} %)",
        f"of which tracking {own} MB ({100 * found['peak_over_idle_of_memtierds']:.1f} %)",
    ]
    lines += [] if found["soft_dirty_works"] else ["this kernel sets no soft-dirty bits, all else is done"]
    return "; ".join(lines + [f"error: {found['error']}"] * bool(found["error"]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=512, help="MiB (512)")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--pages", type=int, default=1, help="pages a region (1)")
    options = parser.parse_args()
    found = measure(options.size, options.seconds, options.pages)
    print(json.dumps(found))
    print(said(found), file=sys.stderr)
    return int(bool(found["error"]))


if __name__ == "__main__":
    sys.exit(main())
