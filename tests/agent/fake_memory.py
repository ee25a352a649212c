"""A node whose memory is fragmented, a compaction that takes its time, and a clock that all of them share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.agent.compact import Compact
from reconciler.agent.compact_run import Doors
from reconciler.agentconfig import AgentTask, CompactConfig, PsiConfig
from sysfs.tree import Tree

PAGE = 4096
MIB = 1 << 20
WHOLE = "/proc/sys/vm/compact_memory"


@dataclass(slots=True, kw_only=True)
class Compaction:
    """The child: it ends when its time is over, or some seconds after it was killed."""

    node: "FakeNode"
    path: str
    text: str
    begun: float
    killed: float | None = None

    def ended(self) -> int | None:
        if self.killed is not None:
            return -9 if self.node.now >= self.killed + self.node.dying else None
        if self.node.now < self.begun + self.node.takes:
            return None
        self.node.compacted(self.path)
        return self.node.refuses

    def kill(self) -> None:
        if self.killed is None:
            self.killed = self.node.now


@dataclass(slots=True, kw_only=True)
class Bell:
    node: "FakeNode"
    percent: float
    open: bool = True

    def raised(self) -> bool:
        if self.node.bug and self.node.children:
            raise RuntimeError(self.node.bug)
        return self.node.alarm

    def close(self) -> None:
        self.open = False


@dataclass(slots=True, kw_only=True)
class FakeNode:
    """Numbers by memory node; what happens at a moment is in `plan`. Seconds, on a clock of its own."""

    root: Path
    now: float = 1000.0
    takes: float = 3.0
    dying: float = 0.3
    refuses: int = 0
    alarm: bool = False
    bug: str = ""  # of ours, while the child is there
    room: bool = True  # for a process more
    fragments: dict[int, int] = field(default_factory=lambda: {0: 5000})
    free_mib: dict[int, int] = field(default_factory=lambda: {0: 500})
    after: dict[int, int] = field(default_factory=lambda: {0: 100, 1: 100})  # fragments after a compaction
    children: list[Compaction] = field(default_factory=list)
    bells: list[Bell] = field(default_factory=list)
    plan: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    rate: float = 0.0  # of stall, percent
    accounts: bool = True  # pressure
    _stall_us: float = 0.0
    _written: dict[str, str] = field(default_factory=dict)

    @property
    def tree(self) -> Tree:
        return Tree(self.root)

    def clock(self) -> float:
        return self.now

    def part(self) -> Compact:
        self.write()
        doors = Doors(tree=self.tree, clock=self.clock, news=self, start=self._start, alarm=self._alarm)
        return Compact(doors, PAGE)

    def set(self) -> None:
        """News are noticed at the next step anyway."""

    def clear(self) -> None:
        """Nothing is kept."""

    def wait(self, seconds: float, /) -> None:
        self.sleep(seconds)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self._stall_us += self.rate / 100 * seconds * 1e6
        for each in [each for each in self.plan if each[0] <= self.now]:
            self.plan.remove(each)
            each[1]()
        self.write()

    def at(self, seconds: float, call: Callable[[], object]) -> None:
        self.plan.append((self.now + seconds, call))

    def press(self, percent: float) -> None:
        self.rate = percent

    def remove(self, path: str) -> None:
        self._written.pop(path)
        (self.root / path.lstrip("/")).unlink()

    def _start(self, path: str, text: str) -> Compaction:
        if not self.room:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        made = Compaction(node=self, path=path.removeprefix(str(self.root)), text=text, begun=self.now)
        self.children.append(made)
        return made

    def _alarm(self, _tree: Tree, percent: float, _config: PsiConfig) -> Bell:
        self.bells.append(Bell(node=self, percent=percent))
        return self.bells[-1]

    def compacted(self, path: str) -> None:
        if not self.refuses:
            done = [node for node in self.fragments if path in {WHOLE, f"/sys/devices/system/node/node{node}/compact"}]
            self.fragments |= {node: self.after[node] for node in done}
            self.write()

    def put(self, path: str, text: str) -> None:
        if self._written.get(path) == text:
            return
        self._written[path] = text
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def write(self) -> None:
        rows = [f"Node {n}, zone Normal, type Movable {count} 0 0\n" for n, count in self.fragments.items()]
        self.put("/proc/pagetypeinfo", "".join(rows))
        self.put("/proc/meminfo", f"MemFree: {sum(self.free_mib.values()) * 1024} kB\n")
        self.put(WHOLE, "")
        for what in ("memory", "io") if self.accounts else ():
            total = int(self._stall_us) if what == "memory" else 0
            self.put(f"/proc/pressure/{what}", f"some avg10=0.00 total={total}\nfull avg10=0.00 total=0\n")
        if len(self.free_mib) > 1:
            self._write_nodes()

    def _write_nodes(self) -> None:
        for name in ("online", "has_memory", "has_cpu"):
            self.put(f"/sys/devices/system/node/{name}", ",".join(map(str, self.free_mib)))
        for node, free in self.free_mib.items():
            text = f"Node {node} MemFree: {free * 1024} kB\n"
            self.put(f"/sys/devices/system/node/node{node}/meminfo", text)


def run_until(part: Compact, node: FakeNode, seconds: float) -> None:
    """As the agent's thread would: whenever it is due."""
    end = node.now + seconds
    due = part.run(node.now)
    while due <= end:
        node.sleep(max(due - node.now, 0.0))
        due = part.run(node.now)
    node.sleep(max(end - node.now, 0.0))


def task(config: CompactConfig | None = None, *, observe: bool = False, psi: PsiConfig | None = None) -> AgentTask:
    return AgentTask(compact=config or CompactConfig(), observe=observe, psi=psi or PsiConfig())
