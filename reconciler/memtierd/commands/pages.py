"""`pages`: select pages of a process and say where they are; look at single page frames."""

from collections import Counter
from collections.abc import Iterator

from reconciler.engine import ranges
from reconciler.engine.ranges import Ranges
from reconciler.memtierd import memory, rangetext
from reconciler.memtierd.commands.command import Command, Wrong, no_words
from reconciler.memtierd.desk import Chosen, Desk, Pages
from reconciler.memtierd.flags import Flag, Given
from sysfs import kpageflags, page_idle, pagemap
from sysfs.move_pages import MovePages

_MOST_FRAME = 1 << 52
_SHOWN = (55, 56, 57, 61, 62, 63)  # bits of a pagemap entry, in the order of the heading
_BITS = "bits: softdirty, exclusive, uffd_wp, file, swap, present"


def run(given: Given, desk: Desk) -> Iterator[str]:
    no_words(given)
    if not given.values:
        yield from _where(desk)
    elif given.any_of("pi", "si", "pk"):
        yield from _frame(given, desk)
    else:
        yield from _select(given, desk)


def _where(desk: Desk) -> Iterator[str]:
    """On which nodes the selected pages are now."""
    if desk.pages is None:
        raise Wrong("no pages are selected: `pages -pid PID` does")
    counts = Counter[int]()
    where = MovePages(desk.pages.pid)
    for addresses in memory.expanded(desk.pages.ranges, desk.page_size):
        counts.update(where.locate(addresses).tolist())
    yield f"pages of pid {desk.pages.pid}"
    yield from (f"node {node}: {counts[node]}" for node in sorted(counts) if node >= 0)


def _frame(given: Given, desk: Desk) -> Iterator[str]:
    tree = desk.host.tree
    for name in ("pi", "si", "pk"):
        if name in given and not 0 <= given.number(name) < _MOST_FRAME:
            raise Wrong(f"-{name}: {given.number(name)} is no page frame number")
    if "pi" in given:
        idle = page_idle.is_idle(tree, given.number("pi"))
        yield f"PFN {given.number('pi')} idle: {str(idle).lower()}"
    if "si" in given:
        if reason := desk.host.marking():
            raise Wrong(reason)
        page_idle.mark_one(tree, given.number("si"))
    if "pk" in given:
        for name, value in kpageflags.named(kpageflags.flags(tree, given.number("pk"))):
            yield f"{name:<13} {value}"


def _select(given: Given, desk: Desk) -> Iterator[str]:
    pid, which = _whose(given, desk), memory.wanted(given.parts("attrs") or memory.USUAL)
    yield f"searching for address ranges of pid {pid}"
    mine = memory.own(desk, pid)
    yield f"found {len(mine[0])} address ranges"
    if "pid" not in given and desk.chosen is not None:
        mine = ranges.within(desk.chosen.ranges, mine)
    if "ranges" in given:
        mine = memory.selected(desk, mine, given.parts("ranges"))
    if "ranges" in given or "pid" not in given:
        yield f"using {len(mine[0])} address ranges"
    if not len(mine[0]):
        raise Wrong(memory.NO_RANGES)
    if "pm" in given:
        yield from _entries(desk, pid, mine, given.number("pm"))
        return
    desk.chosen = Chosen(pid=pid, ranges=mine)
    yield f"aranges = <{len(mine[0])} address ranges of pid {pid}>"
    if "pr" in given:
        yield from rangetext.lines((mine[0][: given.number("pr")], mine[1][: given.number("pr")]))
        return
    found = memory.pages(desk, pid, mine, which)
    if "node" in given:
        found = memory.gathered(_on_node(desk, pid, found, given.number("node")))
    yield f"pages = <{ranges.size(found) // desk.page_size} pages of pid {pid}>"
    desk.pages = Pages(pid=pid, ranges=found)


def _whose(given: Given, desk: Desk) -> int:
    """Without -pid it is about the ranges that were selected before."""
    if "pid" in given:
        return given.number("pid")
    if desk.chosen is None:
        raise Wrong("which process? -pid PID, or select address ranges before: arange -pid PID")
    return desk.chosen.pid


def _on_node(desk: Desk, pid: int, found: Ranges, node: int) -> Iterator[Ranges]:
    where = MovePages(pid)
    for addresses in memory.expanded(found, desk.page_size):
        yield ranges.of_pages(addresses[where.locate(addresses) == node], desk.page_size)


def _entries(desk: Desk, pid: int, mine: Ranges, most: int) -> Iterator[str]:
    """What pagemap says of the first pages."""
    yield _BITS
    left = most
    for at, entries in memory.entries_of(desk, pid, mine):
        for index, entry in enumerate(entries[: max(left, 0)].tolist()):
            bits = "".join(str(entry >> bit & 1) for bit in _SHOWN)
            yield f"{at + index * desk.page_size:x}: bits: {bits} pfn: {entry & int(pagemap.PFN)}"
        left -= len(entries)
        if left <= 0:
            return


COMMAND = Command(
    name="pages",
    summary="select pages of a process; say on which nodes those that are selected are; look at page frames",
    run=run,
    flags=(
        Flag(
            name="pid",
            value="PID",
            number=True,
            text="select pages of this process, not of the ranges that arange selected",
        ),
        Flag(name="ranges", value="RANGE[,RANGE...]", text="only in START (a page), START-END or START+SIZE[kMGT]"),
        Flag(
            name="attrs",
            value="ATTR[,ATTR...]",
            text=f"only such pages: {', '.join(memory.ATTRIBUTES)} ({','.join(memory.USUAL)})",
        ),
        Flag(name="node", value="NODE", number=True, text="only pages that are on this node now"),
        Flag(name="pr", value="NUM", number=True, text="print the first address ranges, select no pages"),
        Flag(name="pm", value="NUM", number=True, text="print what pagemap says of the first pages"),
        Flag(name="pk", value="PFN", number=True, text="print a page frame's flags (/proc/kpageflags)"),
        Flag(name="pi", value="PFN", number=True, text="print whether a page frame is marked idle"),
        Flag(name="si", value="PFN", number=True, text="mark a page frame idle"),
    ),
)
