"""What the fake kernel knows, and how it prints that."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Write:
    """Somebody wrote to a kernel file through the file system: `error` is the errno that he got, 0 = none."""

    path: str
    text: str
    error: int = 0


@dataclass(slots=True)
class Process:
    pid: int
    cgroup: str
    comm: str = "app"
    exe: str = "/app"
    start_time: int = 1000
    parent: int = 1
    kernel_thread: bool = False
    anon: int = 0  # bytes present
    file: int = 0
    swap: int = 0


@dataclass(slots=True)
class Group:
    path: str
    knobs: dict[str, str] = field(default_factory=dict)
    subtree: set[str] = field(default_factory=set)
    some_us: int = 0
    full_us: int = 0
    refaults: int = 0  # pages
    events: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("low", "high", "max", "oom", "oom_kill"), 0))


def line(words: set[str]) -> str:
    return " ".join(sorted(words)) + "\n"


def pressure(group: Group) -> str:
    averages = "avg10=0.00 avg60=0.00 avg300=0.00"
    return f"some {averages} total={group.some_us}\nfull {averages} total={group.full_us}\n"


def proc_stat(process: Process) -> str:
    flags = 0x00200000 if process.kernel_thread else 0x00400000
    head = f"{process.pid} ({process.comm[:15]}) S {process.parent} 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0"
    return f"{head} {process.start_time} 0 {(process.anon + process.file) // 4096} 0 0 0 0 0\n"


def proc_status(process: Process) -> str:
    sizes = {
        "VmRSS": process.anon + process.file,
        "RssAnon": process.anon,
        "RssFile": process.file,
        "RssShmem": 0,
        "VmSwap": process.swap,
    }
    lines = "".join(f"{key}:\t{value // 1024:8} kB\n" for key, value in sizes.items())
    return f"Name:\t{process.comm}\nPid:\t{process.pid}\n" + ("" if process.kernel_thread else lines)
