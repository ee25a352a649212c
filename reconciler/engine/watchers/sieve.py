"""memtierd's `filter`: of what another watcher finds, the processes that pass; asked anew at each look.

Sizes are the largest that were seen of a process, so one that grows past a minimum joins, and one does not leave
because it was paged out, which makes it smaller. Only what a filter asks for is read, and nothing that is known.
"""

from reconciler.engine.watchers.watcher import Found, Watcher
from reconciler.engineconfig import FilterConfig
from reconciler.model import Identity
from reconciler.regexp import compiled
from sysfs import process, smaps
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

_Sizes = dict[str, int]  # bytes


class Sieve:
    def __init__(self, tree: Tree, source: Watcher, filters: tuple[FilterConfig, ...]) -> None:
        self._tree, self._source, self._filters = tree, source, filters
        self._largest: dict[Identity, _Sizes] = {}
        self._passed: frozenset[int] = frozenset()

    @property
    def directories(self) -> tuple[str, ...]:
        return self._source.directories

    def look(self) -> Found:
        found = self._source.look()
        largest: dict[Identity, _Sizes] = {}
        passed = frozenset(pid for pid in sorted(found.pids) if self._passes(pid, largest))
        self._largest, self._passed = largest, passed
        nobody = (f"of {len(found.pids)} processes none passes the filter",) if found.pids and not passed else ()
        return Found(
            pids=passed,
            named=found.named & passed,
            follow=found.follow,
            notes=(*found.notes, *nobody),
            trouble=found.trouble,
        )

    def _passes(self, pid: int, largest: dict[Identity, _Sizes]) -> bool:
        asked = _Asked(self._tree, pid, self._largest, largest)
        try:
            return any(_holds(each, asked) for each in self._filters)
        except Gone:
            return False
        except KernelError:  # for a moment, or for ever: as it was
            return pid in self._passed
        finally:
            asked.keep()


class _Asked:
    """One process, of which everything is read when it is first asked for."""

    def __init__(self, tree: Tree, pid: int, before: dict[Identity, _Sizes], largest: dict[Identity, _Sizes]) -> None:
        self._tree, self._pid = tree, pid
        self._before, self._largest = before, largest
        self._identity: Identity | None = None
        self._sizes: _Sizes = {}
        self._status: _Sizes | None = None
        self._program: str | None = None

    def program(self) -> str:
        if self._program is None:
            self._program = process.program(self._tree, self._pid)
        return self._program

    def at_least(self, what: str, minimum_kb: int) -> bool:
        """Whether it has, or once had, as much of VmSize, VmRSS or Private_Dirty."""
        minimum = minimum_kb * 1024
        sizes = self._known()
        if sizes.get(what, 0) < minimum:
            sizes[what] = max(sizes.get(what, 0), self._read(what, minimum))
        return sizes.get(what, 0) >= minimum

    def keep(self) -> None:
        if self._identity is not None:
            self._largest[self._identity] = self._sizes

    def _known(self) -> _Sizes:
        if self._identity is None:
            self._identity = process.identity(self._tree, self._pid)
            self._sizes = self._before.get(self._identity, {})
        return self._sizes

    def _read(self, what: str, minimum: int) -> int:
        if self._status is None:
            self._status = process.status(self._tree, self._pid)
        if what != "Private_Dirty":
            return self._status.get(what, 0)
        if 2 * self._status.get("VmRSS", 0) < minimum:  # far too small, and walking its page tables would be dear
            return 0
        return smaps.private_dirty_bytes(self._tree, self._pid)


def _holds(wanted: FilterConfig, asked: _Asked) -> bool:
    """Cheap questions first; the first "no" is the answer."""
    return (
        (not wanted.exe_regexp or compiled(wanted.exe_regexp).search(asked.program()))
        and (not wanted.min_vm_size_kb or asked.at_least("VmSize", wanted.min_vm_size_kb))
        and (not wanted.min_vm_rss_kb or asked.at_least("VmRSS", wanted.min_vm_rss_kb))
        and all(_holds(each, asked) for each in wanted.all_of)
        and (not wanted.any_of or any(_holds(each, asked) for each in wanted.any_of))
        and not any(_holds(each, asked) for each in wanted.none_of)
        and (not wanted.min_private_dirty_kb or asked.at_least("Private_Dirty", wanted.min_private_dirty_kb))
    )
