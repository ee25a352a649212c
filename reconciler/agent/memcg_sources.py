"""Where the memcg part sees how cold memory is, and how it takes some: MGLRU, or memory.reclaim where there is none.

The second shows itself as the first would, so that one policy serves both. What it knows is little: how many periods a
cgroup has lived through, and which pages the kernel's two lists hold to be inactive. So of these it offers a small
share, and all nodes are one.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from reconciler.agent.memcg_rules import ALL_NODES, FILE_ONLY, GENERATIONS
from sysfs import cgroup, mglru, reclaim, swap
from sysfs.errors import Gone, KernelError, Unsupported
from sysfs.mglru import Generation, Lruvec
from sysfs.tree import Tree

SHARE = 16  # one part in so many of the inactive memory is offered in a period
NEVER_MS = 1 << 40  # the age of a generation that nobody made


class Source(Protocol):
    name: str
    aging_writes: bool  # to the kernel

    def survey(self, paths: Collection[str] | None = None) -> tuple[Lruvec, ...]:
        """Of these cgroups, None = all; offline ones may be among them."""

    def age(self, at: Lruvec, *, swap: bool) -> None:
        """Make a new generation."""

    def evict(self, at: Lruvec, swappiness: int, pages: int) -> None:
        """Take some of the oldest generation."""


class Generations:
    """MGLRU."""

    name, aging_writes = "mglru", True

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def survey(self, paths: Collection[str] | None = None) -> tuple[Lruvec, ...]:
        return mglru.read(self._tree, paths)

    def age(self, at: Lruvec, *, swap: bool) -> None:
        mglru.age(self._tree, at, swap=swap)

    def evict(self, at: Lruvec, swappiness: int, pages: int) -> None:
        mglru.evict(self._tree, at, at.oldest.number, swappiness, pages)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Offer:
    """What one cgroup has to give since its last aging, bytes."""

    inode: int
    agings: int = 0
    at: float | None = None  # of the last
    anon: int = 0
    file: int = 0
    anon_then: int = 0  # on the kernel's lists when that was offered
    file_then: int = 0


class Proactive:
    """memory.reclaim, which takes from a cgroup and all below it: so only those that have none below are offered."""

    name, aging_writes = "memory.reclaim", False

    def __init__(self, tree: Tree, mount: str, page_size: int, clock: Callable[[], float]) -> None:
        self._tree, self._mount, self._page_size, self._clock = tree, mount, page_size, clock
        self._offers: dict[str, _Offer] = {}
        self._takes_swappiness: bool | None = None  # None = not asked yet

    def missing(self) -> str:
        """Why it cannot be used, "" if it can."""
        if not self._mount:
            return "no cgroup v2 mount with a memory controller"
        if not self._tree.exists(f"{self._mount}/{reclaim.NAME}"):
            return f"no {self._mount}/{reclaim.NAME} (Linux 5.19)"
        return ""

    def survey(self, paths: Collection[str] | None = None) -> tuple[Lruvec, ...]:
        found = {}
        for path in paths if paths is not None else self._leaves(""):
            try:
                found[path] = self._seen(path)
            except KernelError:  # gone meanwhile, or without the controller
                continue
        if paths is None:
            self._offers = {path: offer for path, offer in self._offers.items() if path in found}
        return tuple(found.values())

    def _leaves(self, path: str, depth: int = cgroup.MAX_DEPTH) -> Iterator[str]:
        below = self._below(path) if depth else []
        for child in below:
            yield from self._leaves(child, depth - 1)
        if path and not below:
            yield path

    def _below(self, path: str) -> list[str]:
        names = cgroup.children(self._tree, self._mount + path)
        children = [f"{path}/{name}" for name in names]
        return [each for each in children if self._tree.exists(f"{self._mount}{each}/{reclaim.NAME}")]

    def _seen(self, path: str) -> Lruvec:
        offer, anon, file = self._offer(path), *self._lists(path)
        left_anon = max(min(offer.anon - (offer.anon_then - anon), offer.anon), 0) // self._page_size
        left_file = max(min(offer.file - (offer.file_then - file), offer.file), 0) // self._page_size
        youngest = offer.agings + 1
        oldest = max(youngest - GENERATIONS + 1, 0)
        age = NEVER_MS if offer.at is None else int(1000 * (self._clock() - offer.at))
        numbers = range(oldest + 1, youngest + 1)
        cold = Generation(number=oldest, age_ms=NEVER_MS, anon_pages=left_anon, file_pages=left_file)
        rest = [Generation(number=number, age_ms=age, anon_pages=0, file_pages=0) for number in numbers]
        all_pages = replace(
            rest[-1],
            anon_pages=anon // self._page_size - left_anon,
            file_pages=file // self._page_size - left_file,
        )
        return Lruvec(memcg=offer.inode, path=path, node=ALL_NODES, generations=(cold, *rest[:-1], all_pages))

    def _offer(self, path: str) -> _Offer:
        inode = self._tree.inode(self._mount + path)
        offer = self._offers.get(path)
        if offer is None or offer.inode != inode:
            offer = self._offers[path] = _Offer(inode=inode)
        return offer

    def _lists(self, path: str) -> tuple[int, int]:
        """Anonymous memory and page cache, bytes."""
        stat = cgroup.stat(self._tree, self._mount + path)
        anon, file = (stat.get(f"inactive_{kind}", 0) + stat.get(f"active_{kind}", 0) for kind in ("anon", "file"))
        return anon, file

    def age(self, at: Lruvec, *, swap: bool) -> None:  # noqa: ARG002  both kinds are counted anyway
        """Nothing is written: the next share is offered."""
        before, stat = self._offer(at.path), cgroup.stat(self._tree, self._mount + at.path)
        anon, file = (stat.get(f"inactive_{kind}", 0) for kind in ("anon", "file"))
        self._offers[at.path] = _Offer(
            inode=before.inode,
            agings=before.agings + 1,
            at=self._clock(),
            anon=anon // SHARE,
            file=file // SHARE,
            anon_then=anon + stat.get("active_anon", 0),
            file_then=file + stat.get("active_file", 0),
        )

    def evict(self, at: Lruvec, swappiness: int, pages: int) -> None:
        """`Unsupported` if page cache alone is wanted, and this kernel would take anonymous memory, too."""
        directory = self._mount + at.path
        if self._below(at.path):
            raise Gone(None, "has cgroups below it now", directory)
        if self._takes_swappiness is None:
            self._takes_swappiness = reclaim.takes_swappiness(self._tree, directory)
        if swappiness == FILE_ONLY and not self._takes_swappiness and self._may_swap(directory):
            raise Unsupported(
                None, "takes no swappiness= (Linux 6.11), so page cache alone cannot be taken", reclaim.NAME
            )
        wanted = swappiness if self._takes_swappiness else None
        reclaim.take(self._tree, directory, pages * self._page_size, wanted)

    def _may_swap(self, directory: str) -> bool:
        return swap.read(self._tree).free_bytes > 0 and cgroup.limits(self._tree, directory).swap_bytes != 0
