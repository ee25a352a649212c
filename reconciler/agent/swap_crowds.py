"""Cgroups that have something in swap and a memory limit: who could be killed by a swapoff."""

from collections.abc import Iterator
from contextlib import suppress

from reconciler.agent.swap_rules import Crowd
from sysfs import cgroup
from sysfs.errors import Gone
from sysfs.tree import Tree

_AGAIN = ("active_file", "inactive_file", "swapcached")  # of memory.stat


def read(tree: Tree, mount: str) -> tuple[Crowd, ...]:
    """`mount`: where cgroup v2 is mounted, "" where it is not.

    A cgroup's swap contains that of the cgroups below it, so branches without any are left out. Errors other than
    `Gone` are raised: who does not know what is in the way does not go on.
    """
    return tuple(_below(tree, mount, "", cgroup.MAX_DEPTH)) if mount else ()


def _below(tree: Tree, mount: str, path: str, depth: int) -> Iterator[Crowd]:
    for name in cgroup.children(tree, mount + path) if depth else ():
        with suppress(Gone):
            yield from _inside(tree, mount, f"{path}/{name}", depth)


def _inside(tree: Tree, mount: str, path: str, depth: int) -> Iterator[Crowd]:
    directory = mount + path
    swapped = cgroup.swap_bytes(tree, directory)
    if not swapped:
        return
    limit = tree.read(f"{directory}/memory.max").strip()
    if limit != "max":
        about = cgroup.stat(tree, directory)
        yield Crowd(
            cgroup=path,
            limit_bytes=int(limit),
            memory_bytes=cgroup.usage_bytes(tree, directory),
            cache_bytes=sum(about.get(key, 0) for key in _AGAIN),
            swap_bytes=swapped,
        )
    yield from _below(tree, mount, path, depth - 1)
