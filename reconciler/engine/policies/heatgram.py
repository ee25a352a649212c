"""What the heat policy knows, as memtierd prints it."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from reconciler.engine import heatmap
from reconciler.engine.heatmap import Heats
from reconciler.engine.policies import quota
from reconciler.engine.policies.policy import View
from reconciler.engineconfig import SWAP, HeatmapConfig, NodeSize

_MOST_CLASSES = 10_000
_BAD_CLASSES = f"invalid CLASSES, a whole number from 1 to {_MOST_CLASSES} is wanted: heatgram [CLASSES]"


def heatmap_text(heats: Heats, config: HeatmapConfig, page_size: int) -> str:
    """Each range: `{start-end(pages),heat,created,age}`, addresses in hexadecimal, created in nanoseconds."""
    return "\n".join(["heatmap:", *_range_lines(heats, config, page_size)])


def _range_lines(heats: Heats, config: HeatmapConfig, page_size: int) -> Iterator[str]:
    for pid, ranges in sorted(heats.items()):
        classes = heatmap.classes(ranges["heat"], config).tolist()
        for i, (start, pages, heat, created, updated) in enumerate(ranges.tolist()):
            age = (updated - created) / 1e9
            span = f"{start:x}-{start + pages * page_size:x}({pages})"
            yield f"pid: {pid}: {i} {{{span},{heat:f},{created},{age:.6f}s}} (class {classes[i]})"


def dump(words: Sequence[str], heats: Heats, config: HeatmapConfig, page_size: int) -> str:
    """The answer to `heatgram [CLASSES]`."""
    if not words:
        return text(heats, config, page_size)
    if not (words[0].isdecimal() and len(words[0]) < 9 and 1 <= int(words[0]) <= _MOST_CLASSES):
        return _BAD_CLASSES
    return text(heats, replace(config, classes=int(words[0])), page_size)


def text(heats: Heats, config: HeatmapConfig, page_size: int) -> str:
    """The hottest heat of each process, and how much of its memory is in which heat class."""
    lines = ["", "table: maximum heat in heatmaps", "     pid  maxHeat"]
    lines += [f"{pid:8d} {ranges['heat'].max(initial=0):8.4f}" for pid, ranges in sorted(heats.items())]
    lines += ["", "table: memory in heat classes", *_class_lines(heats, config, page_size)]
    return "\n".join(lines)


def _class_lines(heats: Heats, config: HeatmapConfig, page_size: int) -> Iterator[str]:
    total = sum(int(ranges["pages"].sum()) for ranges in heats.values())
    for pid, ranges in sorted(heats.items()):
        yield "     pid class pidmem[%] totmem[%]    mem[G]"
        mine = int(ranges["pages"].sum())
        classes = heatmap.classes(ranges["heat"], config)
        for number, pages in enumerate(np.bincount(classes, ranges["pages"], config.classes).tolist()):
            gigabytes = pages * page_size / (1 << 30)
            yield f"{pid:8d} {number:5d} {_percent(pages, mine):9.2f} {_percent(pages, total):9.2f} {gigabytes:9.3f}"


def _percent(part: float, whole: float) -> float:
    return 100 * part / whole if whole else 0.0


def numa(view: View, limits: Sequence[NodeSize]) -> str:
    """Where each process's memory is; all processes' use of the node, and what they may use of it (0 = all)."""
    sizes = {limit.node: quota.size(limit, view) for limit in limits}
    lines = ["node      pid pageData numaUsed numaSize"]
    for pid, seat in sorted(view.seats.items()):
        alone = replace(view, seats={pid: seat})
        for node in (SWAP, *sorted(room.number for room in view.nodes)):
            if mine := quota.used(alone, node):
                amounts = (mine, quota.used(view, node), sizes.get(node, 0))
                lines.append(f"{node:4d} {pid:8d} " + " ".join(f"{amount >> 20:7d}M" for amount in amounts))
    return "\n".join(lines)
