"""The heat policy: memory goes to the nodes of its heat class.

Every interval, what the tracker counted warms the heat map, and time cools it (reconciler/engine/heatmap.py). The
heats, or what a forecaster makes of them, put each region into a class, and each class has a list of nodes, of which
any will do; SWAP in a list is its last resort. Classes without a list stay where they are, and so does what is on a
listed node.

The hottest memory is given room first, and the memory of the hotter half of the classes moves before all else; the
coldest goes to swap first. Memory whose class wants a node comes back from swap, but nothing of the coldest class:
nobody uses it, and if it was not us who sent it there, the kernel needed its room.

Between two decisions heats only rise: what is accessed while it waits to leave stays.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import heatmap
from reconciler.engine.forecasters.forecaster import Forecaster
from reconciler.engine.heatmap import Degrees, Heats, Ranges
from reconciler.engine.policies import heatgram, quota
from reconciler.engine.policies.age import retried
from reconciler.engine.policies.policy import BACK, TO_SWAP, Kinds, Move, Seat, View
from reconciler.engine.regions import Regions, ends
from reconciler.engineconfig import SWAP, HeatConfig, HeatmapConfig

Mask = NDArray[np.bool_]
Pages = NDArray[np.int64]
Rows = NDArray[np.void]  # of _ROW
_DECISECOND = 100_000_000  # nanoseconds
_LAST = np.uint32(0xFFFFFFFF)
_ROW = np.dtype([("pid", np.int64), ("row", np.int64), ("heat", np.float64), ("size", np.int64)])
USAGE = "dump forecast [WORDS] | heatmap | heatgram [CLASSES] | numa"


class Heat:
    resets = locates = True

    def __init__(self, config: HeatConfig, forecaster: Forecaster | None = None, epoch_ns: int = 0) -> None:
        """`epoch_ns`: when the engine started, in nanoseconds since 1970, for times that people and programs see."""
        self._config, self._forecaster, self._epoch = config, forecaster, epoch_ns
        self._heats: Heats = {}  # replaced as a whole: others read it
        self._chosen: Heats = {}  # what this round's moves are decided from
        self._observed = -1
        self.note = ""

    def observe(self, view: View) -> None:
        now = self._epoch + view.now * _DECISECOND
        self._heats = {pid: self._counted(pid, seat, view, now) for pid, seat in view.seats.items()}
        self._chosen, self._observed = self._heats, view.now
        if self._forecaster is not None:
            forecast = self._forecaster.forecast(self._heats)
            self._chosen = self._heats if forecast is None else forecast
            self.note = self._forecaster.note

    def _counted(self, pid: int, seat: Seat, view: View, now: int) -> Ranges:
        config, new = self._config.heatmap, _as_ranges(seat.regions, now, self._config.heatmap)
        ranges = heatmap.update(self._heats.get(pid, new[:0]), new, config, view.page_size)
        return heatmap.joined(heatmap.inside(ranges, new, view.page_size), new, config, view.page_size)

    def moves(self, view: View) -> Sequence[Move]:
        stands = {pid: self._stand(pid, seat, view) for pid, seat in view.seats.items()}
        decision = _Decision(
            config=self._config.heatmap,
            view=view,
            stands=stands,
            rooms=quota.rooms(self._config.node_sizes, view),
            homeless={pid: np.zeros(len(stand.heat), np.bool_) for pid, stand in stands.items()},
        )
        found = list[Move]()
        for heat_class, nodes in sorted(self._config.nodes, reverse=True):
            found += decision.to_nodes(heat_class, nodes)
            found += decision.back(heat_class, nodes)
        for heat_class, nodes in sorted(self._config.nodes):
            found += decision.to_swap(heat_class, nodes)
        return found

    def _stand(self, pid: int, seat: Seat, view: View) -> "_Stand":
        config, regions = self._config.heatmap, seat.regions
        mine = _as_ranges(regions, 0, config)
        heat = heatmap.of(mine, self._chosen.get(pid, mine[:0]), view.page_size)
        if view.now > self._observed:  # counted since the decision
            heat = heat + mine["heat"]
        heat = np.minimum(heat, config.heat_max)
        return _Stand(pid=pid, seat=seat, heat=heat, heat_class=heatmap.classes(heat, config))

    def dump(self, words: tuple[str, ...], view: View) -> str:
        """`forecast [WORDS]`, `heatmap`, `heatgram [CLASSES]` or `numa`, as memtierd prints them."""
        match words:
            case ("forecast", *rest):
                return "no forecaster" if self._forecaster is None else self._forecaster.dump(tuple(rest))
            case ("heatmap", *_):
                return heatgram.heatmap_text(self._heats, self._config.heatmap, view.page_size)
            case ("heatgram", *rest):
                return heatgram.dump(rest, self._heats, self._config.heatmap, view.page_size)
            case ("numa", *_):
                return heatgram.numa(view, self._config.node_sizes)
            case _:
                return USAGE


def _as_ranges(regions: Regions, now: int, config: HeatmapConfig) -> Ranges:
    seen = regions["accesses"].astype(np.int64) + regions["writes"]
    return heatmap.counted(regions["start"], regions["pages"], seen, now, config.heat_max)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stand:
    """A process, and how hot its regions are."""

    pid: int
    seat: Seat
    heat: Degrees  # NaN = nobody knows
    heat_class: Pages

    def rows(self, mask: Mask, pages: Pages, page_size: int) -> Rows:
        result = np.empty(int(mask.sum()), _ROW)
        result["pid"], result["row"] = self.pid, np.flatnonzero(mask)
        result["heat"], result["size"] = self.heat[mask], pages[mask] * page_size
        return result

    def ready(self, heat_class: int, kinds: Kinds, turn: int) -> Mask:
        """Regions of the class that may move in this turn."""
        regions = self.seat.regions
        allowed: Mask = (self.heat_class == heat_class) & np.isin(regions["kind"], sorted(kinds))
        return allowed & retried(regions, turn)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """One round over all processes: quotas are shared by them."""

    config: HeatmapConfig
    view: View
    stands: Mapping[int, _Stand]
    rooms: quota.Rooms
    homeless: Mapping[int, Mask]  # by pid: regions that found no room on their nodes

    def to_nodes(self, heat_class: int, listed: tuple[int, ...]) -> Iterator[Move]:
        """What is not on any of the listed nodes, to those that have room."""
        groups = defaultdict[tuple[int, ...], list[Rows]](list)
        for nodes, stand in self._movable(listed):
            wanted = stand.ready(heat_class, self.view.moving, self.view.turn) & (self._elsewhere(stand, listed) > 0)
            self.homeless[stand.pid][wanted] = True
            groups[nodes].append(stand.rows(wanted, self._elsewhere(stand, nodes), self.view.page_size))
        for nodes, tables in groups.items():
            for to, rows in self._shared(nodes, _hottest_first(tables)):
                for pid, mine in _by_process(rows):
                    self.homeless[pid][mine["row"]] = False
                    yield self._move(pid, mine, to, heat_class)

    def back(self, heat_class: int, listed: tuple[int, ...]) -> Iterator[Move]:
        """What is in swap and should not be, as far as its nodes have room; a later round moves it to one of them."""
        if heat_class == 0 or SWAP in listed:
            return
        groups = defaultdict[tuple[int, ...], list[Rows]](list)
        for nodes, stand in self._movable(listed):
            swapped = stand.seat.regions["swapped"].astype(np.int64)
            wanted = stand.ready(heat_class, self.view.moving, self.view.turn) & (swapped > 0)
            groups[nodes].append(stand.rows(wanted, swapped, self.view.page_size))
        for nodes, tables in groups.items():
            for _, rows in self._shared(nodes, _hottest_first(tables)):
                for pid, mine in _by_process(rows):
                    yield self._move(pid, mine, BACK, heat_class)

    def to_swap(self, heat_class: int, listed: tuple[int, ...]) -> Iterator[Move]:
        """Everything if the list is SWAP alone, else what is on no listed node and found no room on one."""
        if SWAP not in listed:
            return
        tables, movable = [], {stand.pid for _, stand in self._movable(listed)}
        for stand in self.stands.values():
            present = stand.seat.regions["present"].astype(np.int64)
            wanted = stand.ready(heat_class, self.view.leaving, self.view.turn) & (present > 0)
            if stand.pid in movable:
                wanted &= self.homeless[stand.pid] & (self._pages_on(stand, listed) == 0)
            tables.append(stand.rows(wanted, present, self.view.page_size))
        for _, rows in self._shared(TO_SWAP, _coldest_first(tables)):
            for pid, mine in _by_process(rows):
                yield self._move(pid, mine, TO_SWAP, heat_class)

    def _movable(self, listed: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], _Stand]]:
        """Processes with the listed memory nodes that this machine has and that they may use, if there are any."""
        present = {room.number for room in self.view.nodes}
        for stand in self.stands.values():
            allowed = present & (stand.seat.allowed or present)
            if nodes := tuple(node for node in listed if node in allowed):
                yield nodes, stand

    def _pages_on(self, stand: _Stand, nodes: tuple[int, ...]) -> Pages:
        """As far as anybody knows."""
        if stand.seat.on_node is None:
            return np.zeros(len(stand.heat), np.int64)
        columns = [i for i, room in enumerate(self.view.nodes) if room.number in nodes]
        result: Pages = stand.seat.on_node[:, columns].sum(axis=1)
        return result

    def _elsewhere(self, stand: _Stand, nodes: tuple[int, ...]) -> Pages:
        return self._pages_on(stand, tuple(room.number for room in self.view.nodes if room.number not in nodes))

    def _shared(self, nodes: tuple[int, ...], rows: Rows) -> Iterator[tuple[tuple[int, ...], Rows]]:
        for to, part in self.rooms.share(nodes, rows["size"]):
            yield to, rows[part]

    def _move(self, pid: int, rows: Rows, to: tuple[int, ...], heat_class: int) -> Move:
        regions = self.stands[pid].seat.regions[rows["row"]]
        urgency = 0 if to != TO_SWAP and 2 * heat_class >= self.config.classes else 1
        level = np.round(rows["heat"] / self.config.heat_max * _LAST).astype(np.uint32)
        return Move(
            pid=pid,
            start=regions["start"],
            end=ends(regions, self.view.page_size),
            size=rows["size"],
            order=level if urgency else _LAST - level,
            to=to,
            urgency=urgency,
        )


def _coldest_first(tables: Sequence[Rows]) -> Rows:
    rows = np.concatenate([np.empty(0, _ROW), *tables])
    result: Rows = rows[np.argsort(rows["heat"], kind="stable")]
    return result


def _hottest_first(tables: Sequence[Rows]) -> Rows:
    rows = np.concatenate([np.empty(0, _ROW), *tables])
    result: Rows = rows[np.argsort(-rows["heat"], kind="stable")]
    return result


def _by_process(rows: Rows) -> Iterator[tuple[int, Rows]]:
    for pid in np.unique(rows["pid"]).tolist():
        yield pid, rows[rows["pid"] == pid]
