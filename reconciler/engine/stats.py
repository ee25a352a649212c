"""memtierd's `stats` tables on our figures: page-out (verified, where memtierd counts what was asked) and scans."""

from collections.abc import Callable, Mapping, Sequence

from reconciler.engine.processes import Figures

_G = 1 << 30


def tables(arguments: Sequence[str], figures: Mapping[int, Figures], page: int) -> str:
    """Of `-t TABLE[,TABLE]`, all without; each table has a line with its name and one with its columns."""
    names = arguments[1].split(",") if len(arguments) > 1 and arguments[0] == "-t" else list(_TABLES)
    return "\n\n".join(_TABLES[name](figures, page) if name in _TABLES else _unknown(name) for name in names)


def _unknown(name: str) -> str:
    return f'unknown table "{name}", available: ' + ", ".join(f'"{known}"' for known in _TABLES)


def _madvise(figures: Mapping[int, Figures], page: int) -> str:
    head = f"{'pid':>8} {'calls':>8} {'req[pages]':>10} {'ok[pages]':>10} {'ok[G]':>8} PAGEOUT[G]"
    rows = [
        f"{pid:8d} {f.moves:8d} {f.advised // page:10d} {f.left // page:10d} {f.left / _G:8.3f} {f.advised / _G:.3f}"
        for pid, f in sorted(figures.items())
        if f.moves
    ]
    return "\n".join(["table: process_madvise syscalls", head, *rows])


def _scans(figures: Mapping[int, Figures], page: int) -> str:
    head = (
        f"{'pid':>8} {'scans':>8} {'tot[pages]':>12} {'avg[s]':>6} {'last':>6} {'max[s]':>6} "
        f"{'avg[G]':>8} {'last[G]':>8} {'a+w[%]':>5} {'last':>5}"
    )
    rows = [_scan_row(pid, f, page) for pid, f in sorted(figures.items()) if f.scans]
    return "\n".join(["table: memory scans", head, *rows])


def _scan_row(pid: int, f: Figures, page: int) -> str:
    return (
        f"{pid:8d} {f.scans:8d} {f.pages:12d} {f.seconds / f.scans:6.3f} {f.last_seconds:6.3f} {f.longest:6.3f} "
        f"{f.pages * page / f.scans / _G:8.3f} {f.last_pages * page / _G:8.3f} "
        f"{100 * f.accessed / max(f.pages, 1):5.2f} {100 * f.last_accessed / max(f.last_pages, 1):5.2f}"
    )


_TABLES: Mapping[str, Callable[[Mapping[int, Figures], int], str]] = {
    "process_madvise": _madvise,
    "memory_scans": _scans,
}
