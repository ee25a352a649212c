"""Taking memory from a cgroup that it does not use: memory.reclaim, and the figures that tell what it cost.

Documentation/admin-guide/cgroup-v2.rst; memory.reclaim is in Linux 5.19, its swappiness= in about 6.11. Nothing stays
behind: unlike a limit, a request is over when the write returns. The kernel books no stall for the reclaim itself, only
for what the workload has to wait for afterwards.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from sysfs import cgroup
from sysfs.errors import Busy, Gone, Rejected, Unsupported
from sysfs.tree import Tree

NAME = "memory.reclaim"
_SWAPPINESS = "/proc/sys/vm/swappiness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A cgroup and all below it, in bytes; the last five count since it was made. Keys that a kernel lacks are 0."""

    usage: int = 0
    swap: int = 0
    anon: int = 0
    file: int = 0  # on the lists of page cache, without tmpfs and shared memory
    inactive_file: int = 0
    dirty: int = 0  # of the file: has to be written before it can leave
    shmem: int = 0
    unevictable: int = 0
    protected: int = 0  # the larger of memory.min and memory.low
    high: int | None = None  # memory.high; None = no limit
    refaulted: int = 0  # left memory and was needed again
    activated: int = 0  # of these, what was busy at once
    restored: int = 0  # of these, what had been busy before it left
    scanned: int = 0
    stolen: int = 0  # really left memory, by whoever's reclaim


def read(tree: Tree, directory: str, page_size: int) -> Sample:
    """`Gone` without the cgroup, `Unsupported` for the root and where the memory controller is not enabled."""
    usage = _current(tree, directory)
    stat = cgroup.stat(tree, directory)
    back = {kind: _both(stat, f"workingset_{kind}") * page_size for kind in ("refault", "activate", "restore")}
    return Sample(
        usage=usage,
        swap=cgroup.swap_bytes(tree, directory),
        anon=stat.get("inactive_anon", 0) + stat.get("active_anon", 0),
        file=stat.get("inactive_file", 0) + stat.get("active_file", 0),
        inactive_file=stat.get("inactive_file", 0),
        dirty=stat.get("file_dirty", 0) + stat.get("file_writeback", 0),
        shmem=stat.get("shmem", 0),
        unevictable=stat.get("unevictable", 0),
        protected=max(_limit(tree, directory, name) or 0 for name in ("memory.min", "memory.low")),
        high=_limit(tree, directory, "memory.high"),
        refaulted=back["refault"],
        activated=back["activate"],
        restored=back["restore"],
        scanned=stat.get("pgscan", 0) * page_size,
        stolen=stat.get("pgsteal", 0) * page_size,
    )


def _current(tree: Tree, directory: str) -> int:
    try:
        return int(tree.read(f"{directory}/memory.current"))
    except Gone as error:
        if not tree.exists(directory):
            raise
        raise Unsupported(None, "this cgroup has no memory controller of its own", error.filename) from error


def _both(stat: Mapping[str, int], key: str) -> int:
    """Of anonymous and file pages; before Linux 5.9 there was one counter for both."""
    return stat.get(f"{key}_anon", 0) + stat.get(f"{key}_file", stat.get(key, 0))


def _limit(tree: Tree, directory: str, name: str) -> int | None:
    """None for "max" and where the kernel has no such file. A memory.min of "max" protects everything there is."""
    try:
        text = tree.read(f"{directory}/{name}").strip()
    except Gone:
        return None
    if text.isdigit():
        return int(text)
    return None if name == "memory.high" else (1 << 63) - 1


def peak(tree: Tree, directory: str) -> int | None:
    """The most that was ever used, bytes (memory.peak, Linux 5.19); None where the kernel does not know."""
    try:
        return int(tree.read(f"{directory}/memory.peak"))
    except (Gone, ValueError):
        return None


def take(tree: Tree, directory: str, size: int, swappiness: int | None = None) -> bool:
    """Whether the kernel found all of `size` bytes; less is normal, and what it found is gone from memory.

    `swappiness`: 0 takes page cache only, 200 prefers anonymous memory; None = the kernel's own. `Rejected` where the
    kernel does not take it. It waits for the disk that is written to, so ask for little at a time.
    """
    try:
        _write(tree, directory, str(size) if swappiness is None else f"{size} swappiness={swappiness}")
    except Busy as error:
        if error.errno != errno.EAGAIN:
            raise
        return False
    return True


def takes_swappiness(tree: Tree, directory: str) -> bool:
    """Whether requests may say swappiness=: asked with one for nothing at all."""
    try:
        _write(tree, directory, "0 swappiness=0")
    except Rejected:
        return False
    return True


def _write(tree: Tree, directory: str, words: str) -> None:
    try:
        tree.write(f"{directory}/{NAME}", words)
    except Gone as error:
        if not tree.exists(directory):
            raise
        raise Unsupported(
            error.errno, "this kernel has no memory.reclaim (Linux 5.19)", f"{directory}/{NAME}"
        ) from error


def swappiness(tree: Tree) -> int:
    """The kernel's own, 60 where it cannot be read."""
    try:
        return int(tree.read(_SWAPPINESS))
    except (OSError, ValueError):
        return 60
