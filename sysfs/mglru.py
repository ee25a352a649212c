"""The multi-generational LRU's own view: how many pages of each cgroup and node were last used how long ago.

/sys/kernel/debug/lru_gen (Documentation/admin-guide/mm/multigen_lru.rst, Linux 6.1). Reading is free of effects. Aging
makes a new generation: pages whose Accessed bit is set move to it, the others stay behind. So amounts are page-exact,
and nothing is known about addresses. Reclaim ages too, whenever it likes: numbers hold only until the next read.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from sysfs.errors import Rejected
from sysfs.tree import Tree

ENABLED, GENERATIONS = "/sys/kernel/mm/lru_gen/enabled", "/sys/kernel/debug/lru_gen"
MAIN_SWITCH, ALL_SWITCHES = 0x1, 0x7  # the others clear Accessed bits in batches; not every processor lets it
MOST_GENERATIONS, FEWEST_GENERATIONS = 4, 2  # the youngest two are never evicted
FILE_ONLY, ANON_FIRST = 0, 200  # the ends of swappiness
_LINE = re.compile(
    r"^memcg +(?P<memcg>\d+) (?P<path>.*)$|^ *node +(?P<node>\d+) *$"
    r"|^ *(?P<number>\d+) +(?P<age>-?\d+) +(?P<anon>-?\d+) +(?P<file>-?\d+) *$|^ *(?P<broken>memcg|node)\b.*$",
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
    """The pages of one cgroup on one node; generations from the oldest to the youngest, at least one."""

    memcg: int  # the kernel's own number, good for commands only; 64 bits since Linux 7.0
    path: str  # below the cgroup v2 mount, as the kernel writes it (systemd's \x2d stays so); the root is "/"
    node: int
    generations: tuple[Generation, ...]

    @property
    def youngest(self) -> int:
        return self.generations[-1].number

    @property
    def oldest(self) -> Generation:
        return self.generations[0]

    @property
    def pages(self) -> int:
        return sum(each.anon_pages + each.file_pages for each in self.generations)


def read(tree: Tree, paths: Collection[str] | None = None) -> tuple[Lruvec, ...]:
    """All cgroups, or those of these paths, offline ones too, on all nodes; the kernel tells of all in any case."""
    text = tree.read(GENERATIONS)
    return tuple(parse(text if paths is None else _only(text, paths)))


def _only(text: str, paths: Collection[str]) -> str:
    """Cut out quickly: one that evicts reads again and again, and a node may have a thousand cgroups."""
    blocks = f"\n{text}".split("\nmemcg ")[1:]
    return "".join(f"memcg {each}\n" for each in blocks if (_path(each) or "/") in paths)


def _path(block: str) -> str:
    return block.partition("\n")[0].lstrip(" ").partition(" ")[2]


def parse(text: str) -> Iterator[Lruvec]:
    """A line that nobody understands is left out, with what belongs to it if it names a cgroup or a node."""
    memcg, path, node = -1, "", -1
    found: list[Generation] = []
    for line in _LINE.finditer(text):
        if line["number"]:
            found += [_generation(line)] if node >= 0 else []
            continue
        if found:
            yield Lruvec(memcg=memcg, path=path, node=node, generations=tuple(found))
            found = []
        if line["memcg"]:
            memcg, path, node = int(line["memcg"]), line["path"] or "/", -1
        elif line["node"]:
            node = int(line["node"]) if memcg >= 0 else -1
        else:
            node, memcg = -1, memcg if line["broken"] == "node" else -1
    if found:
        yield Lruvec(memcg=memcg, path=path, node=node, generations=tuple(found))


def _generation(line: re.Match[str]) -> Generation:
    """Counters of older kernels are sums over processors and may be a little below 0."""
    return Generation(
        number=int(line["number"]),
        age_ms=max(int(line["age"]), 0),
        anon_pages=max(int(line["anon"]), 0),
        file_pages=max(int(line["file"]), 0),
    )


def age(tree: Tree, wanted: Lruvec, *, swap: bool = True) -> None:
    """Make a new generation with what was used since the last one; a full walk of page tables.

    Without `swap` anonymous memory is passed over: nothing is learned of it, and that costs less. Raises `Rejected`
    when the cgroup is gone, or something else makes generations as fast as we read.
    """
    at = wanted
    for left in reversed(range(_TRIES)):
        try:
            tree.write(GENERATIONS, f"+ {at.memcg} {at.node} {at.youngest} {int(swap)} 1")
        except Rejected:
            if not left:
                raise
            at = _again(tree, wanted)
        else:
            return


def evict(tree: Tree, wanted: Lruvec, min_seq: int, swappiness: int, pages: int) -> None:
    """Take up to `pages` from generations up to `min_seq`; the kernel takes some more, for it works in batches.

    `swappiness` 0 takes page cache only, 200 prefers anonymous memory. Succeeds also if nothing could be taken.
    `Rejected` for the two youngest generations, and where the cgroup is no more; `Busy` on a signal.
    """
    if min_seq + FEWEST_GENERATIONS > wanted.youngest:
        raise Rejected(None, f"never evicts the two youngest generations of {wanted.path} ({min_seq})", GENERATIONS)
    if not FILE_ONLY <= swappiness <= ANON_FIRST or pages < 1:
        raise Rejected(None, f"cannot take {pages} pages at swappiness {swappiness}", GENERATIONS)
    tree.write(GENERATIONS, f"- {wanted.memcg} {wanted.node} {min_seq} {swappiness} {pages}")


def enabled(tree: Tree) -> int:
    """The switches that are on. `Gone` without MGLRU, `Rejected` if nobody understands the file."""
    text = tree.read(ENABLED).strip()
    try:
        return int(text, 16)
    except ValueError as error:
        raise Rejected(None, f"shows {text[:20]!r}, not a number", ENABLED) from error


def enable(tree: Tree, switches: int) -> None:
    """The kernel leaves out what the processor cannot do, so look at what it took. Sorts all pages anew."""
    tree.write(ENABLED, f"{switches:#06x}")


def _again(tree: Tree, wanted: Lruvec) -> Lruvec:
    key = (wanted.memcg, wanted.path, wanted.node)
    same = (each for each in read(tree) if (each.memcg, each.path, each.node) == key)
    found = next(same, None)
    if found is None:
        raise Rejected(None, f"has no memory cgroup {wanted.path} any more", GENERATIONS)
    return found
