"""One look at everything: class files, inventory, kernel. The daemon's loop, `plan`, `verify`, `explain` share it.

Level-triggered: nothing here knows what changed, it reads what is there now.
"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from reconciler import classes, classfiles, desired, observe, pinned, records, released, safety, schemas, state
from reconciler.actions import Known
from reconciler.agentconfig import AgentTask, Kept, Override
from reconciler.baseline import Baseline
from reconciler.engine.kdamond_record import Record
from reconciler.model import ClassTable, Desired, EngineTask, Features, Observed, Problem, Workload
from sysfs import boot, cgroup, pressure, probe
from sysfs.errors import KernelError
from sysfs.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where everything is; the command line's --root, --config-dir, --state-dir and --run-dir."""

    tree: Tree
    config_dirs: tuple[str, ...]
    state_dir: Path
    run_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    table: ClassTable
    workloads: tuple[Workload, ...]
    features: Features
    desired: Desired
    observed: Observed
    problems: tuple[Problem, ...]  # of class files, records, state; not those of single workloads
    files: Mapping[str, classes.ParsedFile] = field(default_factory=dict)  # last good version of each class file


def look(
    places: Places,
    known: Known,
    *,
    remembered: Mapping[str, classes.ParsedFile] | None = None,
    features: Features | None = None,
    overrides: tuple[Override, ...] = (),
    own_cgroup: str | None = None,
) -> Look:
    """Read, parse, observe, resolve. `remembered`: the last good version of each class file.

    `overrides`: what was set at runtime; `own_cgroup`: the daemon's, where another process looks. Which engines run,
    and what the agent does, is not known here.
    """
    boot_id = boot.boot_id(places.tree)
    features = features or features_of(places, boot_id)
    texts = classfiles.installed(places.state_dir, places.config_dirs, boot_id)
    loaded = classes.load(texts, schemas.load(), remembered, features.page_size)
    found, record_problems = records.read_all(str(places.state_dir), boot_id)
    workloads = (*found, *static_workloads(places.tree, features.cgroup_mount, loaded.table))
    own = cgroup.own_path(places.tree) if own_cgroup is None else own_cgroup
    resolved = desired.resolve(
        loaded.table,
        workloads,
        features,
        own_cgroup=own,
        uncertain=bool(loaded.failed - loaded.files.keys()),
        overrides=overrides,
        kept=(
            *pinned.pinned(places.tree, features.cgroup_mount),
            *never_managed(places.tree, features.cgroup_mount, own),
        ),
    )
    return Look(
        table=loaded.table,
        workloads=workloads,
        features=features,
        desired=resolved,
        observed=observed_of(places.tree, features, resolved, known),
        problems=(*loaded.problems, *record_problems),
        files=loaded.files,
    )


def features_of(places: Places, boot_id: str) -> Features:
    """As the daemon of this state directory sees them: its kdamonds are not somebody else's."""
    return probe.features(places.tree, Record(places.state_dir, boot_id).load().ours)


def static_workloads(tree: Tree, mount: str, table: ClassTable) -> tuple[Workload, ...]:
    """The `workloads:` entries, one for each cgroup that matches now; one without a match is silent."""
    result: list[Workload] = []
    for entry in table.workloads:
        matches: tuple[str, ...] = () if entry.cgroup else ("",)
        if mount and entry.cgroup:
            matches = cgroup.expand(tree, mount, entry.cgroup)
        for path in matches:
            several = len(matches) > 1
            result.append(
                Workload(
                    id=f"{entry.name}:{_printable(path.strip('/'))}" if several else entry.name,
                    cgroup=path,
                    class_name=entry.class_name,
                    source=str(entry.origin),
                    named=True,
                )
            )
    return tuple(result)


def never_managed(tree: Tree, mount: str, own_cgroup: str) -> tuple[Kept, ...]:
    """Cgroups that are there now and from which the agent takes nothing: the node itself depends on them."""
    found = {"/init.scope": "the cgroup of process 1: everything depends on it"}
    if own_cgroup.strip("/"):
        found[own_cgroup] = "Ebbtide itself runs in it"
    for name in safety.SERVICES if mount else ():
        for glob in (f"/{name}", f"/*/{name}"):
            found |= dict.fromkeys(cgroup.expand(tree, mount, glob), safety.service_refusal(name))
    return tuple(Kept(cgroup=path, reason=reason) for path, reason in sorted(found.items()))


def stalled(tree: Tree, mount: str, paths: Mapping[str, str]) -> dict[str, int]:
    """Microseconds in which tasks waited for memory, by the names of the cgroups' `paths`; of the node as ""."""
    found: dict[str, int] = {}
    files = {key: f"{mount}{path.rstrip('/')}/memory.pressure" for key, path in paths.items()}
    for name, path in {**files, "": pressure.NODE}.items():
        with contextlib.suppress(KernelError, ValueError):  # pressure may not be accounted, or the cgroup gone
            found[name] = pressure.read(tree, path).some_us
    return found


def on_nodes(tree: Tree, mount: str, path: str) -> dict[str, int]:
    """Bytes of a cgroup on each memory node; empty where that is not known, or there is one node only."""
    try:
        found = cgroup.on_nodes(tree, mount + path.rstrip("/"))
    except (KernelError, ValueError):
        return {}
    return {str(node): size for node, size in sorted(found.items())} if len(found) > 1 else {}


def _printable(name: str) -> str:
    """A directory's name may hold anything, and whoever has a delegated cgroup may make one."""
    return name if name.isprintable() else name.encode("unicode_escape", "surrogateescape").decode("ascii", "replace")


def observed_of(tree: Tree, features: Features, wanted: Desired, known: Known) -> Observed:
    """What the kernel shows of everything that we want to manage or have ever written to."""
    paths = {key: item.workload.cgroup for key, item in wanted.workloads.items() if item.workload.cgroup}
    return observe.observe(tree, features, paths, known.baseline)


def known_of(baseline: Baseline, places: Places) -> Known:
    """What an administrator has said (pause, release) and what we remember; retries are the loop's own."""
    return Known(
        baseline=dict(baseline.entries),
        paused=(places.run_dir / state.PAUSED).exists(),
        released=released.read(places.state_dir),
    )


def with_running(seen: Observed, engines: Mapping[str, EngineTask], agent: AgentTask) -> Observed:
    return replace(seen, engines=engines, agent=agent)
