"""cgroup v2 directories and their memory files (Documentation/admin-guide/cgroup-v2.rst).

A `directory` here is absolute inside the tree (mount + path); a cgroup `path` starts with "/" below the mount.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sysfs.errors import Gone, KernelError, Unsupported
from sysfs.tree import Tree

_OCTAL = re.compile(r"\\([0-7]{3})")  # how mountinfo writes blanks and tabs in a path
MAX_DEPTH = 32  # of nested cgroups that we follow; real nodes have about six


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The smallest limits that hold for a cgroup, its own and its ancestors'; None = no limit."""

    memory_bytes: int | None = None
    swap_bytes: int | None = None


def mount(tree: Tree) -> str:
    """The directory where cgroup v2 with a memory controller is mounted, "" if nowhere.

    Below another root (a DaemonSet's /host, a captured tree) our own mount table describes the wrong place, and that
    of process 1 the right one.
    """
    tables = ("/proc/self/mountinfo", "/proc/1/mountinfo")
    for table in tables if not tree.root else reversed(tables):
        for directory in _cgroup2_mounts(_read_or_empty(tree, table)):
            if "memory" in _read_or_empty(tree, directory + "/cgroup.controllers").split():
                return directory
    return ""


def _cgroup2_mounts(mountinfo: str) -> Iterator[str]:
    """Whole-hierarchy mounts only: below a bind mount of a part, paths would not be what /proc/PID/cgroup says."""
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        words = fields.split(" ")
        if kind.startswith("cgroup2 ") and len(words) > 4 and words[3] == "/":
            yield _OCTAL.sub(lambda found: chr(int(found[1], 8)), words[4])


def read_knobs(tree: Tree, directory: str, names: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Values of the named files, and errors of those that exist but cannot be read; a missing file is in neither."""
    values: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    for name in names:
        try:
            values[name] = tree.read(f"{directory}/{name}").strip()
        except Gone:
            continue
        except KernelError as error:
            unreadable[name] = str(error)
    return values, unreadable


def write_knob(tree: Tree, directory: str, name: str, value: str) -> None:
    """Write one value; a limit below the present usage makes the kernel reclaim before this returns."""
    tree.write(f"{directory}/{name}", value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subtree:
    """A cgroup and all below it."""

    directories: tuple[str, ...]  # those that were there when we came by, parents first
    pids: frozenset[int]


def subtree(tree: Tree, directory: str) -> Subtree:
    """Directories and processes; `Gone` if the cgroup itself is, while one that vanishes below it just does not count.

    What was read of a cgroup stays read even if it is removed before its children can be listed.
    """
    found: set[int] = set()
    directories: list[str] = []
    _collect(tree, directory, found, directories, MAX_DEPTH)
    found.discard(0)  # how the kernel shows a process of another pid namespace
    return Subtree(directories=tuple(directories), pids=frozenset(found))


def processes(tree: Tree, directory: str) -> tuple[int, ...]:
    """Processes of the cgroup and of all below it, sorted; `Gone` if the cgroup itself is."""
    return tuple(sorted(subtree(tree, directory).pids))


def _collect(tree: Tree, directory: str, found: set[int], directories: list[str], depth: int) -> None:
    try:
        found.update(int(pid) for pid in tree.read(directory + "/cgroup.procs").split())
    except Unsupported:  # a threaded cgroup: its processes are listed by the domain above it
        return
    directories.append(directory)
    if depth == 0:
        return
    for name in children(tree, directory):
        with suppress(Gone):  # removed while we walk
            _collect(tree, f"{directory}/{name}", found, directories, depth - 1)


def stat(tree: Tree, directory: str) -> dict[str, int]:
    """memory.stat: which keys it has differs by kernel, so look up with a default."""
    return flat_keyed(tree.read(directory + "/memory.stat"))


def on_nodes(tree: Tree, directory: str) -> dict[int, int]:
    """Bytes of anonymous memory and page cache on each memory node, from memory.numa_stat (Linux 5.10)."""
    found: dict[int, int] = {}
    for line in tree.read(directory + "/memory.numa_stat").splitlines():
        kind, *pairs = line.split()
        for node, _, size in (pair.partition("=") for pair in pairs if kind in {"anon", "file"}):
            number = int(node.removeprefix("N"))
            found[number] = found.get(number, 0) + int(size)
    return found


def flat_keyed(text: str) -> dict[str, int]:
    """The kernel's "KEY VALUE" lines as numbers; other lines are ignored."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].lstrip("-").isdigit()}


def populated(tree: Tree, directory: str) -> bool:
    """Whether any process lives in it or below; the root has no such file and always is."""
    try:
        return flat_keyed(tree.read(directory + "/cgroup.events")).get("populated", 1) != 0
    except Gone:
        return tree.exists(directory)


def usage_bytes(tree: Tree, directory: str) -> int:
    return _number(tree, directory + "/memory.current") or 0


def swap_bytes(tree: Tree, directory: str) -> int:
    return _number(tree, directory + "/memory.swap.current") or 0


def limits(tree: Tree, directory: str) -> Limits:
    """Effective limits: an ancestor's limit holds for everything below it."""
    memory: list[int] = []
    swap: list[int] = []
    for place in _up(tree, directory):
        memory += [n for n in [_number(tree, place + "/memory.max")] if n is not None]
        swap += [n for n in [_number(tree, place + "/memory.swap.max")] if n is not None]
    return Limits(memory_bytes=min(memory, default=None), swap_bytes=min(swap, default=None))


def _up(tree: Tree, directory: str) -> Iterator[str]:
    """The cgroup and its ancestors without the root, which alone has no cgroup.events."""
    while directory.strip("/") and tree.exists(directory + "/cgroup.events"):
        yield directory
        directory = directory.rpartition("/")[0]


def expand(tree: Tree, mount: str, glob: str) -> tuple[str, ...]:
    """Paths of existing cgroups that match; `*`, `?` and `[...]` stay within one level, `**` is any depth."""
    parts = [part for part in glob.split("/") if part]
    if {".", ".."} & set(parts):
        return ()
    return tuple(sorted(set(_matches(tree, mount, "", parts))))


def _matches(tree: Tree, mount: str, path: str, parts: list[str]) -> Iterator[str]:
    if not parts:
        if tree.exists(f"{mount}{path}/cgroup.procs"):
            yield path or "/"
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _matches(tree, mount, path, rest)
    for name in children(tree, mount + path) if _is_pattern(part) else (part,):
        if part == "**":
            yield from _matches(tree, mount, f"{path}/{name}", parts)
        elif fnmatchcase(name, part) or name == part:
            yield from _matches(tree, mount, f"{path}/{name}", rest)


def _is_pattern(part: str) -> bool:
    return any(sign in part for sign in "*?[")


def children(tree: Tree, directory: str) -> tuple[str, ...]:
    """Names of the cgroups right below; none if the cgroup itself is gone."""
    try:
        return tree.folders(directory)
    except Gone:
        return ()


def path_of_process(tree: Tree, pid: int | str) -> str:
    """The cgroup v2 path of a process (or of "self"), "" if it is only in version 1 hierarchies."""
    for line in tree.read(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:].removesuffix(" (deleted)")
    return ""


def knob_names(tree: Tree, mount: str) -> frozenset[str]:
    """The memory.* files of a cgroup that is not the root: of the first one here that has the controller."""
    for path in _some_cgroups(tree, mount):
        names = frozenset(name for name in tree.list(mount + path) if name.startswith("memory."))
        if "memory.max" in names:
            return names
    return frozenset()


def _some_cgroups(tree: Tree, mount: str) -> Iterator[str]:
    """Our own cgroup first, then two levels from the top: enough to meet one with a memory controller."""
    own = own_path(tree)
    if own.strip("/") and tree.exists(mount + own):
        yield own
    for first in children(tree, mount):
        yield f"/{first}"
    for first in children(tree, mount):
        yield from (f"/{first}/{second}" for second in children(tree, f"{mount}/{first}"))


def own_path(tree: Tree) -> str:
    """Our own cgroup, "" if unknown."""
    try:
        return path_of_process(tree, "self")
    except KernelError:
        return ""


def events(tree: Tree, directory: str) -> Mapping[str, int]:
    """memory.events: how often limits were hit, and out-of-memory kills."""
    return flat_keyed(tree.read(directory + "/memory.events"))


def _number(tree: Tree, path: str) -> int | None:
    """A file with one number; None for "max" and for a file that is not there."""
    text = _read_or_empty(tree, path).strip()
    return int(text) if text.isdigit() else None


def _read_or_empty(tree: Tree, path: str) -> str:
    try:
        return tree.read(path)
    except KernelError:
        return ""
