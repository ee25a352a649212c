"""What was done and what came of it, by process: sums that the tables of `stats` show, kept a while after its end."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from reconciler.model import Identity

_KEPT_S = 600.0  # after the end of a process
_MOST_EVENTS = 256
_MOST_RECORDS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveRecord:
    """One move_pages call."""

    pid: int
    pages: int
    first: int  # address of the first page
    to: int
    result: int  # pages that did not get there
    on_other: int  # of those, pages that are known to be on another node
    errors: Mapping[int, int] = field(default_factory=dict)  # pages by errno

    def text(self) -> str:
        """One line in the layout of memtierd's `stats -lm`."""
        errors = " ".join(f"{code}:{pages}" for code, pages in sorted(self.errors.items()))
        return (
            f"move_pages(pid={self.pid}, pagecount={self.pages}, firstpage={self.first:x} dest={self.to}) => "
            f"(return={self.result} on_dest={self.pages - self.result} on_other={self.on_other} "
            f"[errno:pagecount]=map[{errors}])"
        )


@dataclass(slots=True)
class Figures:
    """Of one process, since it was adopted."""

    scans: int = 0
    pages: int = 0  # looked at
    accessed: int = 0  # pages of regions that were seen accessed
    written: int = 0
    seconds: float = 0.0
    last_pages: int = 0
    last_accessed: int = 0
    last_seconds: float = 0.0
    longest: float = 0.0
    advices: int = 0  # times that process_madvise was used
    advised: int = 0  # bytes that should leave
    left: int = 0  # bytes, verified
    called_back: int = 0  # bytes that should come back from swap
    came_back: int = 0  # bytes, verified
    calls: int = 0  # of move_pages
    requested: int = 0  # pages
    on_target: dict[int, int] = field(default_factory=dict)  # pages that came to each node
    errors: dict[int, int] = field(default_factory=dict)  # pages by errno
    last_move: MoveRecord | None = None
    last_error: MoveRecord | None = None

    def scanned(self, pages: int, accessed: int, seconds: float, written: int = 0) -> None:
        self.scans += 1
        self.pages += pages
        self.accessed += accessed
        self.written += written
        self.seconds += seconds
        self.last_pages, self.last_accessed, self.last_seconds = pages, accessed, seconds
        self.longest = max(self.longest, seconds)

    def paged_out(self, advised: int, left: int) -> None:
        self.advices += 1
        self.advised += advised
        self.left += left

    def brought_back(self, asked: int, came: int) -> None:
        self.advices += 1
        self.called_back += asked
        self.came_back += came

    def moved(self, record: MoveRecord) -> None:
        self.calls += 1
        self.requested += record.pages
        self.on_target = {**self.on_target, record.to: self.on_target.get(record.to, 0) + record.pages - record.result}
        self.last_move = record
        if record.errors:
            self.last_error = record
            merged = self.errors.keys() | record.errors.keys()
            self.errors = {code: self.errors.get(code, 0) + record.errors.get(code, 0) for code in merged}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    count: int
    first: float  # when, on the engine's clock
    latest: float


class Book:
    """The figures of everybody in one loop, and what happened in it. Readers on other threads get copies."""

    def __init__(self) -> None:
        self._figures: dict[int, tuple[Identity, Figures]] = {}
        self._seen: dict[int, float] = {}
        self._events: dict[str, Event] = {}
        self._records: deque[MoveRecord] = deque(maxlen=_MOST_RECORDS)
        self._recording = False

    def figures(self, identity: Identity, now: float) -> Figures:
        """Of this process; a new one for a pid that is somebody else now."""
        known = self._figures.get(identity[0])
        if known is None or known[0] != identity:
            known = identity, Figures()
            self._figures = {**self._figures, identity[0]: known}
        self._seen[identity[0]] = now
        return known[1]

    def prune(self, alive: Collection[int], now: float) -> None:
        """Forget processes that ended a while ago."""
        self._seen = {pid: now if pid in alive else seen for pid, seen in self._seen.items()}
        old = {pid for pid, seen in self._seen.items() if now - seen > _KEPT_S}
        if old:
            self._figures = {pid: each for pid, each in self._figures.items() if pid not in old}
            self._seen = {pid: seen for pid, seen in self._seen.items() if pid not in old}

    def all(self) -> dict[int, Figures]:
        return {pid: figures for pid, (_, figures) in self._figures.items()}

    def happened(self, name: str, now: float) -> None:
        """Count an event; names are words of ours or a kernel's error, and only so many are kept."""
        known = self._events.get(name)
        if known is None and len(self._events) >= _MOST_EVENTS:
            oldest = min(self._events, key=lambda each: self._events[each].latest)
            self._events = {each: event for each, event in self._events.items() if each != oldest}
        first = known.first if known else now
        self._events = {**self._events, name: Event(count=known.count + 1 if known else 1, first=first, latest=now)}

    def events(self) -> dict[str, Event]:
        return self._events

    # -- `stats -dump moves start|new|stop` --------------------------------------------------------------------------

    def record(self, move: MoveRecord) -> None:
        if self._recording:
            self._records.append(move)

    def start_recording(self) -> None:
        self._recording = True

    def stop_recording(self) -> None:
        self._recording = False
        self._records.clear()

    def new_records(self) -> list[MoveRecord]:
        """What was recorded since the last call; the newest ten thousand at most."""
        found = []
        while self._records:
            found.append(self._records.popleft())
        return found


class Books:
    """Those of several loops, read as one; of a process that two of them know the later one counts."""

    def __init__(self, books: Sequence[Book]) -> None:
        self._books = books

    def all(self) -> dict[int, Figures]:
        return {pid: figures for book in self._books for pid, figures in book.all().items()}

    def events(self) -> dict[str, Event]:
        found: dict[str, Event] = {}
        for name, event in (pair for book in self._books for pair in book.events().items()):
            known = found.get(name, event)
            count = event.count + (known.count if name in found else 0)
            first, latest = min(known.first, event.first), max(known.latest, event.latest)
            found[name] = Event(count=count, first=first, latest=latest)
        return found

    def start_recording(self) -> None:
        for book in self._books:
            book.start_recording()

    def stop_recording(self) -> None:
        for book in self._books:
            book.stop_recording()

    def new_records(self) -> list[MoveRecord]:
        return [record for book in self._books for record in book.new_records()]
