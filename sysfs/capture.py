"""Save what we read of /proc and /sys into one file, and give it back as a tree: `doctor --capture`, `--root FILE`.

Holds names, numbers and settings of /proc and /sys and what the caller adds; never memory, environments or command
lines. Every size is bounded, in both directions: a capture comes from a machine that is in trouble, and
what is replayed may come from anybody.
"""

import io
import os
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase

from sysfs import cgroup, errors, probe
from sysfs.errors import KernelError
from sysfs.tree import Tree

FILE_BYTES = 256 << 10  # of one file; longer ones are cut when they are saved, refused when they come back
TOTAL_BYTES = 256 << 20
MOST_FILES = 500_000
MOST_CGROUPS = 10_000

_PATHS = (
    "/proc/self/mountinfo",
    "/proc/1/mountinfo",
    "/proc/self/cgroup",
    "/proc/self/status",
    "/proc/swaps",
    "/proc/meminfo",
    "/proc/vmstat",
    "/proc/pressure/memory",
    "/proc/pressure/io",
    "/proc/pagetypeinfo",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/random/boot_id",
    "/proc/sys/kernel/numa_balancing",
    "/proc/sys/vm/swappiness",
    "/proc/sys/vm/page-cluster",
    "/sys/kernel/mm/lru_gen/*",
    "/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds",
    "/sys/kernel/mm/numa/demotion_enabled",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/module/zswap/parameters/*",
    "/sys/module/damon_*/parameters/*",
    "/sys/module/page_reporting/parameters/*",
    "/sys/bus/virtio/devices/*/device",
    "/sys/bus/virtio/devices/*/features",
    "/sys/block/zram*/disksize",
    "/sys/block/zram*/mm_stat",
    "/sys/block/zram*/comp_algorithm",
    "/sys/devices/system/node/*",
    "/sys/devices/system/node/node*/meminfo",
    "/sys/devices/system/node/node*/distance",
    "/sys/devices/system/node/node*/cpulist",
    "/proc/*/stat",
    "/proc/*/status",
    "/proc/*/cgroup",
    "/proc/*/comm",
)
_CGROUP_FILES = (
    "cgroup.controllers",
    "cgroup.subtree_control",
    "cgroup.procs",
    "cgroup.events",
    "cgroup.type",
    "memory.*",
)
_LINK = re.compile(r"proc/[0-9]+/exe")  # the only links that are saved or accepted; nothing is read through them


def capture(tree: Tree, file: str, extra: Mapping[str, str] | None = None) -> int:
    """Write the archive (readable by us alone) and return how many files are in it; `extra` is path -> text."""
    added = {probe.RECORDED: probe.record(probe.features(tree)), **(extra or {})}
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as target, tarfile.open(fileobj=target, mode="w:gz") as archive:
        for path, text in added.items():
            _save(archive, path, text.encode())
        return len(added) + _save_tree(tree, archive, set(added))


def _save_tree(tree: Tree, archive: tarfile.TarFile, done: set[str]) -> int:
    count = size = 0
    for path in _paths(tree):
        content = None if path in done else _content(tree, path)
        done.add(path)
        if content is None or size + len(content) > TOTAL_BYTES:
            continue
        _save(archive, path, content)
        count, size = count + 1, size + len(content)
    return count + _save_links(tree, archive)


def _save_links(tree: Tree, archive: tarfile.TarFile) -> int:
    count = 0
    for path in _matches(tree, "", ["proc", "*", "exe"]):
        entry = tarfile.TarInfo(path.lstrip("/"))
        if not _LINK.fullmatch(entry.name):
            continue
        try:
            entry.linkname = tree.link(path)
        except KernelError:  # a kernel thread, or a process that has ended
            continue
        entry.type = tarfile.SYMTYPE
        archive.addfile(entry)
        count += 1
    return count


def _save(archive: tarfile.TarFile, path: str, content: bytes) -> None:
    entry = tarfile.TarInfo(path.lstrip("/"))
    entry.size = len(content)
    entry.mode = 0o600
    archive.addfile(entry, io.BytesIO(content))


def _paths(tree: Tree) -> Iterator[str]:
    for pattern in _PATHS:
        yield from _matches(tree, "", pattern.strip("/").split("/"))
    mount = cgroup.mount(tree)
    for path in cgroup.expand(tree, mount, "/**")[:MOST_CGROUPS] if mount else ():
        names = tree.list(mount + path) if tree.exists(mount + path) else ()
        kept = (name for name in names if any(fnmatchcase(name, pattern) for pattern in _CGROUP_FILES))
        yield from (f"{mount}{path.rstrip('/')}/{name}" for name in kept)


def _matches(tree: Tree, path: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        yield path
        return
    names: tuple[str, ...] = (parts[0],)
    if "*" in parts[0]:
        try:
            names = tuple(name for name in tree.list(path or "/") if fnmatchcase(name, parts[0]))
        except KernelError:
            return
    for name in names:
        yield from _matches(tree, f"{path}/{name}", parts[1:])


def _content(tree: Tree, path: str) -> bytes | None:
    try:
        return tree.read_bytes(path)[:FILE_BYTES]
    except KernelError:  # write-only, gone, a directory, or not for us
        return None


@contextmanager
def replay(path: str) -> Iterator[Tree]:
    """A captured archive, or a folder laid out like one, as a tree."""
    if os.path.isdir(path):
        yield Tree(path)
        return
    with tempfile.TemporaryDirectory(prefix="ebbtide-replay-") as folder:
        _unpack(path, folder)
        yield Tree(folder)


def _unpack(path: str, folder: str) -> None:
    try:
        with tarfile.open(path, "r:*") as archive:
            links = [entry for entry in _accepted(archive, path, folder) if entry.issym()]
        for entry in links:  # last, so that nothing was ever written through one
            os.makedirs(os.path.dirname(os.path.join(folder, entry.name)), exist_ok=True)
            os.symlink(entry.linkname, os.path.join(folder, entry.name))
    except KernelError:
        raise
    except (OSError, EOFError, tarfile.TarError) as error:
        message = f"cannot be read as a capture ({error}); make one with doctor --capture"
        raise errors.Rejected(None, message, path) from error


def _accepted(archive: tarfile.TarFile, path: str, folder: str) -> Iterator[tarfile.TarInfo]:
    """Write the plain files; anything that `capture` would not have written is an error."""
    size = 0
    for count, entry in enumerate(archive):
        size += entry.size
        if count >= MOST_FILES or size > TOTAL_BYTES or entry.size > 4 * FILE_BYTES:
            raise errors.Rejected(None, f"{entry.name} makes it larger than any capture", path)
        if entry.isdir():
            continue
        if not _is_ours(entry):
            raise errors.Rejected(None, f"{entry.name!r} is nothing that a capture holds", path)
        if entry.isreg():
            _write(archive, entry, folder)
        yield entry


def _is_ours(entry: tarfile.TarInfo) -> bool:
    parts = entry.name.split("/")
    if {"", ".", ".."} & set(parts):
        return False
    return entry.isreg() or (entry.issym() and bool(_LINK.fullmatch(entry.name)))


def _write(archive: tarfile.TarFile, entry: tarfile.TarInfo, folder: str) -> None:
    target = os.path.join(folder, entry.name)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    content = archive.extractfile(entry)
    with open(target, "xb") as file:
        file.write(content.read() if content else b"")
