"""Several trackers as one: each looks at its own interval, what they count is added up, region by region.

All look at the same regions, so nothing overlaps. A tracker whose turn it is not has not seen memory become idle: what
it did not see idle when it looked last, new memory for one, is in use until it looks again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from reconciler.engine.processes import Process
from reconciler.engine.regions import Addresses
from reconciler.engine.ticker import Ticker
from reconciler.engine.trackers.tracker import Means, Seen, Tracker, nothing
from reconciler.report import AgeBin


@dataclass(slots=True)
class _Child:
    tracker: Tracker
    turn: Ticker
    idle: dict[int, Addresses] = field(default_factory=dict)  # by pid: starts of regions of which it saw no use last


class Multi:
    def __init__(self, means: Means) -> None:
        self._clock, self._children = means.clock, list[_Child]()
        self._round: list[_Child] | None = None  # whose turn it is
        try:
            for config in means.config.trackers:
                tracker = means.makers[config.name](replace(means, config=config))
                self._children.append(_Child(tracker, Ticker(config.scan_interval_ms / 1000, means.clock())))
        except BaseException:
            self.close()
            raise

    @property
    def note(self) -> str:
        return "; ".join(dict.fromkeys(filter(None, (child.tracker.note for child in self._children))))

    def roster(self, known: Mapping[int, Process]) -> None:
        for child in self._children:
            child.tracker.roster(known)
            child.idle = {pid: starts for pid, starts in child.idle.items() if pid in known}

    def begin(self, known: Process) -> None:
        for child in self._children:
            child.tracker.begin(known)
            child.idle.pop(known.pid, None)  # who has not looked yet knows of nothing idle

    def look(self, known: Process) -> Seen:
        held, all_seen = np.zeros(len(known.regions), np.bool_), list[Seen]()
        turn = self._begun()
        for child in self._children:
            if child in turn:
                seen = child.tracker.look(known)
                child.idle[known.pid] = known.regions["start"][~seen.accessed]
                all_seen.append(seen)
            else:
                held |= ~np.isin(known.regions["start"], child.idle.get(known.pid, known.regions["start"][:0]))
        return replace(_total(all_seen, len(held)), held=held)

    def finish(self) -> None:
        for child in self._begun():
            child.tracker.finish()
            child.turn.take(self._clock())
        self._round = None

    def amounts(self) -> tuple[AgeBin, ...]:
        return tuple(each for child in self._children for each in child.tracker.amounts())

    def close(self) -> None:
        for child in self._children:
            child.tracker.close()

    def _begun(self) -> list[_Child]:
        """Whose turn it is: decided once for all processes of a round."""
        if self._round is None:
            now = self._clock()
            self._round = [child for child in self._children if now >= child.turn.due]
        return self._round


def _total(all_seen: list[Seen], rows: int) -> Seen:
    """Counts added up. One vouches for idle time only if all do, and then for the least of it."""
    total = Seen(accesses=nothing(rows), writes=nothing(rows))
    for seen in all_seen:
        total = Seen(accesses=total.accesses + seen.accesses, writes=total.writes + seen.writes)
    vouched = [seen.unused for seen in all_seen if seen.unused is not None]
    if not vouched or len(vouched) < len(all_seen):
        return total
    return replace(total, unused=np.minimum.reduce(vouched))
