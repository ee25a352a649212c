"""What the kernel shows now of every cgroup that we want to manage or have ever written to. Reads, never writes."""

from collections.abc import Collection, Iterable, Mapping

from reconciler import knobs
from reconciler.actions import BaselineEntry
from reconciler.model import Features, Knob, Observed, ObservedWorkload
from sysfs import cgroup, swap
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

_GONE = ObservedWorkload(inode=0, populated=False)


def observe(
    tree: Tree,
    features: Features,
    wanted: Mapping[str, str],
    baseline: Mapping[tuple[str, Knob], BaselineEntry],
    asked: Mapping[str, Collection[Knob]] | None = None,
) -> Observed:
    """`wanted` is workload -> cgroup path; `asked` narrows a workload's knobs, without it all that exist are read.

    The running engines are the caller's to fill in.
    """
    written = _written(baseline.values())
    space = swap.read(tree)
    visible = _visible(tree, features.cgroup_mount)
    return Observed(
        workloads={
            name: _look(tree, features, path, _knobs(features, (asked or {}).get(name)) | written.get(path, set()))
            for name, path in wanted.items()
        },
        strays={
            path: _look(tree, features, path, names)
            for path, names in written.items()
            if path not in set(wanted.values())
        },
        cgroups_visible=visible,
        swap_total_bytes=space.total_bytes,
        swap_free_bytes=space.free_bytes,
    )


def _visible(tree: Tree, mount: str) -> bool:
    """Whether "the cgroup is not there" can be believed: in a foreign namespace, or out of descriptors, it cannot."""
    try:
        return bool(mount) and bool(tree.read(f"{mount}/cgroup.controllers").strip())
    except KernelError:
        return False


def _written(entries: Iterable[BaselineEntry]) -> dict[str, set[Knob]]:
    """Cgroup path -> knobs that we have written there."""
    found: dict[str, set[Knob]] = {}
    for entry in entries:
        found.setdefault(entry.cgroup, set()).add(entry.knob)
    return found


def _knobs(features: Features, asked: Collection[Knob] | None) -> set[Knob]:
    """Unknown knob files (no cgroup had the controller when we looked) mean that all are tried."""
    if asked is not None:
        return set(asked)
    return {knob for knob in Knob if knob in features.knobs or not features.knobs}


def _look(tree: Tree, features: Features, path: str, names: Collection[Knob]) -> ObservedWorkload:
    """One cgroup; if another one took its place while we read it, this one is gone and the next look sees that one."""
    if not features.cgroup_mount or not path:
        return _GONE
    directory = features.cgroup_mount + path.rstrip("/")
    try:
        inode = tree.inode(directory)
        seen = _read(tree, directory, inode, sorted(names), features.page_size)
        return seen if tree.inode(directory) == inode else _GONE
    except Gone:
        return _GONE


def _read(tree: Tree, directory: str, inode: int, names: Iterable[Knob], page_size: int) -> ObservedWorkload:
    values, unreadable = cgroup.read_knobs(tree, directory, names)
    return ObservedWorkload(
        inode=inode,
        knobs={name: knobs.shown(name, text, page_size) for name, text in values.items()},
        unreadable=unreadable,
        populated=_populated(tree, directory),
        usage_bytes=cgroup.usage_bytes(tree, directory),
        swap_bytes=cgroup.swap_bytes(tree, directory),
    )


def _populated(tree: Tree, directory: str) -> bool:
    """Unreadable counts as populated: nothing may be forgotten because of an error."""
    try:
        return cgroup.populated(tree, directory)
    except Gone:
        raise
    except KernelError:
        return True
