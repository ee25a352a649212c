"""How long one heat map update of 32,768 regions takes: JSON lines, and the same for people on standard error.

memtierd needs 7.4 s for 32,000. Our target is at most 20 ms. Borders that all move in each round are the worst case.
"""

import json
import os
import sys
import time

import numpy as np

from reconciler.engine import heatmap
from reconciler.engine.heatmap import Ranges
from reconciler.engineconfig import HeatmapConfig

REGIONS, PAGES, PAGE, ROUNDS = 32_768, 512, 4096, 50
MEMTIERD_MS = 7400
CONFIG = HeatmapConfig(heat_max=0.01, retention=0.8, classes=5)


def counts(round_number: int, shift_pages: int, random: np.random.Generator) -> Ranges:
    start = (np.arange(REGIONS, dtype=np.uint64) * np.uint64(PAGES) + np.uint64(shift_pages)) * np.uint64(PAGE)
    seen = random.integers(0, 4, REGIONS)
    return heatmap.counted(start, np.full(REGIONS, PAGES), seen, round_number * 10**9, CONFIG.heat_max)


def update(old: Ranges, new: Ranges) -> Ranges:
    return heatmap.joined(heatmap.inside(heatmap.update(old, new, CONFIG, PAGE), new, PAGE), new, CONFIG, PAGE)


def measure(borders: str, shift: int) -> dict[str, object]:
    random = np.random.default_rng(1)
    ranges, taken, used = counts(0, 0, random), [], []
    for number in range(1, ROUNDS):
        new = counts(number, shift * (number % 2), random)
        begin, cpu = time.perf_counter(), time.thread_time()
        ranges = update(ranges, new)
        taken.append((time.perf_counter() - begin) * 1000)
        used.append((time.thread_time() - cpu) * 1000)
        heatmap.classes(heatmap.of(new, ranges, PAGE), CONFIG)
    return {
        "benchmark": "heatmap",
        "borders": borders,
        "regions": REGIONS,
        "rounds": ROUNDS - 1,
        "median_ms": round(float(np.median(taken)), 2),
        "worst_ms": round(max(taken), 2),
        "cpu_median_ms": round(float(np.median(used)), 2),
        "of_memtierds": round(float(np.median(taken)) / MEMTIERD_MS, 5),
        "machine": f"{os.cpu_count()} CPUs, Linux {os.uname().release}",
    }


def main() -> None:
    for borders, shift in (("same borders", 0), ("every border moves in each round", PAGES // 2)):
        found = measure(borders, shift)
        print(json.dumps(found), flush=True)
        said = f"{found['median_ms']} ms an update (CPU: {found['cpu_median_ms']} ms, worst: {found['worst_ms']} ms)"
        print(f"heatmap: {REGIONS} regions, {borders}: {said}; memtierd: {MEMTIERD_MS} ms", file=sys.stderr)


if __name__ == "__main__":
    main()
