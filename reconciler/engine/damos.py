"""Policy `damos`: the kernel itself acts on regions that look as the class says (DAMON-based operation schemes).

The scheme runs in the kdamond that the tracker `damon` uses, too, if their intervals are the same, for this workload's
processes alone; or, with `physical`, in one that watches physical memory, for this workload's cgroups alone. A brake
takes the scheme away, while DAMON goes on watching: ages are not lost.

Which kinds of pages it takes (`pagetypes`) is a filter of the kernel's, which is looked at in physical memory, and in
processes from Linux 6.18 on by migrate_*. Where DAMON calls madvise (pageout, cold, willneed of processes) it looks at
none, up to 7.3; and madvise, called by the kernel itself, takes file pages that only this process has mapped.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace

from reconciler.engine import kdamond_targets
from reconciler.engine.kdamond_targets import PHYSICAL, Attributes
from reconciler.engine.kdamonds import Kdamonds, Wish
from reconciler.engine.processes import Process
from reconciler.engine.trackers.tracker import Means
from reconciler.engineconfig import DamosConfig
from sysfs import iomem
from sysfs.damon import Stats
from sysfs.damon_scheme import MANY, NO_LIMIT, Abilities, Filter, Goal, Quota, Scheme
from sysfs.errors import Gone, Unsupported
from sysfs.tree import Tree

_PHYSICAL_ONLY = frozenset({"lru_prio", "lru_deprio"})
_VIRTUAL_ONLY = frozenset({"cold", "willneed"})
_FILTERED_VIRTUAL = frozenset({"stat", "migrate_cold", "migrate_hot"})  # honour filters of pages there
_ANON = "anon"
_DEEPEST = 32  # cgroups below cgroups


class Damos:
    def __init__(self, config: DamosConfig, means: Means) -> None:
        """Takes a place in a kdamond; raises a KernelError that says what is in the way, or what this kernel lacks."""
        self._config, self._tree, self._means = config, means.tree, means
        self._mount = means.features.cgroup_mount
        self._attributes = attributes(config, means)
        self._pool = means.kdamonds or Kdamonds(means.tree, clock=means.clock)
        damon = means.config.damon
        self._member = self._pool.join(
            Wish(
                name=means.workload,
                attributes=self._attributes,
                kdamonds=damon.kdamonds,
                number=damon.nr_kdamonds,
                pause_stat=damon.pause_damon_stat,
                looks=False,
            )
        )
        self._paused = False
        self._checked(self._member.can)
        self.note = unfiltered(config, self._member.can)  # for a reader of the report

    def roster(self, known: Mapping[int, Process]) -> None:
        """Whose memory it acts on from now on; the first call starts it."""
        if self._config.physical:
            targets = {PHYSICAL: iomem.system_ram(self._tree)} if known else {}
        else:
            targets = {each.identity: kdamond_targets.spans(each.mapped) for each in known.values()}
        self._member.serve(targets, self._wanted())
        self._member.check()

    def pause(self) -> None:
        """The kernel does nothing any more, but goes on watching."""
        self._paused = True
        self._member.act(())

    def proceed(self) -> None:
        self._paused = False
        self._member.act(self._wanted())

    @property
    def paused(self) -> bool:
        return self._paused

    @property
    def action(self) -> str:
        return self._config.action

    def figures(self) -> Stats:
        """What the kernel has tried and done for this workload so far."""
        return self._member.done()

    def close(self) -> None:
        self._member.leave()
        if self._means.kdamonds is None:
            self._pool.close()

    def _wanted(self) -> tuple[Scheme, ...]:
        return () if self._paused else self._schemes()

    def _schemes(self) -> tuple[Scheme, ...]:
        one = scheme(self._config, self._attributes, self._member.can)
        of_pages = _filters(self._config, self._member.can)
        if not self._config.physical:
            return (replace(one, filters=of_pages),)
        groups = list(_groups(self._tree, self._mount, self._means.directories()))
        return tuple(
            replace(
                one,
                quota=_share(one.quota, len(groups)),
                filters=(Filter(kind="memcg", matching=False, path=path), *of_pages),
            )
            for path in groups
        )

    def _checked(self, can: Abilities) -> None:
        try:
            check(self._config, can)
        except Unsupported:
            self.close()
            raise


def attributes(config: DamosConfig, means: Means) -> Attributes:
    """Of physical memory nobody takes snapshots, so that all such workloads share one kdamond."""
    if not config.physical:
        return kdamond_targets.attributes(means.config.damon)
    wanted = kdamond_targets.attributes(means.config.damon, "paddr")
    return replace(wanted, largest_bytes=-1, page_exact=False)


def scheme(config: DamosConfig, attributes: Attributes, can: Abilities) -> Scheme:
    """In the kernel's units; percentages are of an aggregation interval's samples, and nothing is lost by rounding."""
    samples = max(attributes.aggregation_us // attributes.sample_us, 1)
    least = -(-samples * config.min_access_percent // 100)
    most = MANY if config.max_access_percent >= 100 else int(samples * config.max_access_percent / 100)
    return Scheme(
        action=config.action,
        size=(config.min_bytes, config.max_bytes or NO_LIMIT),
        accesses=(int(least), most),
        age=(-(-config.min_age_ms * 1000 // attributes.aggregation_us), MANY),
        nodes=config.nodes if can.dests else config.nodes[:1],
        quota=Quota(
            bytes=config.quota_bytes,
            ms=config.quota_ms,
            interval_ms=config.quota_interval_ms,
            goals=tuple(
                Goal(metric=goal.metric, target=goal.target, node=goal.node, path=goal.path) for goal in config.goals
            ),
        ),
    )


def check(config: DamosConfig, can: Abilities) -> None:
    """Combinations that the kernel takes and then does nothing for, or not all that was asked."""
    where = "physical memory" if config.physical else "processes (physical: false)"
    if config.action in (_VIRTUAL_ONLY if config.physical else _PHYSICAL_ONLY):
        raise Unsupported(None, f"DAMON has no such action for {where}", config.action)
    if config.physical:
        return
    if config.action.startswith("migrate") and not can.dests:
        raise Unsupported(None, f"needs Linux 6.17 for {where}; physical: true needs 6.11", config.action)
    if looks_at_pages(config, can):
        return
    said = f"is not looked at by action {config.action} for {where}: say physical: true"
    if config.young:
        raise Unsupported(None, said, "young")
    if _ANON not in config.page_types:
        raise Unsupported(None, said, "pagetypes: [file]")


def looks_at_pages(config: DamosConfig, can: Abilities) -> bool:
    """Whether the kernel asks its filters about each page before it acts."""
    return config.physical or (config.action in _FILTERED_VIRTUAL and can.virtual_young)


def unfiltered(config: DamosConfig, can: Abilities) -> str:
    """Which memory may go although the class does not name it, "" if none."""
    if config.page_types != (_ANON,) or looks_at_pages(config, can):
        return ""
    way_out = "" if config.action in _VIRTUAL_ONLY else " (physical: true takes anonymous memory only)"
    return (
        f"action {config.action} looks at no pagetypes in processes: file pages that nobody else has mapped"
        f" are taken, too{way_out}"
    )


def _filters(config: DamosConfig, can: Abilities) -> tuple[Filter, ...]:
    """What leaves pages out."""
    if not looks_at_pages(config, can):
        return ()
    kinds = (Filter(kind=_ANON, matching=_ANON not in config.page_types),) if len(config.page_types) == 1 else ()
    return (*kinds, *((Filter(kind="young", matching=True),) if config.young else ()))


def _share(quota: Quota, groups: int) -> Quota:
    """One scheme for each cgroup: together they may do what the class says."""
    most = [-(-each // groups) for each in (quota.bytes, quota.ms)]
    return replace(quota, bytes=most[0], ms=most[1])


def _groups(tree: Tree, mount: str, directories: tuple[str, ...]) -> Iterator[str]:
    """Cgroup paths of the directories and all below: a memcg filter knows one cgroup, not what is in it."""
    for directory in directories:
        yield from _below(tree, directory, mount, _DEEPEST)


def _below(tree: Tree, directory: str, mount: str, depth: int) -> Iterator[str]:
    with suppress(Gone):
        folders = tree.folders(directory)
        yield directory.removeprefix(mount)
        for name in folders if depth else ():
            yield from _below(tree, f"{directory}/{name}", mount, depth - 1)
