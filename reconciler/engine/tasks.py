"""What somebody asked to be moved: a process, its memory or parts of it, and where to.

A task is tried a few times, and what does not move then is explained: nothing is dropped in silence.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from reconciler.engine import ranges
from reconciler.engine.passage import Ledger
from reconciler.engine.policies.policy import BACK
from reconciler.engine.ranges import Ranges
from reconciler.engine.site import BLOCK_PAGES, Doors
from reconciler.engineconfig import SWAP
from reconciler.model import Identity
from sysfs import cgroup, maps, pagemap, process, swap
from sysfs.errors import KernelError, Rejected, Unsupported
from sysfs.maps import Kind, Maps
from sysfs.pagemap import IS_FILE, IS_PRESENT, IS_SWAPPED, IS_ZERO, Pagemap, Runs
from sysfs.tree import Tree

ATTEMPTS = 4
_LAST_SLOTS = 1 << 20  # bytes
RETRY_S = 1.0  # after the first attempt; twice as long after each further one
ANON = frozenset({int(Kind.ANON)})
WAITING, MOVING, RETRYING, DONE, FAILED = "waiting", "moving", "retrying", "done", "failed"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Task:
    pid: int
    to: tuple[int, ...]  # nodes of which any will do, TO_SWAP, or BACK
    ranges: Ranges | None = None  # addresses; None = all that it has of these kinds
    kinds: frozenset[int] = ANON  # sysfs.maps.Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReport:
    number: int
    pid: int
    next: int  # address
    done: int  # pages handled, of
    total: int
    moved: int  # pages, verified
    to: tuple[int, ...]
    state: str  # waiting | moving | retrying | done | failed
    why: str = ""  # why it failed, or is tried again


@dataclass(slots=True, eq=False)
class Errand:
    """A task under way."""

    number: int
    task: Task
    identity: Identity
    mapped: Maps
    rest: Ranges
    total: int
    done: int = 0
    moved: int = 0
    shared: int = 0
    attempt: int = 1
    due: float = float("-inf")
    ledger: Ledger = field(init=False)  # of this attempt
    state: str = WAITING
    why: str = ""

    def begin(self, page_size: int) -> None:
        self.ledger = Ledger(page_size, keeps_stayed=True)

    @property
    def finished(self) -> bool:
        return self.state in {DONE, FAILED}

    def report(self) -> TaskReport:
        start = self.rest[0]
        return TaskReport(
            number=self.number,
            pid=self.task.pid,
            next=int(start[0]) if len(start) else 0,
            done=min(self.done, self.total),
            total=self.total,
            moved=self.moved,
            to=self.task.to,
            state=self.state,
            why=self.why,
        )

    def passed(self, address: int | None) -> None:
        self.rest = ranges.none() if address is None else ranges.after(self.rest, address)

    def end_attempt(self, now: float, why_stayed: Callable[[], str]) -> None:
        """All was handled once: done, or the pages that stayed are tried again later."""
        ledger = self.ledger
        if self.attempt == 1:
            self.shared = ledger.shared
        if not ledger.stayed:
            self.finish(why_stayed() if self.shared else "")
            return
        self.why = why_stayed()
        if self.attempt == ATTEMPTS:
            self.finish(self.why)
            return
        self.rest = ranges.of_pages(np.concatenate(ledger.stayed), ledger.page_size)
        self.again(now)

    def again(self, now: float, why: str = "") -> None:
        self.due = now + RETRY_S * 2 ** (self.attempt - 1)
        self.attempt += 1
        self.state, self.why = RETRYING, why or self.why
        self.begin(self.ledger.page_size)

    def finish(self, why: str) -> None:
        self.state, self.why = (FAILED if why else DONE), why
        if not why:
            self.done = self.total
        self.rest = ranges.none()


def errand(number: int, task: Task, doors: Doors, *, scan: bool = True) -> Errand:
    """Survey the process; `Gone` if there is none, `Refused` where it may not be looked at."""
    identity = process.identity(doors.tree, task.pid)
    mapped = _mapped(doors, task)
    runs = _runs(doors, task.pid, mapped, scan=scan)
    held = _held(runs, task)
    rest = task.ranges and ranges.joined(task.ranges)
    if rest is None:
        rest = ranges.joined(held, gap=BLOCK_PAGES * doors.page_size)
        total = ranges.size(held)
    else:
        total = ranges.size(ranges.within(held, rest))
    made = Errand(number, task, identity, mapped, rest, total // doors.page_size)
    made.begin(doors.page_size)
    return made


def _mapped(doors: Doors, task: Task) -> Maps:
    tree = doors.tree
    found = maps.read(tree, task.pid, maps.devices(tree, 1) | maps.devices(tree, task.pid))
    mask = np.isin(found.kind, sorted(task.kinds))
    return Maps(start=found.start[mask], end=found.end[mask], offset=found.offset[mask], kind=found.kind[mask])


def _runs(doors: Doors, pid: int, mapped: Maps, *, scan: bool) -> Runs:
    """What holds pages: by one scan where the kernel can, else by reading each mapping that is not too large."""
    if not len(mapped):
        return pagemap.merge([])
    with Pagemap(doors.tree, pid, doors.page_size) as opened:
        if scan:
            try:
                return opened.scan(int(mapped.start[0]), int(mapped.end[-1]))
            except (Unsupported, Rejected):  # Linux before 6.7
                pass
        spans = zip(mapped.start.tolist(), mapped.end.tolist(), strict=True)
        return pagemap.merge([opened.read_runs(low, high) for low, high in spans if high - low <= pagemap.SPAN_LIMIT])


def _held(runs: Runs, task: Task) -> Ranges:
    if task.to == BACK:
        found = runs.having(IS_SWAPPED)
    elif Kind.FILE in task.kinds:
        found = runs.having(IS_PRESENT, IS_ZERO)
    else:
        found = runs.having(IS_PRESENT, IS_FILE | IS_ZERO)
    return found.start, found.end


# -- why pages stayed ------------------------------------------------------------------------------------------------

_REASONS = {
    errno.EBUSY: "pinned or in use by the kernel just now",
    errno.EACCES: "shared with other processes",
    errno.ENOENT: "not in memory any more",
    errno.EFAULT: "not mapped any more",
    errno.ENOMEM: "the node has no room",
    errno.ENOSPC: "none of the nodes has room",
}


def why_stayed(doors: Doors, made: Errand, why_nowhere: str) -> str:
    """In a sentence: how many pages did not move, and for what reasons."""
    ledger = made.ledger
    stayed = {code: pages for code, pages in ledger.errors.items() if pages}
    parts = [f"{pages} {_reason(doors, made, (code, pages), why_nowhere)}" for code, pages in sorted(stayed.items())]
    if made.shared:
        parts.append(f"{made.shared} shared with other processes")
    return f"{sum(stayed.values()) + made.shared} of {made.total} pages stayed: " + "; ".join(parts)


def _reason(doors: Doors, made: Errand, stayed: tuple[int, int], why_nowhere: str) -> str:
    """Of pages by errno, 0 where the kernel gave none."""
    code, pages = stayed
    if code == errno.ENOSPC and why_nowhere:
        return f"have nowhere to go: {why_nowhere}"
    if code:
        return _REASONS.get(code, os.strerror(code))
    if SWAP not in made.task.to and made.task.to != BACK:
        return "came to another node"
    if made.task.to == BACK:
        return "do not come back: swap could not be read, or memory is short"
    closed = swap_takes_no_more(doors.tree, made.task.pid, pages * doors.page_size)
    return f"cannot leave: {closed}" if closed else "do not leave: locked, being written, or used again at once"


def swap_takes_no_more(tree: Tree, pid: int, stayed: int) -> str:
    """Why so many bytes of a process's memory found no place in swap, "" if it has some.

    The last slots are never handed out: each processor keeps a few for itself.
    """
    try:
        devices = swap.read(tree)
        if not devices.total_bytes:
            return "no swap on this node (add a swap device, for example zram)"
        if devices.free_bytes < min(stayed, _LAST_SLOTS):
            return "swap is full"
        mount = cgroup.mount(tree)
        path = cgroup.path_of_process(tree, pid) if mount else ""
        limit = cgroup.limits(tree, mount + path).swap_bytes if path.strip("/") else None
        if limit is not None and cgroup.swap_bytes(tree, mount + path) >= limit:
            return f"memory.swap.max of {path} is {'0' if not limit else 'reached'}"
    except KernelError:
        pass
    return ""
