"""What `statactions` routines may ask of the engine, answered in memtierd's words. No shell, no child processes."""

from typing import Protocol

from reconciler.engine import accessed, stats
from reconciler.engine.accessed import AccessedTable
from reconciler.engine.processes import Figures
from reconciler.model import EngineTask


class Asked(Protocol):
    @property
    def task(self) -> EngineTask: ...

    @property
    def page_size(self) -> int: ...

    def accessed(self, limits: tuple[float, ...], pids: tuple[int, ...] = ()) -> AccessedTable: ...

    def figures(self) -> dict[int, Figures]: ...


def answer(command: tuple[str, ...], asked: Asked) -> str:
    match command:
        case ("policy", "-dump", "accessed", *rest):
            return _accessed(" ".join(rest).split(), asked)
        case ("policy", "-dump", *_):
            return accessed.USAGE
        case ("stats", *rest):
            return stats.tables(rest, asked.figures(), asked.page_size)
        case _:
            return f"unknown command {' '.join(command)!r}: policy -dump accessed TIMESPEC,TIMESPEC or stats expected"


def _accessed(arguments: list[str], asked: Asked) -> str:
    if not arguments:
        swapout_ms = asked.task.config.policy.swapout_ms
        said = f"using limits from configuration: active 0 ms, idle 0 ms, swapout {swapout_ms} ms\n"
        limits = (0.0, swapout_ms / 1000, 0.0) if swapout_ms else (0.0, 0.0)
        return said + asked.accessed(limits).text()
    try:
        pids = tuple(int(pid) for pid in ",".join(arguments[1:]).split(",") if pid)
        return asked.accessed(accessed.limits_of(arguments[0]), pids).text()
    except ValueError as error:
        return str(error)
