"""memtierd's `stats`: its tables, its csv, and the text that it prints without -t.

Where memtierd counts what was asked, columns named `ok` and `moved` count what was seen to have moved. Names of events
and errors are data: they never meet a format string.
"""

import csv
import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from reconciler.engine.figures import Book, Books, Figures

_M, _G = 1 << 20, 1 << 30
Value = int | float | str
USAGE = "stats [-t TABLE[,TABLE]] [-f txt|csv] | -lm PID | -le PID | -dump moves start|new|stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    title: str
    width: int = 0
    places: int = 3  # after the point


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    title: str
    columns: tuple[_Column, ...]
    rows: Callable[["_Asked"], Iterator[tuple[Value, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    book: Book | Books
    page: int  # bytes
    now: float

    def figures(self) -> list[tuple[int, Figures]]:
        return sorted(self.book.all().items())


def answer(words: Sequence[str], book: Book | Books, page: int, now: float) -> str:
    """What `stats WORDS` prints; `now` is on the clock of the book's events."""
    asked, options = _Asked(book=book, page=page, now=now), list(words)
    match options:
        case ["-lm" | "-le" as which, pid]:
            return _last(book, which, pid)
        case ["-dump", "moves", verb]:
            return _recorded(book, verb)
        case []:
            return _text(asked)
    chosen = dict(zip(options[::2], options[1::2], strict=False))
    if len(options) % 2 or set(options[::2]) - {"-t", "-f"}:
        return f"{' '.join(words)!r} is not understood: {USAGE}"
    form = chosen.get("-f", "txt")
    if form not in _FORMS:
        return f'unknown format "{form}", available: "csv", "txt"'
    names = chosen["-t"].split(",") if "-t" in chosen else list(_TABLES)
    return "\n\n".join(_FORMS[form](_TABLES[name], asked) if name in _TABLES else _unknown(name) for name in names)


def document(book: Book | Books, page: int, now: float) -> dict[str, Any]:
    """The same for programs: pages are `page` bytes, times seconds ago."""
    asked = _Asked(book=book, page=page, now=now)
    events = {
        name: {"count": each.count, "first_s": round(now - each.first, 3), "latest_s": round(now - each.latest, 3)}
        for name, each in sorted(book.events().items())
    }
    processes = [{"pid": pid, **_figures(figures)} for pid, figures in asked.figures()]
    return {"page_bytes": page, "processes": processes, "events": events, "text": answer((), book, page, now)}


def _figures(figures: Figures) -> dict[str, Any]:
    """Without the last move and the last error, which `-lm` and `-le` are for; keys as JSON has them."""
    found = {key: value for key, value in asdict(figures).items() if not key.startswith("last_")}
    found["on_target"] = {str(node): pages for node, pages in figures.on_target.items()}
    found["errors"] = {os.strerror(code): pages for code, pages in figures.errors.items()}
    names = {"left": "left_bytes", "advised": "advised_bytes", "called_back": "called_back_bytes"}
    names["came_back"] = "came_back_bytes"
    return {names.get(key, key): value for key, value in found.items()}


def _unknown(name: str) -> str:
    return f'unknown table "{name}", available: ' + ", ".join(f'"{known}"' for known in _TABLES)


def _last(book: Book | Books, which: str, pid: str) -> str:
    figures = book.all().get(int(pid)) if pid.isdigit() else None
    record = figures and (figures.last_move if which == "-lm" else figures.last_error)
    return record.text() if record else f"no move{'' if which == '-lm' else ' with errors'} of pid {pid}"


def _recorded(book: Book | Books, verb: str) -> str:
    match verb:
        case "start":
            book.start_recording()
            return "recording moves"
        case "new":
            return "\n".join(record.text() for record in book.new_records())
        case "stop":
            book.stop_recording()
            return "recording of moves has ended"
        case _:
            return f"{verb!r} is not understood: stats -dump moves start|new|stop"


# -- tables ----------------------------------------------------------------------------------------------------------


def _plain(table: _Table, asked: _Asked) -> str:
    head = " ".join(f"{column.title:>{column.width or 1}}" for column in table.columns)
    rows = [
        " ".join(_cell(value, column) for value, column in zip(row, table.columns, strict=True))
        for row in table.rows(asked)
    ]
    return "\n".join([f"table: {table.title}", head, *rows])


def _cell(value: Value, column: _Column) -> str:
    text = f"{value:.{column.places}f}" if isinstance(value, float) else str(value)
    return text.rjust(column.width)


def _csv(table: _Table, asked: _Asked) -> str:
    """As many fields in every line as there are columns; the line with the table's name stands above."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.title for column in table.columns])
    for row in table.rows(asked):
        writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in row])
    return f"table: {table.title}\n{out.getvalue().rstrip()}"


_FORMS: Mapping[str, Callable[[_Table, _Asked], str]] = {"txt": _plain, "csv": _csv}


def _events(asked: _Asked) -> Iterator[tuple[Value, ...]]:
    events = asked.book.events()
    for name, event in sorted(events.items(), key=lambda pair: (-pair[1].count, pair[0])):
        between = (event.latest - event.first) / (event.count - 1) if event.count > 1 else 0.0
        yield event.count, between, float(asked.now - event.latest), name


def _madvise(asked: _Asked) -> Iterator[tuple[Value, ...]]:
    for pid, f in asked.figures():
        if f.advices:
            wanted, done = f.advised + f.called_back, f.left + f.came_back
            yield pid, f.advices, wanted // asked.page, done // asked.page, done / _G, f.advised / _G


def _moves(asked: _Asked) -> Iterator[tuple[Value, ...]]:
    for pid, f in asked.figures():
        if f.calls:
            moved = sum(f.on_target.values())
            nodes = ";".join(f"{node}:{pages * asked.page / _G:.3f}" for node, pages in sorted(f.on_target.items()))
            yield pid, f.calls, f.requested, moved, moved * asked.page / _G, nodes


def _errors(asked: _Asked) -> Iterator[tuple[Value, ...]]:
    for pid, f in asked.figures():
        for code, pages in sorted(f.errors.items()):
            yield pid, pages, pages * asked.page / _G, code, os.strerror(code)


def _scans(asked: _Asked) -> Iterator[tuple[Value, ...]]:
    for pid, f in asked.figures():
        if f.scans:
            sizes = f.pages * asked.page / f.scans / _G, f.last_pages * asked.page / _G
            shares = 100 * f.accessed / max(f.pages, 1), 100 * f.last_accessed / max(f.last_pages, 1)
            yield pid, f.scans, f.pages, f.seconds / f.scans, f.last_seconds, f.longest, *sizes, *shares


_PID = _Column(title="pid", width=8)
_TABLES: Mapping[str, _Table] = {
    "events": _Table(
        title="events",
        columns=(
            _Column(title="count", width=8),
            _Column(title="timeint[s]", width=10, places=6),
            _Column(title="latest[s ago]", width=13, places=6),
            _Column(title="name"),
        ),
        rows=_events,
    ),
    "process_madvise": _Table(
        title="process_madvise syscalls",
        columns=(
            _PID,
            _Column(title="calls", width=8),
            _Column(title="req[pages]", width=10),
            _Column(title="ok[pages]", width=10),
            _Column(title="ok[G]", width=8),
            _Column(title="PAGEOUT[G]"),
        ),
        rows=_madvise,
    ),
    "move_pages": _Table(
        title="move_pages syscalls",
        columns=(
            _PID,
            _Column(title="calls", width=8),
            _Column(title="req[pages]", width=10),
            _Column(title="ok[pages]", width=10),
            _Column(title="moved[G]", width=8),
            _Column(title="targetnode:moved[G]"),
        ),
        rows=_moves,
    ),
    "move_pages_errors": _Table(
        title="move_pages syscall errors in page statuses",
        columns=(
            _PID,
            _Column(title="pages", width=8),
            _Column(title="size[G]", width=8),
            _Column(title="errno", width=6),
            _Column(title="error"),
        ),
        rows=_errors,
    ),
    "memory_scans": _Table(
        title="memory scans",
        columns=(
            _PID,
            _Column(title="scans", width=8),
            _Column(title="tot[pages]", width=12),
            _Column(title="avg[s]", width=6),
            _Column(title="last", width=6),
            _Column(title="max[s]", width=6),
            _Column(title="avg[G]", width=8),
            _Column(title="last[G]", width=8),
            _Column(title="a+w[%]", width=6, places=2),
            _Column(title="last", width=5, places=2),
        ),
        rows=_scans,
    ),
}


# -- without -t ------------------------------------------------------------------------------------------------------


def _text(asked: _Asked) -> str:
    parts = [part for pid, figures in asked.figures() for part in _of_process(pid, figures, asked.page)]
    return "\n".join(parts)


def _of_process(pid: int, f: Figures, page: int) -> Iterator[str]:
    if f.advices:
        yield f"process_madvise on pid: {pid}"
        yield f"    calls: {f.advices}"
        for name, asked, done in (("paged out", f.advised, f.left), ("brought back", f.called_back, f.came_back)):
            if asked:
                yield f"    {name}: {_pages(done // page, page)} of {_pages(asked // page, page)}"
    if f.calls:
        yield f"move_pages on pid: {pid}"
        yield f"    calls: {f.calls}"
        yield f"    requested: {_pages(f.requested, page)}"
        yield f"    on target: {_pages(sum(f.on_target.values()), page)}"
        yield from (f"        to node {node}: {_pages(n, page)}" for node, n in sorted(f.on_target.items()))
        yield f"    errors: {_pages(sum(f.errors.values()), page)}"
    if f.scans:
        yield f"memory scans on pid: {pid}"
        yield f"    scans: {f.scans}"
        yield f"    scan time: {f.seconds * 1000:.0f} ms ({f.seconds * 1000 / f.scans:.0f} ms/scan)"
        for name, pages in (("scanned", f.pages), ("accessed", f.accessed), ("written", f.written)):
            each = pages // f.scans
            yield f"    {name}: {pages} pages ({each} pages/scan, {each * page // _M} MB/scan)"


def _pages(number: int, page: int) -> str:
    return f"{number} pages ({number * page // _M} MB)"
