"""Workloads as rows of a table, in `status` and `top`: columns come and go with what is known and how much room is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from reconciler.cli import render
from reconciler.cli.render import Column, Page
from reconciler.quantities import human_bytes
from reconciler.report import WorkloadReport

ROOMY = 110  # columns: reasons and memory nodes have a place beside the figures
REASON_COLORS = {"brake": render.YELLOW, "error": render.RED}
GIB_HOUR = (1 << 30) * 3600

Cell = Callable[[WorkloadReport], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    column: Column
    cell: Cell
    wide: bool = False  # only with -o wide
    roomy: bool = False  # only where there is room
    if_any: bool = False  # only if some row has something to say


def reason(row: WorkloadReport) -> str:
    """Why it is in this state, and why its loop does not page out although all settings are as wanted."""
    stopped = [f"{word}: {why}" for word in ("error", "brake") if row.engine and (why := getattr(row.engine, word))]
    return "; ".join([*filter(None, [row.reason]), *stopped])


def on_nodes(row: WorkloadReport) -> list[tuple[int, int]]:
    """Memory nodes and bytes there: of what its loop looks at, if that counts them, or of the whole cgroup."""
    found = (row.engine.node_bytes if row.engine else {}) or row.node_bytes
    return sorted((int(node), size) for node, size in found.items())


def _nodes(row: WorkloadReport) -> str:
    return " ".join(f"{node}:{human_bytes(size)}" for node, size in on_nodes(row))


def _of_cgroup(attribute: str) -> Cell:
    return lambda row: human_bytes(getattr(row, attribute)) if row.cgroup else ""


def _of_engine(attribute: str) -> Cell:
    return lambda row: human_bytes(getattr(row.engine, attribute)) if row.engine else ""


def _saved(attribute: str) -> Cell:
    """Of those that have an account: everybody whom a class has ever moved something for."""
    return lambda row: human_bytes(getattr(row.saved, attribute)) if row.saved.since else ""


def hot_bytes(row: WorkloadReport) -> int:
    return max(row.engine.tracked_bytes - row.engine.idle_bytes, 0) if row.engine else 0


def _hot(row: WorkloadReport) -> str:
    return human_bytes(hot_bytes(row)) if row.engine else ""


def would_bytes(row: WorkloadReport) -> int:
    """What the class that would save most would save."""
    return max((each.bytes for each in row.would), default=0)


def _would(row: WorkloadReport) -> str:
    return human_bytes(would_bytes(row)) if row.would else ""


def gib_hours(byte_seconds: float) -> str:
    hours = byte_seconds / GIB_HOUR
    return f"{hours:.1f}" if hours >= 1 else f"{hours:.2g}"


def _right(title: str) -> Column:
    return Column(title=title, right=True)


FIELDS = (
    Field(column=Column(title="WORKLOAD", shrinks=True), cell=lambda row: row.name),
    Field(column=Column(title="CLASS", shrinks=True), cell=lambda row: row.class_name),
    Field(column=Column(title="STATE", colors=render.STATE_COLORS), cell=lambda row: row.state),
    Field(column=_right("USAGE"), cell=_of_cgroup("usage_bytes")),
    Field(column=_right("HOT"), cell=_hot),
    Field(column=_right("COLD"), cell=_of_engine("idle_bytes")),
    Field(column=_right("SWAP"), cell=_of_cgroup("swap_bytes")),
    Field(column=_right("SAVED"), cell=_saved("away_bytes")),
    Field(column=_right("WOULD"), cell=_would, if_any=True),
    Field(column=Column(title="NODES"), cell=_nodes, if_any=True, roomy=True),
    Field(column=_right("GIB-HOURS"), cell=lambda row: gib_hours(row.saved.byte_seconds), wide=True),
    Field(column=_right("OUT"), cell=_saved("out_bytes"), wide=True),
    Field(column=_right("BACK"), cell=_saved("back_bytes"), wide=True),
    Field(column=_right("BROUGHT"), cell=_saved("brought_bytes"), wide=True),
    Field(column=_right("MOVED"), cell=_saved("moved_bytes"), wide=True),
    Field(column=Column(title="TRACKER"), cell=lambda row: row.engine.tracker if row.engine else "", wide=True),
    Field(column=Column(title="ID"), cell=lambda row: row.id[:12], wide=True),
    Field(column=Column(title="REASON", shrinks=True, colors=REASON_COLORS), cell=reason, roomy=True),
)


def fields(page: Page, rows: Sequence[WorkloadReport], *, wide: bool = False) -> tuple[Field, ...]:
    roomy = roomy_page(page)
    return tuple(
        each
        for each in FIELDS
        if (wide or not each.wide)
        and (wide or roomy or not each.roomy)
        and (not each.if_any or any(each.cell(row) for row in rows))
    )


def roomy_page(page: Page) -> bool:
    return not page.width or page.width >= ROOMY


def table(page: Page, rows: Sequence[WorkloadReport], *, wide: bool = False) -> list[str]:
    chosen = fields(page, rows, wide=wide)
    cells = [[each.cell(row) for each in chosen] for row in rows]
    return render.table(page, [each.column for each in chosen], cells)
