"""`swap`: page out, bring back, and say what of a process is in swap.

Both directions are looked at again afterwards: what the kernel was asked for and what happened are two things.
"""

import math
from collections.abc import Generator, Iterator

from reconciler.engine import ranges, tasks
from reconciler.engine.ranges import Ranges
from reconciler.engineconfig import SWAP
from reconciler.memtierd import flags, memory, rangetext
from reconciler.memtierd.commands.command import Command, Wrong, no_words
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Flag, Given
from sysfs import cgroup
from sysfs.errors import Gone, KernelError
from sysfs.process_memory import ProcessMemory

_MIB = 1 << 20
_ACTIONS = ("in", "out", "status", "vaddrs")


def run(given: Given, desk: Desk) -> Iterator[str]:
    no_words(given)
    if not given.any_of(*_ACTIONS):
        raise Wrong("what shall be done? -in, -out, -status or -vaddrs")
    named = [*flags.numbers(given, "pids"), *([given.number("pid")] if "pid" in given else [])]
    found = [pid for pid in _of_cgroups(given, desk) if pid not in named]
    if not named and not found:
        raise Wrong("which processes? -pid PID, -pids PID[,PID...] or -pid-cgroups DIRECTORY[,DIRECTORY...]")
    if len(named) == 1 and not found:
        yield from _of_process(given, desk, named[0], named=True)
        return
    failed = 0
    for pid in [*found, *named]:
        try:
            yield from _of_process(given, desk, pid, named=pid in named)
        except Gone as error:
            if pid in named:  # processes of a cgroup come and go
                failed += 1
                yield f"swap: {error}"
        except (Wrong, KernelError) as error:
            failed += 1
            yield f"swap: {error}"
    if failed:
        raise Wrong(f"{failed} of {len(named) + len(found)} processes could not be done")


def _of_cgroups(given: Given, desk: Desk) -> list[int]:
    """Processes of all cgroups that the patterns match, and of those below them."""
    if "pid-cgroups" not in given:
        return []
    tree = desk.host.tree
    directories = [path for glob in given.parts("pid-cgroups") for path in cgroup.expand(tree, "", glob)]
    if not directories:
        raise Wrong(f"-pid-cgroups: no cgroup is called {given.text('pid-cgroups')}")
    pids: set[int] = set()
    for directory in directories:
        pids.update(cgroup.processes(tree, directory))
    if not pids:
        raise Wrong(f"-pid-cgroups: no process is in {', '.join(directories)}")
    return sorted(pids)


def _of_process(given: Given, desk: Desk, pid: int, *, named: bool) -> Iterator[str]:
    if given.any_of("in", "out") and (reason := desk.host.refusal(pid, named=named)):
        raise Wrong(f"process {pid} is left alone: {reason}")
    mine = memory.own(desk, pid)
    if "ranges" in given:
        mine = memory.selected(desk, mine, given.parts("ranges"))
        yield f"using {len(mine[0])} address ranges"
    if not len(mine[0]):
        raise Wrong(f"process {pid}: {memory.NO_RANGES}")
    failures = list[str]()  # said last, for -status tells more about them
    if "in" in given:
        failures += _bring_back(desk, pid, mine)
    if "out" in given:
        left = yield from _page_out(given, desk, pid, mine)
        failures += left
    if given.any_of("in", "out") and (reason := desk.host.undone(pid)):
        yield f"note: {reason}"
    if given.any_of("status", "vaddrs"):
        yield from _status(given, desk, pid, mine)
    if failures:
        raise Wrong(f"process {pid}: {'; '.join(failures)}")


def _bring_back(desk: Desk, pid: int, mine: Ranges) -> list[str]:
    before = memory.swapped(desk, pid, mine)
    with ProcessMemory(desk.host.tree, pid, desk.page_size) as opened:
        for start, end in zip(before[0].tolist(), before[1].tolist(), strict=True):
            opened.touch(start, end)
    left = ranges.size(memory.swapped(desk, pid, before)) if len(before[0]) else 0
    return [f"{_amount(left, desk)} stay in swap: there is no memory for them, or they cannot be read"] if left else []


def _page_out(given: Given, desk: Desk, pid: int, mine: Ranges) -> Generator[str, None, list[str]]:
    """A few pages stay of almost every process, which is no failure; that swap takes no more is one."""
    if reason := desk.host.swap_closed(pid):
        raise Wrong(f"process {pid}: {reason}")
    if "mover" in given:
        desk.host.mover().add(pid, *memory.pages(desk, pid, mine, memory.wanted(memory.USUAL)), (SWAP,))
        return []
    with desk.host.target(pid) as target:
        target.page_out(*mine)
    left = memory.present(desk, pid, mine)
    if left and (closed := tasks.swap_takes_no_more(desk.host.tree, pid, left)):
        return [f"{_amount(left, desk)} stay: {closed}"]
    if left:
        yield f"process {pid}: {_amount(left, desk)} stay: shared with others, locked, or in use just now"
    return []


def _amount(size: int, desk: Desk) -> str:
    return f"{size // desk.page_size} pages ({size / _MIB:.1f} MB)"


def _status(given: Given, desk: Desk, pid: int, mine: Ranges) -> Iterator[str]:
    away = memory.swapped(desk, pid, mine)
    if "vaddrs" in given:
        yield from rangetext.lines(away)
    out, all_of_it = ranges.size(away), ranges.size(mine)
    percent = 100 * out / all_of_it if all_of_it else math.nan
    yield (
        f"{pid} {out // desk.page_size} / {all_of_it // desk.page_size} pages, "
        f"{out // _MIB} / {all_of_it // _MIB} MB ({percent:.1f} %) swapped out"
    )


COMMAND = Command(
    name="swap",
    summary="page out, bring back, and say what is in swap",
    run=run,
    flags=(
        Flag(name="pid", value="PID", number=True, text="of this process"),
        Flag(name="pids", value="PID[,PID...]", text="of these processes"),
        Flag(
            name="pid-cgroups",
            value="DIR[,DIR...]",
            text="of all processes in these cgroup directories and below; * and ? match",
        ),
        Flag(name="ranges", value="RANGE[,RANGE...]", text="only in START (a page), START-END or START+SIZE[kMGT]"),
        Flag(name="in", text="bring what is in swap back into memory"),
        Flag(name="out", text="page out"),
        Flag(name="mover", text="with -out: by the mover, within its bandwidth"),
        Flag(name="status", text="print how much is in swap"),
        Flag(name="vaddrs", text="print which addresses are in swap"),
    ),
)
