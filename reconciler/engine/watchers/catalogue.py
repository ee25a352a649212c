"""Which watchers there are: a task in, whose memory its loop looks at out."""

from reconciler.engine.watchers.cgroups import Cgroups
from reconciler.engine.watchers.everyone import Everyone
from reconciler.engine.watchers.interested import Interested
from reconciler.engine.watchers.pidlist import Pidlist
from reconciler.engine.watchers.sieve import Sieve
from reconciler.engine.watchers.watcher import Nobody, Together, Watcher
from reconciler.engineconfig import CGROUP_PLACEHOLDER, WatcherConfig
from reconciler.model import EngineTask
from sysfs.tree import Tree


def make(task: EngineTask, tree: Tree) -> Watcher:
    return _of(task.config.watcher, task, tree)


def _of(config: WatcherConfig, task: EngineTask, tree: Tree) -> Watcher:
    match config.name:
        case "filter":
            return Sieve(tree, _of(config.source or WatcherConfig(), task, tree), config.filters)
        case "proc":
            return Everyone(tree)
        case "stub":
            return Nobody()
        case _:
            return _scope(config, task, tree)


def _scope(config: WatcherConfig, task: EngineTask, tree: Tree) -> Watcher:
    """Cgroups and processes as the task names them; one that names none leaves that to its configuration."""
    directories, pids = task.cgroups, frozenset(task.pids)
    if not directories and not pids:
        directories = tuple(path for path in config.cgroups if CGROUP_PLACEHOLDER not in path)
        pids = frozenset(config.pids)
    listed = frozenset(config.pids) if config.name == "pidlist" else frozenset[int]()
    watchers: list[Watcher] = []
    if directories:
        watchers.append(Cgroups(tree, task.workload, directories, named=task.named))
    if pids:
        watchers.append(Pidlist(tree, pids, pids if task.named else listed))
    if not watchers and (directory := task.config.pages_of_interest()):
        watchers.append(Interested(directory))
    return watchers[0] if len(watchers) == 1 else Together(tuple(watchers))
