"""A folder with the /proc and /sys of a small node, for verbs that look themselves (`--root`)."""

from pathlib import Path

BOOT = "11111111-2222-3333-4444-555555555555"
KNOBS = {
    "memory.min": "0",
    "memory.low": "0",
    "memory.high": "max",
    "memory.max": "max",
    "memory.swap.high": "max",
    "memory.swap.max": "0",
    "memory.zswap.max": "max",
    "memory.zswap.writeback": "1",
    "memory.oom.group": "0",
}
OTHERS = {
    "cgroup.procs": "",
    "cgroup.events": "populated 1\nfrozen 0\n",
    "cgroup.controllers": "cpu memory",
    "memory.current": "314572800",
    "memory.swap.current": "0",
    "memory.stat": "anon 1\n",
    "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
}
FILES = {
    "proc/sys/kernel/random/boot_id": BOOT + "\n",
    "proc/sys/kernel/osrelease": "6.12.0\n",
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
    "proc/meminfo": "MemTotal: 1048576 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n",
    "proc/self/cgroup": "0::/system.slice/ebbtide.service\n",
    "proc/1/cgroup": "0::/init.scope\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
}
MOUNTINFO = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def make(root: Path) -> Path:
    for name, text in {**FILES, "proc/1/mountinfo": MOUNTINFO, "proc/self/mountinfo": MOUNTINFO}.items():
        write(root / name, text)
    return root


def cgroup(root: Path, path: str) -> Path:
    folder = root / "sys/fs/cgroup" / path.strip("/")
    for name, text in {**KNOBS, **OTHERS}.items():
        write(folder / name, text + "\n")
    return folder


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
