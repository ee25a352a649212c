"""A node with swap that behaves: memory that processes use, areas that fill and empty, zram devices that come and go.

Swap files are real files below the test's folder; that they are in use is this node's knowledge. What a kernel would
answer with a catastrophe (out of memory, a swap file that is gone while in use) is noted in `accidents`.
"""

import errno
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reconciler.agent.swap_making import Doors
from reconciler.agent.swap_places import FileSystem
from reconciler.agent.swapfile import SwapFiles
from reconciler.agentconfig import AgentTask, SwapConfig
from sysfs import errors, swapping
from sysfs.tree import Tree

MIB = 1 << 20
PAGE = 4096
MOST_AREAS = 28


def failure(code: int, path: str) -> errors.KernelError:
    return errors.of(OSError(code, os.strerror(code)), path)


@dataclass(slots=True)
class Used:
    """An area in use."""

    path: str
    size: int
    priority: int
    used: int = 0
    leaving: bool = False


@dataclass(slots=True)
class Device:
    inode: int
    disksize: int = 0
    algorithm: str = "lzo"


class Node:
    def __init__(self, root: Path, *, memory: int = 1024 * MIB, in_memory: int = 100 * MIB) -> None:
        self.root, self.memory, self.in_memory = root, memory, in_memory
        self.now = 1000.0
        self.areas: list[Used] = []
        self.devices: dict[int, Device] = {}
        self.has_zram = True
        self.magic = swapping.EXT
        self.can_reserve = True
        self.refuses: dict[str, int] = {}  # on | off -> errno of the next call
        self.speed = 64 * MIB  # of swapoff, a second
        self.during_off: Callable[[], None] = lambda: None
        self.accidents: list[str] = []
        self.paused: list[float] = []  # of a release
        self.watched = 0  # so many times a device is busy for somebody else
        self.effect: Callable[[str], None] = lambda _: None  # before and after each effect
        self.boots, self._inodes, self._tokens = 0, 100, 0
        self.state_dir = root / "state"
        self.state_dir.mkdir(mode=0o700)
        (root / "dev").mkdir()
        self.tree = NodeTree(self)

    # -- what a test does ----------------------------------------------------------------------------------------------

    def agent(self) -> SwapFiles:
        return SwapFiles(
            self.tree,
            self.state_dir,
            boot_id=f"boot-{self.boots}",
            page_size=PAGE,
            mount="/sys/fs/cgroup",
            clock=lambda: self.now,
            doors=self.doors(),
        )

    def doors(self) -> Doors:
        system = FileSystem(
            magic=lambda _: self.magic,
            reserve=self._reserve,
            allocated=lambda descriptor: os.fstat(descriptor).st_size,
            stop_copying=self._stop_copying,
        )
        return Doors(on=self.on, off=self.off, system=system, token=self._token, pause=self.paused.append)

    def reboot(self) -> None:
        self.areas, self.devices = [], {}
        self.boots += 1

    def swap_out(self, size: int) -> None:
        """Of what processes have in memory, into the areas by priority."""
        for area in sorted(self.areas, key=lambda each: -each.priority):
            moved = min(size, area.size - area.used)
            area.used, self.in_memory, size = area.used + moved, self.in_memory - moved, size - moved
        assert not size, "impossible: more than fits"

    def other_swap(self, size: int, used: int = 0) -> None:
        self.areas.append(Used("/dev/vda5", size, -2, used))

    @property
    def available(self) -> int:
        return self.memory - self.in_memory

    def swapped(self) -> int:
        return sum(area.used for area in self.areas)

    def sizes(self) -> list[int]:
        """Of the areas in use, with their headers, in MiB."""
        return [(area.size + PAGE) // MIB for area in self.areas]

    def swap_file(self) -> Path:
        """The first one."""
        return self.state_dir / "swap" / self.files()[0]

    def fill(self) -> None:
        """Swap as large as memory; most of both is in use."""
        agent = self.agent()
        agent.change(task())
        settle(self, agent, 60)
        self.in_memory = 900 * MIB
        self.swap_out(800 * MIB)
        self.in_memory = 900 * MIB

    def files(self) -> list[str]:
        folder = self.state_dir / "swap"
        return sorted(os.listdir(folder)) if folder.exists() else []

    # -- system calls --------------------------------------------------------------------------------------------------

    def on(self, path: str, priority: int) -> None:
        self.effect("on")
        if code := self.refuses.pop("on", 0):
            raise failure(code, path)
        with open(path, "rb") as file:
            data = file.read(PAGE)
        if data[-10:] != b"SWAPSPACE2" or (path.startswith(str(self.state_dir)) and os.stat(path).st_mode & 0o77):
            raise failure(errno.EINVAL, path)
        if any(area.path == path for area in self.areas):
            raise failure(errno.EBUSY, path)
        if len(self.areas) >= MOST_AREAS:
            raise failure(errno.EPERM, path)
        last_page = struct.unpack_from("=I", data, 1028)[0]
        self.areas.append(Used(path, last_page * PAGE, priority if priority >= 0 else -2 - len(self.areas)))
        self.effect("on")

    def off(self, path: str) -> "FakeLeaving":
        self.effect("off")
        if code := self.refuses.pop("off", 0):
            raise failure(code, path)
        area = next((each for each in self.areas if each.path == path), None)
        if area is None:
            raise failure(errno.EINVAL, path)
        return FakeLeaving(self, area)

    def bring_back(self, area: Used, size: int) -> None:
        """Into memory, and if that is full others go to the swap that stays."""
        area.used, self.in_memory = area.used - size, self.in_memory + size
        for other in self.areas:
            if self.available < 0 and not other.leaving:
                moved = min(-self.available, other.size - other.used)
                other.used, self.in_memory = other.used + moved, self.in_memory - moved
        if self.available < 0:
            self.accidents.append(f"out of memory at swapoff of {area.path}")

    def look_for_accidents(self) -> None:
        self.accidents += [
            f"{a.path} is gone" for a in self.areas if not a.path.startswith("/dev/") and not os.path.exists(a.path)
        ]

    # -- files ---------------------------------------------------------------------------------------------------------

    def _reserve(self, descriptor: int, size: int) -> None:
        if not self.can_reserve:
            raise failure(errno.EOPNOTSUPP, "fallocate")
        self.effect("reserve")
        os.ftruncate(descriptor, size)  # a real one would cost the disk below the tests

    def _stop_copying(self, descriptor: int) -> None:
        assert os.fstat(descriptor).st_size == 0, "btrfs takes the flag on empty files only"
        self.effect("nocow")

    def _token(self) -> bytes:
        self._tokens += 1
        return bytes([self._tokens, self.boots, *range(14)])

    # -- zram ----------------------------------------------------------------------------------------------------------

    def hot_add(self) -> int:
        self.effect("hot_add")
        if code := self.refuses.pop("hot_add", 0):
            raise failure(code, "hot_add")
        number = next(n for n in range(100) if n not in self.devices)
        self._inodes += 1
        self.devices[number] = Device(self._inodes)
        (self.root / f"dev/zram{number}").write_bytes(b"")
        self.effect("hot_add")
        return number

    def write_device(self, number: int, name: str, text: str) -> None:
        device = self.devices[number]
        if name == "comp_algorithm":
            if text not in {"lzo", "zstd"} or device.disksize:
                raise failure(errno.EINVAL, name)
            device.algorithm = text
        elif name == "disksize":
            if device.disksize:
                raise failure(errno.EBUSY, name)
            device.disksize = int(text)
        elif name == "reset":
            self._check_unused(number)
            device.disksize = 0
        else:
            raise failure(errno.ENOENT, name)

    def hot_remove(self, number: int) -> None:
        self._check_unused(number)
        del self.devices[number]
        (self.root / f"dev/zram{number}").unlink()

    def _check_unused(self, number: int) -> None:
        if self.watched:
            self.watched -= 1
            raise failure(errno.EBUSY, f"zram{number}")
        if any(area.path.endswith(f"/dev/zram{number}") for area in self.areas):
            raise failure(errno.EBUSY, f"zram{number}")


class FakeLeaving:
    """A swapoff under way: so much comes back each second."""

    def __init__(self, node: Node, area: Used) -> None:
        self._node, self._area, self._killed, self._refused = node, area, False, False
        area.leaving = True

    def ended(self, seconds: float) -> bool:
        if self._area in self._node.areas and not self._killed:
            self._node.now += seconds
            self._node.effect("while emptied")
            self._node.during_off()
            if self._area not in self._node.areas:
                self._refused = True
                return True
            self._node.bring_back(self._area, min(self._area.used, int(self._node.speed * seconds)))
            if not self._area.used:
                self._node.areas.remove(self._area)
                self._node.effect("off")
        return self._area not in self._node.areas

    def kill(self) -> None:
        if self._area in self._node.areas:
            self._killed, self._area.leaving = True, False

    def check(self) -> None:
        if self._refused:
            raise failure(errno.EINVAL, self._area.path)
        if self._area in self._node.areas:
            raise errors.Busy(None, "swapoff was stopped, the area is in use as before", self._area.path)


class NodeTree(Tree):
    """/proc/swaps, /proc/meminfo and zram's files as the node is at that moment; /dev and cgroups are real files."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.root)
        self._node = node

    def read_bytes(self, path: str) -> bytes:
        match path.split("/")[1:]:
            case ["proc", "swaps"]:
                return self._swaps().encode()
            case ["proc", "meminfo"]:
                about = (
                    f"MemTotal: {self._node.memory >> 10} kB\nMemAvailable: {max(self._node.available, 0) >> 10} kB\n"
                )
                return (about + "HugePages_Total:       0\n").encode()
            case ["sys", "class", "zram-control", "hot_add"]:
                return f"{self._node.hot_add()}\n".encode()
            case ["sys", "block", name, "disksize"]:
                return f"{self._device(name, path).disksize}\n".encode()
            case ["sys", "block", _, "comp_algorithm"]:
                return b"[lzo] zstd\n"
        return super().read_bytes(path)

    def write(self, path: str, text: str) -> None:
        self._node.effect(path)
        match path.split("/")[1:]:
            case ["sys", "class", "zram-control", "hot_remove"]:
                self._node.hot_remove(int(text))
            case ["sys", "block", name, knob]:
                self._device(name, path)
                self._node.write_device(int(name.removeprefix("zram")), knob, text)
            case _:
                raise AssertionError(path)
        self._node.effect(path)

    def list(self, path: str) -> tuple[str, ...]:
        if path == "/sys/block":
            return ("vda", *(f"zram{number}" for number in self._node.devices))
        return super().list(path)

    def exists(self, path: str) -> bool:
        return self._node.has_zram if path.startswith("/sys/class/zram-control") else super().exists(path)

    def inode(self, path: str) -> int:
        return self._device(path.rpartition("/")[2], path).inode

    def _device(self, name: str, path: str) -> Device:
        device = self._node.devices.get(int(name.removeprefix("zram")))
        if device is None:
            raise failure(errno.ENOENT, path)
        return device

    def _swaps(self) -> str:
        head = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
        return head + "".join(
            f"{area.path}\tfile\t\t{area.size >> 10}\t\t{area.used >> 10}\t\t{area.priority}\n"
            for area in self._node.areas
        )


def task(**config: object) -> AgentTask:
    return AgentTask(swap=SwapConfig(enable_guest_swap=True, keep_free_bytes=0, **config))  # type: ignore[arg-type]


OFF = AgentTask()


def settle(node: Node, agent: SwapFiles, seconds: float = 0.0) -> None:
    """Run it whenever it is due, for so long."""
    end = node.now + seconds
    for _ in range(10_000):
        due = agent.run(node.now)
        node.look_for_accidents()
        if due > max(end, node.now):
            node.now = max(node.now, end)
            return
        node.now = max(node.now, due)
    raise AssertionError("it never comes to rest")
