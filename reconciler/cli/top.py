"""`ebbtide top`: workloads by what they use or save, live on a terminal, once on a pipe."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reconciler.cli import keyboard, options, published, render, status, workload_rows
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.render import Column, Page
from reconciler.quantities import human_bytes
from reconciler.report import Report, WorkloadReport

DELAY_S = 5.0  # as often as the daemon's figures move
ORDERS = {  # word -> the key that chooses it
    "usage": "u",
    "hot": "h",
    "cold": "c",
    "swap": "s",
    "saved": "a",
    "out": "o",
    "back": "b",
    "name": "n",
}
_ROOMY = 100  # columns: classes have a place
_KEYS = {key: word for word, key in ORDERS.items()}
COLUMNS = (
    Column(title="WORKLOAD", shrinks=True),
    Column(title="CLASS", shrinks=True),
    Column(title="STATE", colors=render.STATE_COLORS),
    *(Column(title=title, right=True) for title in ("USAGE", "HOT", "COLD", "SWAP", "SAVED", "OUT/S", "BACK/S")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A workload at a moment; rates are bytes a second since the moment before, None at the first one."""

    row: WorkloadReport
    out_rate: float | None = None
    back_rate: float | None = None

    def value(self, order: str) -> float:
        return {
            "usage": self.row.usage_bytes,
            "hot": workload_rows.hot_bytes(self.row),
            "cold": self.row.engine.idle_bytes if self.row.engine else 0,
            "swap": self.row.swap_bytes,
            "saved": self.row.saved.away_bytes,
            "out": self.out_rate or 0.0,
            "back": self.back_rate or 0.0,
        }.get(order, 0.0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-k", "--order", choices=ORDERS, default="usage", help="what to sort by (usage); live, its letter does it, too")
    add("-d", "--delay", type=float, default=DELAY_S, metavar="SECONDS", help=f"between two looks ({DELAY_S:g})")
    add("-n", "--iterations", type=int, metavar="N", help="looks, then end; on a pipe 1")
    add("-b", "--batch", action="store_true", help="look after look below each other, without keys")
    letters = ", ".join(f"{key} {word}" for word, key in ORDERS.items())
    parser.epilog = f"Keys: {letters}, q ends it, space looks at once."


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    if args.delay <= 0 or (args.iterations is not None and args.iterations < 1):
        raise Failure("top", "--delay and --iterations must be above 0", code=Exit.USAGE)
    live = sys.stdout.isatty() and not args.batch and not common.json
    looks = args.iterations or (None if live or args.batch else 1)
    screen = _Screen(common, args.order, live=live)
    if not live:
        _repeat(screen, looks, args.delay)
    else:
        with keyboard.keys() as pressed:
            _watch(screen, looks, args.delay, pressed)
    return Exit.STOPPED if screen.stale else Exit.FINE


def _repeat(screen: "_Screen", looks: int | None, delay: float) -> None:
    screen.look()
    while looks is None or (looks := looks - 1) > 0:
        time.sleep(delay)
        screen.look()


def _watch(screen: "_Screen", looks: int | None, delay: float, pressed: keyboard.Pressed) -> None:
    screen.look()
    while looks is None or (looks := looks - 1) > 0:
        due = time.monotonic() + delay
        while (key := pressed(due - time.monotonic())) and key != " ":
            if key == "q":
                return
            screen.order = _KEYS.get(key, screen.order)
            screen.draw()
        screen.look()


class _Screen:
    def __init__(self, common: options.Options, order: str, *, live: bool) -> None:
        self.order = order
        self.stale = False  # nobody stands behind the figures
        self._common, self._live = common, live
        self._shown = 0  # lines
        self._seen: tuple[float, Report] | None = None
        self._rates: Mapping[str, tuple[float, float]] = {}

    def look(self) -> None:
        standing, now = published.read(self._common), time.monotonic()
        self.stale = bool(standing.stale)
        report = replace(standing.report, state="not running") if self.stale else standing.report
        if self._seen is not None:
            self._rates = rates(self._seen[1], report, now - self._seen[0])
        self._seen = now, report
        self.draw()

    def draw(self) -> None:
        assert self._seen is not None
        found = ordered(self._seen[1], self._rates, self.order)
        if self._common.json:
            render.show_line(json.dumps(document(self._seen[1], found, self.order)))
            return
        page = render.page(color=self._common.color, legend=self._common.legend)
        drawn = lines(self._seen[1], found, self.order, page)
        if self._live:
            drawn = drawn[: render.height() - 1]
            render.show_over([render.cut(line, page) for line in drawn], self._shown)
            self._shown = len(drawn)
        else:
            render.show(drawn)


def rates(before: Report, after: Report, seconds: float) -> dict[str, tuple[float, float]]:
    """Bytes a second that left and that came back, by workload."""
    known = {row.id: row.saved for row in before.workloads}
    return {
        row.id: (
            max(row.saved.out_bytes - known[row.id].out_bytes, 0) / max(seconds, 1e-3),
            max(row.saved.back_bytes - known[row.id].back_bytes, 0) / max(seconds, 1e-3),
        )
        for row in after.workloads
        if row.id in known
    }


def ordered(report: Report, found: Mapping[str, tuple[float, float]], order: str) -> list[Line]:
    """The most first; equals, and all of them by name, in the order of names."""
    made = []
    for row in sorted(report.workloads, key=lambda row: (row.name, row.id)):
        out, back = found.get(row.id, (None, None))
        made.append(Line(row=row, out_rate=out, back_rate=back))
    return sorted(made, key=lambda line: line.value(order), reverse=True)


def lines(report: Report, found: Sequence[Line], order: str, page: Page) -> list[str]:
    rows = [line.row for line in found]
    sums = {
        "in use": sum(row.usage_bytes for row in rows),
        "hot": sum(map(workload_rows.hot_bytes, rows)),
        "cold": sum(row.engine.idle_bytes for row in rows if row.engine),
        "saved": sum(row.saved.away_bytes for row in rows),
    }
    said = ", ".join(f"{human_bytes(size)} {word}" for word, size in sums.items())
    head = f"ebbtide {report.state} at {report.time[11:19]}: {status.counted(len(rows))}, {said}; by {order}"
    narrow = 0 < page.width < _ROOMY
    kept = [at for at, column in enumerate(COLUMNS) if not (narrow and column.title == "CLASS")]
    cells = [_cells(line) for line in found]
    table = render.table(page, [COLUMNS[at] for at in kept], [[row[at] for at in kept] for row in cells])
    return [*([page.paint(head, render.BOLD)] if page.legend else []), *table]


def _cells(line: Line) -> list[str]:
    row = replace(line.row, reason="")
    fields = [each.cell(row) for each in workload_rows.FIELDS[:8]]
    return [*fields, _rate(line.out_rate), _rate(line.back_rate)]


def _rate(rate: float | None) -> str:
    return "" if rate is None else human_bytes(int(rate))


def document(report: Report, found: Sequence[Line], order: str) -> dict[str, Any]:
    """One line of `-o json`: schema/top.schema.json."""
    rows = [
        {
            "id": line.row.id,
            "name": line.row.name,
            "class_name": line.row.class_name,
            "state": line.row.state,
            "usage_bytes": line.row.usage_bytes,
            "hot_bytes": workload_rows.hot_bytes(line.row) if line.row.engine else None,
            "cold_bytes": line.row.engine.idle_bytes if line.row.engine else None,
            "swap_bytes": line.row.swap_bytes,
            "saved_bytes": line.row.saved.away_bytes,
            "out_bytes_per_second": line.out_rate,
            "back_bytes_per_second": line.back_rate,
        }
        for line in found
    ]
    return {"version": 1, "time": report.time, "state": report.state, "order": order, "workloads": rows}
