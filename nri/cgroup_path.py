"""Where a container's cgroup is, exactly: computed from what the runtime says, checked, else asked of its process.

Searching the tree for a path that contains the id, as others do, finds CRI-O's `crio-conmon-ID.scope` first.
"""

from collections.abc import Iterator

from sysfs import cgroup
from sysfs.errors import KernelError
from sysfs.tree import Tree


def find(tree: Tree, mount: str, cgroups_path: str, container_id: str, pid: int = 0) -> str:
    """Path below the mount of a cgroup that exists, "" if there is none (yet)."""
    computed = expected(cgroups_path)
    if mount and computed and tree.exists(f"{mount}{computed}/cgroup.procs"):
        return computed
    if not mount or pid <= 0:
        return ""
    asked = _of_process(tree, pid, container_id, computed.rpartition("/")[2])
    return asked if asked and tree.exists(f"{mount}{asked}/cgroup.procs") else ""


def expected(cgroups_path: str) -> str:
    """Where the OCI runtime will make the cgroup: a path, or SLICE:PREFIX:NAME for systemd. "" if it cannot be told."""
    parts = cgroups_path.split(":")
    if len(parts) == 3:
        path = f"{slice_path(parts[0] or 'system.slice')}/{_unit(parts[1], parts[2])}"
    else:
        path = "/" + cgroups_path.strip("/") if cgroups_path.startswith("/") else ""
    return "" if {".", ".."} & set(path.split("/")) or path == "/" else path


def slice_path(name: str) -> str:
    """The nesting of systemd: a-b.slice lives in a.slice, and -.slice is the root."""
    if name == "-.slice":
        return ""
    return "".join(f"/{part}" for part in _ancestry(name.removesuffix(".slice")))


def _ancestry(name: str) -> Iterator[str]:
    parts = name.split("-")
    for count in range(1, len(parts) + 1):
        yield "-".join(parts[:count]) + ".slice"


def _unit(prefix: str, name: str) -> str:
    if name.endswith(".slice"):
        return name
    return f"{prefix}-{name}.scope" if prefix else f"{name}.scope"


def _of_process(tree: Tree, pid: int, container_id: str, basename: str) -> str:
    """What /proc/PID/cgroup says, cut behind the container's own part: crun puts the processes one level deeper.

    A path that does not name the container is of somebody else: we may live in another pid namespace.
    """
    try:
        parts = cgroup.path_of_process(tree, pid).split("/")
    except KernelError:
        return ""
    names = [part for part in parts if (container_id and container_id in part) or (basename and part == basename)]
    if not names or ".." in parts:
        return ""
    return "/".join(parts[: parts.index(names[0]) + 1])
