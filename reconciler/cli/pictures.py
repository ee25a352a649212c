"""Pictures by matplotlib, which is optional: a workload's heat map and working set, and charts of a whole node.

Names are strangers' texts: never parsed as formulas, control characters shown, escaped in HTML.
"""

import html
import io
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from reconciler.cli import render
from reconciler.quantities import human_bytes

INSTALL = "apt install python3-matplotlib, dnf install python3-matplotlib, or pip install 'ebbtide[plot]'"
_USED, _UNUSED, _SWAP, _STALL = "#d1495b", "#9fb8c9", "#30638e", "#edae49"
_MOST_LINES = 12  # between extents: more would hide the map
_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem; border-bottom: 1px solid #ccc }
table { border-collapse: collapse; width: 100% } th, td { padding: .2rem .6rem; text-align: right }
th { border-bottom: 2px solid #888; font-weight: 600 } tr + tr td { border-top: 1px solid #e5e5e5 }
th.text, td.text { text-align: left; overflow-wrap: anywhere } .note { color: #555 }
svg { max-width: 100%; height: auto }
pre { white-space: pre-wrap; background: #f2f5f7; padding: .6rem 1rem }
.figures { display: flex; flex-wrap: wrap; gap: 1rem } .figures div { background: #f2f5f7; padding: .6rem 1rem }
.figures b { display: block; font-size: 1.4rem }
@media print { body { margin: 0; max-width: none; font-size: 11px } h2, svg, tr { break-inside: avoid } }
"""


def of_workload(found: Mapping[str, Any], form: str) -> bytes:
    """The picture of a document of schema/heatmap.schema.json. ImportError without matplotlib."""
    figure = _workload_figure(found)
    if form != "html":
        return _saved(figure, form)
    name = render.clean(found["name"])
    return page(name, [_svg(figure), _extents(found["map"].get("extents", ()))]).encode()


def page(title: str, parts: Sequence[str]) -> str:
    """One HTML page that needs nothing else; `parts` are HTML already, `title` is text."""
    safe = html.escape(title)
    head = f'<meta charset="utf-8"><title>{safe}</title><style>{_STYLE}</style>'
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    guard = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    body = "\n".join([f"<h1>{safe}</h1>", *parts])
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}{guard}</head>\n<body>\n{body}\n</body></html>\n'


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], texts: int = 1) -> str:
    """An HTML table; the first `texts` columns hold words."""

    def line(cells: Sequence[str], tag: str) -> str:
        made = [
            f"<{tag}{' class=text' if at < texts else ''}>{html.escape(render.clean(cell))}</{tag}>"
            for at, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(made)}</tr>"

    return "\n".join(["<table>", line(titles, "th"), *(line(row, "td") for row in rows), "</table>"])


def chart(sizes: Mapping[str, Sequence[float]], title: str, what: str) -> str:
    """An inline SVG of a document's `fine` or `coarse` columns: `what` is sizes, flow or stall."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.8), layout="constrained")
    axes = figure.subplots()
    {"sizes": _sizes, "flow": _flow, "stall": _stall}[what](axes, sizes)
    axes.set_title(render.clean(title), parse_math=False, loc="left", fontsize=10)
    _time_axis(axes)
    return _svg(figure)


def _workload_figure(found: Mapping[str, Any]) -> Any:
    from matplotlib.figure import Figure

    picture, sizes = found["map"], found["sizes"]["fine"]
    if not (picture.get("when") or sizes["when"]):
        raise ValueError("nothing is known yet: the first moment comes after 15 s")
    tall = bool(picture.get("when"))
    figure = Figure(figsize=(11, 8 if tall else 4), layout="constrained")
    rows = figure.subplots(2 if tall else 1, 1, sharex=True, squeeze=False, height_ratios=[3, 2][: 2 if tall else 1])
    if tall:
        _heat(figure, rows[0][0], picture)
    _sizes(rows[-1][0], sizes)
    rows[0][0].set_title(render.clean(found["name"]), parse_math=False, loc="left")
    _time_axis(rows[-1][0])
    return figure


def _heat(figure: Any, axes: Any, picture: Mapping[str, Any]) -> None:
    import numpy as np

    heat = np.array(picture["heat"], np.float64)
    when = np.array(picture["when"])
    step = float(np.median(np.diff(when))) if len(when) > 1 else 15.0
    edges, columns = _with_gaps(when, heat, step)
    share = np.ma.masked_less((columns.T - 1) / 254, 0)
    borders = np.linspace(0, picture["size_bytes"], heat.shape[1] + 1)
    mesh = axes.pcolormesh(_dates(edges), borders, share, cmap="inferno", vmin=0, vmax=1, rasterized=True)
    axes.set_facecolor("#e8e8e8")
    axes.set_ylabel("memory, by address without gaps")
    _byte_axis(axes, picture["size_bytes"])
    axes.set_xlim(*_dates([edges[0], edges[-1]]))
    if len(picture["extents"]) <= _MOST_LINES:
        for extent in picture["extents"][1:]:
            axes.axhline(extent["from_bytes"], color="white", linewidth=0.4, alpha=0.6)
    bar = figure.colorbar(mesh, ax=axes, pad=0.01)
    bar.set_label(f"share used within {step:.0f} s")


def _with_gaps(when: Any, heat: Any, step: float) -> tuple[Any, Any]:
    """Edges in time and a column between each two of them; where nobody looked for long it is empty."""
    import numpy as np

    edges, columns = [when[0] - step], []
    for at, row in zip(when, heat, strict=True):
        if at - edges[-1] > 2.5 * step:
            columns.append(np.zeros_like(row))
            edges.append(at - step)
        columns.append(row)
        edges.append(at)
    return np.array(edges), np.array(columns)


def _sizes(axes: Any, sizes: Mapping[str, Sequence[float]]) -> None:
    at = _dates(sizes["when"])
    if any(sizes["tracked_bytes"]):
        used = [max(whole - idle, 0) for whole, idle in zip(sizes["tracked_bytes"], sizes["idle_bytes"], strict=True)]
        colors = (_USED, _UNUSED)
        axes.stackplot(at, used, sizes["idle_bytes"], labels=("used (working set)", "not used"), colors=colors)
    axes.plot(at, sizes["usage_bytes"], color="#222222", linewidth=1.2, label="in memory")
    axes.plot(at, sizes["swap_bytes"], color=_SWAP, linewidth=1.2, label="in swap")
    axes.plot(at, sizes["away_bytes"], color="#1b998b", linewidth=1.5, linestyle="--", label="saved")
    _byte_axis(axes, max(map(max, (sizes[name] for name in ("tracked_bytes", "usage_bytes", "swap_bytes")))))
    _legend(axes)
    axes.grid(axis="y", alpha=0.3)


def _flow(axes: Any, sizes: Mapping[str, Sequence[float]]) -> None:
    """What left and came back between rows, as bytes a second."""
    at = _dates(sizes["when"])
    for name, color, word in (("out_bytes", _SWAP, "left memory"), ("back_bytes", _USED, "came back (refaults)")):
        axes.step(at, _rates(sizes["when"], sizes[name]), where="pre", color=color, linewidth=1.2, label=word)
    _byte_axis(axes, max(map(float, axes.get_ylim())), "/s")
    _legend(axes)
    axes.grid(axis="y", alpha=0.3)


def _byte_axis(axes: Any, most: float, unit: str = "") -> None:
    """From 0, with ticks at powers of 1024 and halves of them, at most eight."""
    from matplotlib.ticker import MultipleLocator

    step = 2 ** max(math.ceil(math.log2(max(most, 8.0) / 8)), 0)
    axes.yaxis.set_major_locator(MultipleLocator(step))
    axes.yaxis.set_major_formatter(lambda value, _: f"{human_bytes(int(value))}{unit}")
    axes.set_ylim(0, max(most, 1))


def _legend(axes: Any) -> None:
    """Above the picture, at its right: so it hides nothing."""
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=5, fontsize=8, frameon=False, borderaxespad=0.2)


def _rates(when: Sequence[float], totals: Sequence[float]) -> list[float]:
    pairs = zip(when, when[1:], totals, totals[1:], strict=False)
    return [0.0, *(max(more - less, 0) / max(later - before, 1e-9) for before, later, less, more in pairs)][: len(when)]


def _stall(axes: Any, sizes: Mapping[str, Sequence[float]]) -> None:
    axes.fill_between(_dates(sizes["when"]), sizes["stall_percent"], step="pre", color=_STALL)
    axes.set_ylim(0, max(1.0, *sizes["stall_percent"], 0))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes.grid(axis="y", alpha=0.3)


def _dates(when: Sequence[float]) -> list[datetime]:
    return [datetime.fromtimestamp(float(at), tz=UTC) for at in when]


def _time_axis(axes: Any) -> None:
    from matplotlib import dates as module

    dates: Any = module  # it says little of its types
    locator = dates.AutoDateLocator(tz=UTC)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, tz=UTC))
    axes.set_xlabel("time (UTC)", fontsize=8)


def _saved(figure: Any, form: str) -> bytes:
    data = io.BytesIO()
    about = {"Date": None} if form == "svg" else {}
    figure.savefig(data, format=form, dpi=120, metadata=about)
    return data.getvalue()


def _svg(figure: Any) -> str:
    """Without the head that only a file of its own needs; ids are unlike those of other pictures on the page."""
    text = _saved(figure, "svg").decode()
    return re.sub(r"^.*?(?=<svg)", "", text, count=1, flags=re.DOTALL)


def _extents(extents: Sequence[Mapping[str, int]]) -> str:
    rows = [
        [
            human_bytes(each["from_bytes"]),
            str(each["pid"]),
            f"{each['start']:x}-{each['end']:x}",
            human_bytes(each["end"] - each["start"]),
        ]
        for each in extents
    ]
    return f"<h2>Addresses</h2>\n{table(('from', 'process', 'addresses', 'size'), rows, texts=0)}" if rows else ""
