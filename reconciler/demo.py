"""The main job in a private folder: an exerciser with known hot and cold memory, a class, a record, and the daemon.

What is shown and judged does not come from the daemon: this module looks at the exerciser's memory itself, anonymous
pages by pagemap's present bit, file pages by mincore(2), which says whether they are in memory at all. Hot pages that
are taken are back before anybody else can look, so the exerciser looks too, each time just before it touches them.
"""

import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reconciler import children, exercise, files
from sysfs import pagemap, residency, swap
from sysfs.tree import Tree

MIB = 1 << 20
COLD, HOT = ("idle", "file-cold"), ("write", "read", "file-hot")
IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"}  # their pages cannot leave memory without swap
SWAPOUT_SECONDS = 5
LEFT_ENOUGH, TAKEN_AT_MOST = 0.9, 0.02  # of the cold pages, of the hot pages
WORKLOAD, CLASS = "demo", "page-out-idle-data"
TALLY = "taken.json"
CLASSES = """\
engine:
  cpupercent: 25
classes:
  - name: {name}
    memtierdconfig:
      policy:
        name: age
        config:
          intervalms: 1000
          swapoutms: {swapout}
          pagetypes: [{pages}]
          tracker:
            name: auto
            config:
              pagesinregion: 512
              maxcountperregion: 1
              scanintervalms: 1000
              regionsupdatems: 2000
          mover:
            intervalms: 20
            bandwidth: 200
"""


class BrokenError(Exception):
    """A part of the demo has ended: why, and its last words."""

    def __init__(self, why: str, log: str) -> None:
        super().__init__(why)
        self.log = log


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A stretch of the exerciser's memory, and what it does with it."""

    role: str
    start: int
    end: int
    path: str = ""

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one look at the exerciser showed."""

    resident: tuple[int, ...]  # bytes in memory, for each range
    taken: int  # bytes that the exerciser itself has ever found missing when it was about to touch them


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    cold: int  # bytes
    missed: int  # cold bytes still in memory
    hot: int
    taken: int  # hot bytes that were taken, although they were in use

    @property
    def left(self) -> bool:
        return self.cold - self.missed >= LEFT_ENOUGH * self.cold

    @property
    def stayed(self) -> bool:
        return self.taken <= TAKEN_AT_MOST * self.hot


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The running demo."""

    folder: Path
    tree: Tree
    ranges: tuple[Range, ...]
    exerciser: children.Child
    daemon: children.Child

    @property
    def run_dir(self) -> Path:
        return self.folder / "run"

    def look(self) -> Sight:
        resident = tuple(resident_bytes(self.tree, self.exerciser.pid, each) for each in self.ranges)
        tally = json.loads((self.folder / TALLY).read_text())
        return Sight(resident=resident, taken=sum(each["taken"] for each in tally))

    def check(self) -> None:
        """BrokenError when it cannot go on."""
        for name, child in (("daemon", self.daemon), ("exerciser", self.exerciser)):
            if child.ended() is not None:
                raise BrokenError(f"the {name} ended by itself (status {child.ended()})", child.last_words())


def judge(ranges: Sequence[Range], sights: Sequence[Sight]) -> Verdict:
    """Cold memory by the last look; hot memory by the worst look of each range, or by what the exerciser missed."""
    cold = [index for index, each in enumerate(ranges) if each.role in COLD]
    hot = [index for index, each in enumerate(ranges) if each.role in HOT]
    absent = sum(max(ranges[index].size - sight.resident[index] for sight in sights) for index in hot)
    size = sum(ranges[index].size for index in hot)
    return Verdict(
        cold=sum(ranges[index].size for index in cold),
        missed=sum(sights[-1].resident[index] for index in cold),
        hot=size,
        taken=min(max(absent, sights[-1].taken), size),
    )


@contextmanager
def stage(where: Path) -> Iterator[Stage]:
    """Start everything below a new folder in `where`; in the end all of it is gone."""
    with ExitStack() as undo:
        folder = where / f"ebbtide-demo-{secrets.token_hex(8)}"
        undo.callback(shutil.rmtree, folder, ignore_errors=True)  # before it is made: a signal may come at any time
        folder.mkdir(mode=0o700)
        tree = Tree()
        swapping = swap.read(tree).free_bytes > 256 * MIB
        exerciser = children.python(exerciser_command(folder, swapping=swapping), folder / "exerciser.log")
        undo.callback(exerciser.end)
        ranges = truth(exerciser)
        write_configuration(folder, exerciser.pid, swapping=swapping)
        daemon = children.python(daemon_command(folder), folder / "daemon.log")
        undo.callback(daemon.end)
        yield Stage(folder=folder, tree=tree, ranges=ranges, exerciser=exerciser, daemon=daemon)


def exerciser_command(folder: Path, *, swapping: bool) -> list[str]:
    """Cold and hot, anonymous and mapped from a file; without swap anonymous memory has nowhere to go."""
    idle = ["--idle", "64M"] if swapping else []
    mapped = ["--file", f"{folder}/cold:64M", "--hot-file", f"{folder}/hot:32M"]
    others = ["--tally", f"{folder}/{TALLY}", "--nohugepage", "--with-parent"]
    return [exercise.__file__, *idle, "--write", "16M", "--read", "16M", *mapped, *others]


def truth(exerciser: children.Child) -> tuple[Range, ...]:
    line = exerciser.output.readline()
    if not line:
        exerciser.process.wait()
        raise BrokenError("the exerciser did not start", exerciser.last_words())
    return tuple(Range(**each) for each in json.loads(line)["ranges"])


def write_configuration(folder: Path, pid: int, *, swapping: bool) -> None:
    """A class file and a record, as an administrator would write them by hand."""
    for name in ("conf.d", "state/workloads.d", "run"):
        (folder / name).mkdir(mode=0o700, parents=True)
    pages = "anon, file" if swapping else "file"
    text = CLASSES.format(name=CLASS, swapout=SWAPOUT_SECONDS * 1000, pages=pages)
    files.write_atomically(folder / "conf.d/demo.yaml", text)
    record = {"id": WORKLOAD, "pids": [pid], "class": CLASS}
    files.write_atomically(folder / f"state/workloads.d/{WORKLOAD}.json", json.dumps(record))


def daemon_command(folder: Path) -> list[str]:
    where = [f"--config-dir={folder}/conf.d", f"--state-dir={folder}/state", f"--run-dir={folder}/run"]
    return ["-m", "reconciler", "daemon", *where]


def resident_bytes(tree: Tree, pid: int, each: Range) -> int:
    """How much of a range is in memory now."""
    if each.path:
        found = residency.resident(tree, pid, (each.start, each.end), 0, each.size)
        return int(np.count_nonzero(found)) * exercise.PAGE
    with pagemap.Pagemap(tree, pid, exercise.PAGE) as opened:
        present = opened.entries(each.start, each.end) >> np.uint64(63)
    return int(np.count_nonzero(present)) * exercise.PAGE


def disk_folder(candidates: Iterable[str], mounts: str) -> Path:
    """The first folder that will do; LookupError says what is wrong with each. `mounts`: /proc/self/mounts."""
    kinds = {fields[1]: fields[2] for fields in map(str.split, mounts.splitlines())}
    reasons = []
    for candidate in candidates:
        path = Path(os.path.realpath(candidate))
        reason = unfit(path, kinds)
        if not reason:
            return path
        reasons.append(f"{candidate} {reason}")
    raise LookupError("; ".join(reasons))


def unfit(path: Path, kinds: Mapping[str, str]) -> str:
    """Why the demo's files cannot be in this folder; "" = they can. `kinds`: of file systems, by mount point."""
    if not path.is_dir():
        return "is no folder" if path.exists() else "does not exist"
    kind = next((kinds[str(point)] for point in (path, *path.parents) if str(point) in kinds), "")
    if kind in IN_MEMORY:
        return f"is in memory ({kind}), where pages cannot leave to"
    return "" if os.access(path, os.W_OK) else "may not be written to"


def usual_folders() -> list[str]:
    return ["/var/tmp", tempfile.gettempdir(), os.getcwd(), os.path.dirname(sys.executable)]  # noqa: S108  looked at only
