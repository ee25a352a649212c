"""memtierd's `proc`: every process that runs a program, so no kernel thread and no zombie.

Nobody is named by this: engine/members.py leaves out this daemon, and who is never managed (reconciler/safety.py).
"""

from reconciler.engine.watchers.watcher import Found
from sysfs import process
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree


class Everyone:
    directories: tuple[str, ...] = ()

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def look(self) -> Found:
        unseen = 0
        pids = set()
        for pid in process.all_pids(self._tree):
            try:
                process.program(self._tree, pid)
            except Gone:
                continue
            except KernelError:
                unseen += 1
                continue
            pids.add(pid)
        whom = "1 process" if unseen == 1 else f"{unseen} processes"
        notes = (f"{whom} may not be looked at (CAP_SYS_PTRACE is missing)",) if unseen else ()
        return Found(pids=frozenset(pids), notes=notes)
