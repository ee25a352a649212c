"""`arange`: select, cut and filter address ranges of a process."""

from collections.abc import Iterator

from reconciler.engine import ranges
from reconciler.memtierd import memory, rangetext
from reconciler.memtierd.commands.command import Command, Wrong, no_words
from reconciler.memtierd.desk import Chosen, Desk
from reconciler.memtierd.flags import Flag, Given


def run(given: Given, desk: Desk) -> Iterator[str]:
    no_words(given)
    if "pid" in given:
        pid = given.number("pid")
        desk.chosen = Chosen(pid=pid, ranges=memory.own(desk, pid))
    if desk.chosen is None:
        raise Wrong("no address ranges are selected: -pid PID does")
    mine = desk.chosen.ranges
    if "split-length" in given:
        mine = ranges.split(mine, _length(given, "split-length") * desk.page_size)
    if "min-length" in given:
        mine = ranges.at_least(mine, _length(given, "min-length") * desk.page_size)
    desk.chosen = Chosen(pid=desk.chosen.pid, ranges=mine)
    if "ls" in given:
        yield from rangetext.lines(mine)
    yield f"selected address ranges: {len(mine[0])}"


def _length(given: Given, name: str) -> int:
    if not 0 < given.number(name) < 1 << 40:
        raise Wrong(f"-{name}: a length is a number of pages from 1 on")
    return given.number(name)


COMMAND = Command(
    name="arange",
    summary="select, cut and filter address ranges",
    run=run,
    flags=(
        Flag(name="pid", value="PID", number=True, text="select the ranges of this process"),
        Flag(name="ls", text="list them"),
        Flag(name="split-length", value="PAGES", number=True, text="cut longer ranges into pieces of so many pages"),
        Flag(name="min-length", value="PAGES", number=True, text="leave out ranges of fewer pages"),
    ),
)
