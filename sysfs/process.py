"""Who a process is and how much memory it has: /proc/PID/{stat,status,exe,oom_score} (proc(5))."""

from contextlib import suppress

from reconciler.model import Identity, ProcessFacts
from sysfs.errors import KernelError, Rejected
from sysfs.tree import Tree

_PF_KTHREAD = 0x00200000  # include/linux/sched.h
_FLAGS, _PARENT, _START_TIME = 6, 1, 19  # fields 9, 4 and 22 of stat, counted behind the command's name


# Fields 26-28 and 45-47: start and end of code, start of stack, data and heap. 0 or 1 without the right to trace it.
_LAYOUT = (23, 24, 25, 42, 43, 44)


def start_time(tree: Tree, pid: int) -> int:
    """Clock ticks after boot."""
    return int(_stat(tree, pid)[1][_START_TIME])


def identity(tree: Tree, pid: int) -> Identity:
    _, fields = _stat(tree, pid)
    return pid, int(fields[_START_TIME]), _layout(fields)


def facts(tree: Tree, pid: int) -> ProcessFacts:
    comm, fields = _stat(tree, pid)
    return ProcessFacts(
        pid=pid,
        start_time=int(fields[_START_TIME]),
        comm=comm,
        exe=_exe(tree, pid),
        kernel_thread=bool(int(fields[_FLAGS]) & _PF_KTHREAD),
        parent=int(fields[_PARENT]),
        layout=_layout(fields),
    )


def status(tree: Tree, pid: int) -> dict[str, int]:
    """The sizes of /proc/PID/status (VmRSS, RssAnon, VmSwap, ...) in bytes; a zombie or kernel thread has none."""
    lines = (line.partition(":") for line in tree.read(f"/proc/{pid}/status").splitlines())
    sizes = ((key, value.split()) for key, _, value in lines)
    return {
        key: int(words[0]) * 1024 for key, words in sizes if len(words) == 2 and words[0].isdigit() and words[1] == "kB"
    }


def oom_score(tree: Tree, pid: int) -> int:
    """0 to 2000: the higher, the sooner the kernel kills it when memory runs out; 0 = never."""
    path = f"/proc/{pid}/oom_score"
    text = tree.read(path).strip()
    if not text.isdigit():
        raise Rejected(None, f"is no score: {text[:20]!r}", path)
    return int(text)


def name_ourselves(name: str) -> None:
    """So that nobody takes us for any Python program, least of all Ebbtide (reconciler/safety.py)."""
    with suppress(KernelError):  # no /proc of our own: then nobody can look at us either
        Tree().write("/proc/self/comm", name)


def all_pids(tree: Tree) -> tuple[int, ...]:
    return tuple(sorted(int(name) for name in tree.list("/proc") if name.isdigit()))


def _layout(fields: list[str]) -> tuple[int, ...]:
    return tuple(int(fields[field]) for field in _LAYOUT) if len(fields) > _LAYOUT[-1] else ()


def _stat(tree: Tree, pid: int) -> tuple[str, list[str]]:
    """The command and the fields behind it; a command may itself contain blanks and parentheses."""
    path = f"/proc/{pid}/stat"
    head, found, tail = tree.read(path).rpartition(")")
    fields = tail.split()
    if not found or len(fields) <= _START_TIME:
        raise Rejected(None, "is no process statistics line: is /proc complete?", path)
    return head.partition("(")[2], fields


def program(tree: Tree, pid: int) -> str:
    """Path of its program file, as the process sees it; `Gone` for kernel threads and zombies, which have none.

    Without the kernel's mark for a file that was replaced, as package upgrades do under running daemons.
    """
    return tree.link(f"/proc/{pid}/exe").removesuffix(" (deleted)")


def _exe(tree: Tree, pid: int) -> str:
    try:
        return program(tree, pid)
    except KernelError:
        return ""
