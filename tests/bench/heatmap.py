"""How long one heat map update of 32,768 regions takes: the target is at most 20 ms (memtierd: 7.4 s)."""

import time

import numpy as np

from reconciler.engine import heatmap
from reconciler.engine.heatmap import Ranges
from reconciler.engineconfig import HeatmapConfig

REGIONS, PAGES, PAGE, ROUNDS = 32_768, 512, 4096, 50
CONFIG = HeatmapConfig(heat_max=0.01, retention=0.8, classes=5)


def counts(round_number: int, shift_pages: int, random: np.random.Generator) -> Ranges:
    start = (np.arange(REGIONS, dtype=np.uint64) * np.uint64(PAGES) + np.uint64(shift_pages)) * np.uint64(PAGE)
    seen = random.integers(0, 4, REGIONS)
    return heatmap.counted(start, np.full(REGIONS, PAGES), seen, round_number * 10**9, CONFIG.heat_max)


def update(old: Ranges, new: Ranges) -> Ranges:
    return heatmap.joined(heatmap.inside(heatmap.update(old, new, CONFIG, PAGE), new, PAGE), new, CONFIG, PAGE)


def measure(title: str, shift: int) -> None:
    random = np.random.default_rng(1)
    ranges, updated, classed = counts(0, 0, random), [], []
    for number in range(1, ROUNDS):
        new = counts(number, shift * (number % 2), random)
        begin = time.perf_counter()
        ranges = update(ranges, new)
        updated.append((time.perf_counter() - begin) * 1000)
        heatmap.classes(heatmap.of(new, ranges, PAGE), CONFIG)
        classed.append((time.perf_counter() - begin) * 1000)
    print(
        f"heat map, {REGIONS} regions, {title}: update {np.median(updated):.1f} ms (worst {max(updated):.1f}), "
        f"with each region's class {np.median(classed):.1f} ms"
    )


if __name__ == "__main__":
    measure("same borders", 0)
    measure("every border moves each round", PAGES // 2)
