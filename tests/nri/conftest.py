"""A plugin on one end of a socket pair, a fake host on the other, a small cgroup tree and a state directory."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from nri import link, mux, session
from nri.adjust import View
from nri.changes import Changes
from nri.plugin import Plugin
from nri.store import Store
from reconciler import inventory, records
from reconciler.engineconfig import AgeConfig, EngineConfig
from reconciler.model import ClassTable, Features, Knob, MemoryClass, NriSettings, Workload
from sysfs.tree import Tree
from tests.nri.host import GENEROUS, Host

BOOT = "this-boot"
MOUNT = "/cg"
IDLE = MemoryClass(
    name="swap-idle-data", allow_swap=True, engine=EngineConfig(policy=AgeConfig(interval_ms=10_000, swapout_ms=10_000))
)
NO_SWAP = MemoryClass(name="no-swap", allow_swap=False)
BRONZE = MemoryClass(name="bronze", swap_limit_ratio=0.5)
TABLE = ClassTable(
    classes={one.name: one for one in (IDLE, NO_SWAP, BRONZE)},
    nri=NriSettings(allow_annotations=("memory.high",)),
)
KNOBS = frozenset(str(knob) for knob in Knob) - {"memory.zswap.max", "memory.zswap.writeback"}


@dataclass(slots=True)
class Place:
    """What stands around the plugin; a test changes it as a person or the kernel would."""

    root: Path
    view: View = field(
        default_factory=lambda: View(
            table=TABLE,
            features=Features(kernel="6.12", page_size=4096, cgroup_mount=MOUNT, knobs=KNOBS),
            boot_id=BOOT,
        )
    )
    ended: list[BaseException] = field(default_factory=list)
    ticks: int = 0

    @property
    def state(self) -> str:
        return str(self.root / "state")

    @property
    def tree(self) -> Tree:
        return Tree(self.root)

    def look(self) -> View:
        return self.view

    def with_table(self, table: ClassTable) -> None:
        self.view = replace(self.view, table=table)

    def cgroup(self, path: str, *, populated: bool = True) -> None:
        """As runc makes it."""
        folder = self.root / MOUNT.strip("/") / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("")
        (folder / "cgroup.events").write_text(f"populated {int(populated)}\nfrozen 0\n")

    def no_cgroup(self, path: str) -> None:
        folder = self.root / MOUNT.strip("/") / path.strip("/")
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()

    def records(self) -> dict[str, Workload]:
        workloads, problems = records.read_all(self.state, BOOT)
        assert problems == ()
        return dict(inventory.merge(workloads).workloads)

    def plugin(self) -> Plugin:
        return Plugin(self.tree, self.look, self.records().values())

    def tick(self) -> None:
        self.ticks += 1

    def end(self) -> BaseException:
        """Wait until a session has ended, and say how."""
        deadline, pause = time.monotonic() + GENEROUS, threading.Event()
        while not self.ended and time.monotonic() < deadline:
            pause.wait(0.01)
        return self.ended[0]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "cg").mkdir()
    (tmp_path / "proc").mkdir()
    return Place(root=tmp_path)


Perform = Callable[[Changes], None]


def serve(place: Place, plugin: Plugin, ours: socket.socket, perform: Perform) -> None:
    """One session, to its end."""
    deeds = session.Deeds(perform=perform, tick=place.tick)
    current = session.Session(link.Link(ours), plugin, deeds, name="ebbtide", index="10")
    try:
        current.run()
    except (link.Closed, mux.Garbage, session.Refused, OSError) as error:
        place.ended.append(error)
    finally:
        current.close()


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Host]]:
    """Start a plugin in a thread and give back its host; may be called again, as after a restart of either side."""
    running: list[tuple[threading.Thread, Host]] = []

    store = Store(place.state, lambda: BOOT, name="ebbtide", index="10")

    def begin(plugin: Plugin | None = None, perform: Perform = store.perform) -> Host:
        """Unlike the real plugin this one writes before it serves the next call, so that a test can settle."""
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=serve, args=(place, plugin or place.plugin(), ours, perform), daemon=True)
        thread.start()
        running.append((thread, Host(theirs)))
        return running[-1][1]

    yield begin
    for thread, host in running:
        host.close()
        thread.join(timeout=60)
        assert not thread.is_alive()


@pytest.fixture
def host(start: Callable[[], Host]) -> Host:
    return start()
