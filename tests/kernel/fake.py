"""A kernel made of pyfakefs files that behave like the real one's: they round, refuse, react and vanish.

    kernel = FakeKernel(fs)
    kernel.cgroup("/kubepods/pod1", memory_max="64M")
    kernel.process(70, "/kubepods/pod1", anon=1 << 20)
    ... code under test gets kernel.tree and kernel.features() ...
    assert kernel.knob("/kubepods/pod1", "memory.max") == "67108864"
    assert kernel.writes == [Write(...)]

test_behaviour.py asks the same table of writes of this and, where it may (root, cgroup v2 with a memory controller), of
the real kernel. What is simplified on purpose: reclaim is immediate and takes page cache first, then anonymous memory
into swap; nothing ever runs out of memory by itself (an `oom` event is counted).
"""

import errno
from collections.abc import Callable, Iterator

from pyfakefs.fake_filesystem import FakeFilesystem

from reconciler.model import Feature, Features
from tests.kernel import files, state
from tests.kernel.files import KernelFile, KernelTree, failure
from tests.kernel.state import Group, Process, Write

MOUNT = "/sys/fs/cgroup"
LIMITS = (
    "memory.min",
    "memory.low",
    "memory.high",
    "memory.max",
    "memory.swap.high",
    "memory.swap.max",
    "memory.zswap.max",
)
SWITCHES = ("memory.oom.group", "memory.zswap.writeback")
DEFAULTS = {
    **dict.fromkeys(LIMITS, "max"),
    "memory.min": "0",
    "memory.low": "0",
    "memory.oom.group": "0",
    "memory.zswap.writeback": "1",
}


class FakeKernel:
    """`lacks`: names of memory.* files that this kernel has not (a cloud kernel without zswap, no swap accounting)."""

    def __init__(
        self,
        fs: FakeFilesystem,
        *,
        root: str = "/kernel",
        lacks: tuple[str, ...] = (),
        page_size: int = 4096,
        swap: int = 0,
    ) -> None:
        self.fs = fs
        self.root = root.rstrip("/")
        self.tree = KernelTree(fs, root)
        self.lacks = frozenset(lacks)
        self.page_size = page_size
        self.groups: dict[str, Group] = {}
        self.processes: dict[int, Process] = {}
        self.swap_devices: dict[str, int] = {"/dev/zram0": swap} if swap else {}
        self.writes: list[Write] = []
        self.boots = 0
        self._faults: dict[str, list[int]] = {}  # path -> errnos of the next accesses
        self._make_node_files()
        self._make_group("/")

    # -- what a test does ------------------------------------------------------------------------------------------

    def cgroup(self, path: str, **knobs: str) -> str:
        """Make a cgroup and its ancestors, with the memory controller; knobs as memory_max="64M". Gives the path."""
        parts = path.strip("/").split("/")
        for depth in range(1, len(parts) + 1):
            above, place = "/" + "/".join(parts[: depth - 1]), "/" + "/".join(parts[:depth])
            if place not in self.groups:
                self._enable_memory(above)
                self._make_group(place)
        for name, value in knobs.items():
            self.set(path, name.replace("_", "."), value)
        return path

    def remove(self, path: str) -> None:
        """As rmdir(2) does: not while processes or children are there."""
        if any(p.cgroup == path for p in self.processes.values()) or self._children(path):
            raise failure(errno.EBUSY)
        del self.groups[path]
        self.fs.remove_object(self._real(path))

    def kill(self, path: str) -> None:
        """End a container: its processes, then its cgroups from the bottom."""
        for pid in [p.pid for p in self.processes.values() if _within(p.cgroup, path)]:
            self.exit(pid)
        for group in sorted((g for g in self.groups if _within(g, path)), reverse=True):
            self.remove(group)

    def process(self, pid: int, cgroup: str, **facts: str | int) -> Process:
        """Start a process in a cgroup; facts are the fields of `Process`."""
        if cgroup not in self.groups:
            raise ValueError(f"impossible: no cgroup {cgroup}")
        if cgroup != "/" and "memory" in self.groups[cgroup].subtree:
            raise ValueError(f"impossible: {cgroup} has cgroups with controllers below it, so it has no processes")
        if pid in self.processes:
            raise ValueError(f"impossible: pid {pid} is taken")
        found = Process(pid, cgroup, **facts)  # type: ignore[arg-type]
        self._check_fits(found)
        self.processes[pid] = found
        self._make_process(found)
        return found

    def exit(self, pid: int) -> None:
        del self.processes[pid]
        self.fs.remove_object(f"{self.root}/proc/{pid}")

    def knob(self, path: str, name: str) -> str:
        return self._group(path).knobs[name]

    def set(self, path: str, name: str, value: str) -> None:
        """What somebody else (runtime, kubelet, administrator) writes; not counted in `writes`."""
        self._store(self._group(path), name, value)

    def page_out(self, pid: int, size: int) -> int:
        """Anonymous memory of a process into swap, as far as limits and swap space go; gives how much went."""
        process = self.processes[pid]
        moved = min(size, process.anon, self._swap_room(process.cgroup))
        process.anon -= moved
        process.swap += moved
        return moved

    def page_in(self, pid: int, size: int) -> None:
        """The process touches what was paged out: a refault."""
        process = self.processes[pid]
        moved = min(size, process.swap)
        process.anon += moved
        process.swap -= moved
        self.groups[process.cgroup].refaults += moved // self.page_size

    def stall(self, path: str, some_us: int, full_us: int = 0) -> None:
        """Add stall time; it counts for the ancestors, too."""
        for group in self._up(path):
            group.some_us += some_us
            group.full_us += full_us

    def fail(self, path: str, name: str, number: int, times: int = 1) -> None:
        """The next accesses to a cgroup's file get this errno."""
        self._faults.setdefault(f"{path}/{name}", []).extend([number] * times)

    def reboot(self) -> None:
        """Another boot: other boot id, no cgroups, no processes, swap empty."""
        for path in [g for g in self.groups if g.count("/") == 1 and g != "/"]:
            self.kill(path)
        for pid in list(self.processes):
            self.exit(pid)
        self.boots += 1

    def features(self, *works: str) -> Features:
        """As the probe would give them; `works` names features that shall work beside those that belong to the tree."""
        names = {"cgroup2", "psi", "swap", *works} - (set() if self.swap_devices else {"swap"})
        return Features(
            kernel="fake",
            page_size=self.page_size,
            cgroup_mount=MOUNT,
            knobs=frozenset(name for name in DEFAULTS if name not in self.lacks),
            features={name: Feature(name=name, works=True, detail="fake") for name in sorted(names)},
        )

    # -- sums ------------------------------------------------------------------------------------------------------

    def usage(self, path: str) -> int:
        return sum(p.anon + p.file for p in self._inside(path))

    def swapped(self, path: str) -> int:
        return sum(p.swap for p in self._inside(path))

    def _inside(self, path: str) -> Iterator[Process]:
        return (p for p in self.processes.values() if _within(p.cgroup, path))

    def _swap_room(self, path: str) -> int:
        room = [sum(self.swap_devices.values()) - self.swapped("/")]
        for group in self._up(path):
            value = group.knobs.get("memory.swap.max", "max")
            room += [] if value == "max" else [int(value) - self.swapped(group.path)]
        return max(0, min(room))

    def _check_fits(self, process: Process) -> None:
        """A tree that no kernel can show would prove nothing."""
        for group in self._up(process.cgroup):
            value = group.knobs.get("memory.max", "max")
            if value != "max" and self.usage(group.path) + process.anon + process.file > int(value):
                raise ValueError(f"impossible: {group.path} would have more than its memory.max")
        if process.swap > self._swap_room(process.cgroup):
            raise ValueError("impossible: more swapped out than there is swap, or than memory.swap.max allows")

    # -- writes ----------------------------------------------------------------------------------------------------

    def _written(self, path: str, text: str, store: Callable[[str], None]) -> None:
        try:
            self._trip(path.removeprefix(MOUNT))
            store(text)
        except OSError as error:
            self.writes.append(Write(path, text, error.errno or 0))
            raise
        self.writes.append(Write(path, text))

    def _trip(self, key: str) -> None:
        if self._faults.get(key):
            raise failure(self._faults[key].pop(0))

    def _store(self, group: Group, name: str, text: str) -> None:
        if name not in group.knobs:
            raise failure(errno.ENOENT)
        group.knobs[name] = files.switch(text) if name in SWITCHES else files.limit(text, self.page_size)
        if name in {"memory.high", "memory.max"} and group.knobs[name] != "max":
            self._reclaim(group, int(group.knobs[name]), name.removeprefix("memory."))

    def _reclaim(self, group: Group, allowed: int, event: str) -> None:
        """A limit below the usage: page cache goes first, then anonymous memory if there is swap for it."""
        if self.usage(group.path) > allowed:
            group.events[event] += 1
        for process in self._inside(group.path):
            excess = max(0, self.usage(group.path) - allowed)
            process.file -= min(process.file, excess)
        for process in self._inside(group.path):
            self.page_out(process.pid, max(0, self.usage(group.path) - allowed))
        if event == "max" and self.usage(group.path) > allowed:
            group.events["oom"] += 1

    def _proactive(self, group: Group, text: str) -> None:
        """memory.reclaim: EAGAIN if less than asked for could be freed."""
        before = self.usage(group.path)
        asked = files.number((text.split() or [""])[0]) // self.page_size * self.page_size
        self._reclaim(group, max(0, before - asked), "low")
        if before - self.usage(group.path) < asked:
            raise failure(errno.EAGAIN)

    def _move(self, group: Group, text: str) -> None:
        pid = int(text)
        if pid not in self.processes:
            raise failure(errno.ESRCH)
        if group.path != "/" and "memory" in group.subtree:
            raise failure(errno.EBUSY)
        self.processes[pid].cgroup = group.path

    def _control(self, group: Group, text: str) -> None:
        for word in text.split():
            if word not in {"+memory", "-memory", "+cpu", "-cpu", "+pids", "-pids"}:
                raise failure(errno.EINVAL)
            if word == "+memory":
                self._enable_memory(group.path)

    def _enable_memory(self, path: str) -> None:
        if path != "/" and any(p.cgroup == path for p in self.processes.values()):
            raise failure(errno.EBUSY)  # no internal processes
        self.groups[path].subtree.add("memory")

    # -- files -----------------------------------------------------------------------------------------------------

    def add_file(self, path: str, show: Callable[[], str], store: Callable[[str], None] | None = None) -> None:
        """A kernel file whose reads can be made to fail and whose writes are written down."""
        folder, _, name = (self.root + path).rpartition("/")
        key = path.removeprefix(MOUNT)

        def shown() -> str:
            self._trip(key)
            return show()

        if not self.fs.exists(folder):
            self.fs.create_dir(folder)
        stored = lambda text: self._written(path, text, store or files.read_only)  # noqa: E731
        self.fs.add_object(folder, KernelFile(name, self.fs, shown, stored))

    def _make_node_files(self) -> None:
        for pid in ("self", "1"):
            self.add_file(f"/proc/{pid}/mountinfo", lambda: f"41 31 0:38 / {MOUNT} rw - cgroup2 cgroup2 rw\n")
        self.add_file("/proc/self/cgroup", lambda: "0::/\n")
        self.add_file("/proc/sys/kernel/random/boot_id", lambda: f"00000000-0000-4000-8000-{self.boots:012d}\n")
        self.add_file("/proc/sys/kernel/osrelease", lambda: "6.12.0-fake\n")
        self.add_file("/proc/swaps", self._swaps)
        self.add_file("/proc/pressure/memory", lambda: state.pressure(self.groups["/"]))

    def _swaps(self) -> str:
        lines = ["Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority"]
        used = self.swapped("/")
        for name, size in self.swap_devices.items():
            taken = min(used, size)
            used -= taken
            lines.append(f"{name:<39} partition\t{size // 1024}\t\t{taken // 1024}\t\t100")
        return "\n".join(lines) + "\n"

    def _make_group(self, path: str) -> None:
        group = Group(path)
        self.groups[path] = group
        base = MOUNT + path.rstrip("/")
        self.add_file(f"{base}/cgroup.controllers", lambda: "cpu memory pids\n")
        self.add_file(
            f"{base}/cgroup.subtree_control", lambda: state.line(group.subtree), lambda text: self._control(group, text)
        )
        self.add_file(f"{base}/cgroup.procs", lambda: self._procs(path), lambda text: self._move(group, text))
        self.add_file(f"{base}/memory.stat", lambda: self._stat(group))
        self.add_file(f"{base}/memory.pressure", lambda: state.pressure(group))
        self.add_file(f"{base}/memory.reclaim", _no_show, lambda text: self._proactive(group, text))
        if path != "/":  # the root has none of these
            self._make_limits(group, base)

    def _make_limits(self, group: Group, base: str) -> None:
        shows = {
            "cgroup.events": lambda: f"populated {int(any(self._inside(group.path)))}\nfrozen 0\n",
            "memory.current": lambda: f"{self.usage(group.path)}\n",
            "memory.swap.current": lambda: f"{self.swapped(group.path)}\n",
            "memory.events": lambda: "".join(f"{key} {value}\n" for key, value in group.events.items()),
        }
        for name, show in shows.items():
            if name not in self.lacks:
                self.add_file(f"{base}/{name}", show)
        for name, value in DEFAULTS.items():
            if name not in self.lacks:
                group.knobs[name] = value
                self.add_file(
                    f"{base}/{name}",
                    lambda name=name: group.knobs[name] + "\n",  # type: ignore[misc]
                    lambda text, name=name: self._store(group, name, text),  # type: ignore[misc]
                )

    def _stat(self, group: Group) -> str:
        inside = list(self._inside(group.path))
        refaults = sum(g.refaults for g in self.groups.values() if _within(g.path, group.path))
        values = {
            "anon": sum(p.anon for p in inside),
            "file": sum(p.file for p in inside),
            "workingset_refault_anon": refaults,
            "workingset_refault_file": 0,
            "pswpin": refaults,
        }
        return "".join(f"{key} {value}\n" for key, value in values.items())

    def _procs(self, path: str) -> str:
        return "".join(f"{p.pid}\n" for p in self.processes.values() if p.cgroup == path)

    def _make_process(self, process: Process) -> None:
        base = f"/proc/{process.pid}"
        self.add_file(f"{base}/cgroup", lambda: f"0::{process.cgroup}\n")
        self.add_file(f"{base}/comm", lambda: f"{process.comm}\n")
        self.add_file(f"{base}/stat", lambda: state.proc_stat(process))
        self.add_file(f"{base}/status", lambda: state.proc_status(process))
        if not process.kernel_thread:
            self.fs.create_symlink(f"{self.root}{base}/exe", process.exe)

    # -- ways ------------------------------------------------------------------------------------------------------

    def _real(self, path: str) -> str:
        return self.root + MOUNT + path.rstrip("/")

    def _group(self, path: str) -> Group:
        if path not in self.groups:
            raise failure(errno.ENOENT)
        return self.groups[path]

    def _children(self, path: str) -> list[str]:
        return [name for name in self.groups if name != path and _within(name, path)]

    def _up(self, path: str) -> Iterator[Group]:
        while path:
            yield self.groups[path]
            path = path.rpartition("/")[0]
        yield self.groups["/"]


def _within(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")


def _no_show() -> str:
    raise failure(errno.EINVAL)
