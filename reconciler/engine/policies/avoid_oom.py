"""The avoid-oom policy: before the nodes to which processes are bound run out, memory of others makes room there.

It needs no tracker. What it will do is planned once an interval from what is free then; between two intervals only the
brakes are asked again, because memory that is on its way is not free yet.
"""

import json
from collections.abc import Sequence

from reconciler.engine.policies import node_sets, relief
from reconciler.engine.policies.node_sets import NodeSet, Pressure
from reconciler.engine.policies.policy import Move, View
from reconciler.engine.policies.relief import Books
from reconciler.engineconfig import AvoidOomConfig, Watermark

USAGE = "dump config | nodes | status | balance | cands"
_GIB = 1 << 30
_MOST_LINES = 1000  # of candidates


class AvoidOom:
    resets = False
    locates = True

    def __init__(self, config: AvoidOomConfig) -> None:
        self._config = config
        self._in_need = frozenset[frozenset[int]]()
        self._planned: list[Move] = []
        self._candidates: relief.Candidates | None = None
        self._balance = "no pressure"
        self.note = ""

    def observe(self, view: View) -> None:
        sets = node_sets.of(view, self._config)
        needy = relief.needs(list(sets.values()), self._in_need)
        self._in_need = frozenset(each.nodes for each in needy)
        self._balance = _balance(list(sets.values()))
        self._plan(view, sets, needy)

    def moves(self, view: View) -> Sequence[Move]:
        return [move for move in self._planned if move.pid in view.seats] if view.moving else ()

    def dump(self, words: tuple[str, ...], view: View) -> str:
        match words:
            case ("config", *_):
                return self._dump_config()
            case ("nodes", *_):
                return _dump_nodes(view)
            case ("status", *_):
                return "online"
            case ("balance", *_):
                return "\n".join(filter(None, (self._balance, self.note)))
            case ("cands", *_):
                return self._dump_candidates(view.page_size)
        return USAGE

    def _plan(self, view: View, sets: dict[frozenset[int], NodeSet], needy: list[NodeSet]) -> None:
        books = Books(view=view, config=self._config, sets=sets)
        found = relief.candidates(view, frozenset(node for each in needy for node in each.nodes))
        reasons = [relief.relieve(found, each.nodes, books) for each in needy]
        self._planned, self._candidates = relief.moves(found), found
        self.note = "; ".join(filter(None, reasons))

    def _dump_config(self) -> str:
        config = {
            "StartFreeingMemory": _said(self._config.start),
            "StopFreeingMemory": _said(self._config.stop),
            "Cgroups": list(self._config.cgroups),
            "IntervalMs": self._config.interval_ms,
        }
        return json.dumps(config)

    def _dump_candidates(self, page_size: int) -> str:
        if self._candidates is None or not len(self._candidates.pid):
            return "no candidates"
        lines = list(relief.describe(self._candidates, page_size, _MOST_LINES))
        more = len(self._candidates.pid) - len(lines)
        return "\n".join([*lines, *([f"and {more} more"] if more else [])])


def _balance(sets: list[NodeSet]) -> str:
    """In memtierd's words."""
    found = set(node_sets.pressures(sets).values())
    if found <= {Pressure.NONE}:
        return "no pressure"
    if found == {Pressure.HIGH}:
        return "high pressure on all nodes"
    return "pressure on some nodes" if Pressure.NONE in found else "no low pressure nodes"


def _dump_nodes(view: View) -> str:
    return "\n".join(
        f"Node {node.number}: avail {node.free_bytes / _GIB:.3f}G/{node.total_bytes / _GIB:.3f}G "
        f"{100 * node.free_bytes / node.total_bytes:.1f} %"
        for node in node_sets.with_memory(view).values()
    )


def _said(mark: Watermark) -> str:
    return f"{mark.size_bytes}B" if mark.percent is None else f"{mark.percent:g}%"
