"""The multi-generational LRU's own view: how many pages of each cgroup and node were last used how long ago.

/sys/kernel/debug/lru_gen (Documentation/admin-guide/mm/multigen_lru.rst, Linux 6.1). Reading is free of effects. Aging
makes a new generation: pages whose Accessed bit is set move to it, the others stay behind. So amounts are page-exact,
and nothing is known about addresses. Reclaim ages too, whenever it likes: numbers hold only until the next read.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from sysfs.errors import Rejected
from sysfs.tree import Tree

ENABLED, GENERATIONS = "/sys/kernel/mm/lru_gen/enabled", "/sys/kernel/debug/lru_gen"
_LINE = re.compile(
    r"^memcg +(?P<memcg>\d+) (?P<path>.*)$|^ *node +(?P<node>\d+)$"
    r"|^ *(?P<number>\d+) +(?P<age>\d+) +(?P<anon>\d+) +(?P<file>\d+) *$",
    re.MULTILINE,
)
_TRIES = 3  # reclaim may have made a newer generation since we read


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    number: int
    age_ms: int  # since it was made
    anon_pages: int
    file_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lruvec:
    """The pages of one cgroup on one node; generations from the oldest to the youngest."""

    memcg: int  # the kernel's own number, good for commands only
    path: str  # below the cgroup v2 mount; the root is "/"
    node: int
    generations: tuple[Generation, ...]

    @property
    def youngest(self) -> int:
        return self.generations[-1].number


def read(tree: Tree) -> tuple[Lruvec, ...]:
    """All cgroups, offline ones too, on all nodes."""
    return tuple(parse(tree.read(GENERATIONS)))


def parse(text: str) -> Iterator[Lruvec]:
    memcg, path, node = 0, "", 0
    found: list[Generation] = []
    for line in _LINE.finditer(text):
        if line["number"]:
            found.append(
                Generation(
                    number=int(line["number"]),
                    age_ms=int(line["age"]),
                    anon_pages=int(line["anon"]),
                    file_pages=int(line["file"]),
                )
            )
            continue
        if found:
            yield Lruvec(memcg=memcg, path=path, node=node, generations=tuple(found))
            found = []
        if line["memcg"]:
            memcg, path = int(line["memcg"]), line["path"].rstrip() or "/"
        else:
            node = int(line["node"])
    if found:
        yield Lruvec(memcg=memcg, path=path, node=node, generations=tuple(found))


def age(tree: Tree, wanted: Lruvec) -> None:
    """Make a new generation with what was used since the last one; a full walk, anonymous memory included.

    Raises `Rejected` when the cgroup is gone, or something else makes generations as fast as we read.
    """
    at = wanted
    for left in reversed(range(_TRIES)):
        try:
            tree.write(GENERATIONS, f"+ {at.memcg} {at.node} {at.youngest} 1 1")
        except Rejected:
            if not left:
                raise
            at = _again(tree, wanted)
        else:
            return


def _again(tree: Tree, wanted: Lruvec) -> Lruvec:
    same = (each for each in read(tree) if (each.path, each.node) == (wanted.path, wanted.node))
    found = next(same, None)
    if found is None:
        raise Rejected(None, f"has no memory cgroup {wanted.path} any more", GENERATIONS)
    return found
