"""How right a tracker is: the engine looks at exercisers, and what it saw is held against what they wrote down."""

import mmap
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import regions
from reconciler.engine.engine import TRACKERS, Engine
from reconciler.engine.processes import Process
from reconciler.engine.regions import Addresses
from reconciler.engine.trackers.tracker import Means, Seen, Tracker
from reconciler.engineconfig import EngineConfig, StubConfig, TrackerConfig, WatcherConfig
from reconciler.exerciser import score
from reconciler.exerciser.score import Interval, Ranges, Score, Span
from reconciler.model import EngineSettings, EngineTask, Features
from reconciler.report import AgeBin
from sysfs.tree import Tree
from tests.e2e.guest import poll

PAGE = mmap.PAGESIZE
CGROUPS = Path("/sys/fs/cgroup")
LOOK_MS = 3000
SLOW_MS = {"idlepage": 6000}  # three processes' pages take an emulator longer than 3 s
SETTLING = 2  # rounds after which MGLRU has found all that filling left behind
LOOKS = 5  # after the first, which sees that memory was filled
TRUTH = "500ms"
COMMAND = ("python3", "-m", "reconciler", "exercise")
BUDGET = 400  # per cent of a CPU: an emulated one scans slowly
COARSE_PAGES, FINE_PAGES = 512, 16  # of a region: a huge page; no more than a stripe
CONTROL, IDLE = "nothing", ("-bs", "4M", "-brc", "0", "-bwc", "0")
FILLING = {"growing": 1 << 20}  # random bytes that new memory is filled with: made anew whenever it grows
KINDS = {"write": ("-brc", "0", "-bwc", "1"), "read": ("-brc", "1", "-bwc", "0")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one look at one process claims, about which time."""

    pid: int
    surely: Span
    possibly: Span
    claimed: Ranges
    starts: Addresses  # of all regions, with
    pages: NDArray[np.uint32]  # how many the tracker says were accessed in each, if it counts pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """What one round claims of a cgroup, without addresses: bytes that were used since the last round."""

    surely: Span
    possibly: Span
    claimed: int


class Watched:
    """A tracker whose every look is kept. It is what the engine runs; only its answers are copied.

    Of MGLRU's generations two are what was used since the last round: the kernel puts what it finds accessed into the
    youngest, and then begins a younger one.
    """

    def __init__(self, tracker: Tracker) -> None:
        self._tracker, self.note = tracker, tracker.note
        self.evidence: list[Evidence] = []
        self.amounts_seen: list[Amount] = []
        self._last: dict[int, Span] = {}  # of the last look at each pid: when it began, and its round ended
        self._starts: dict[int, Addresses] = {}
        self._round: Span = (time.monotonic(), time.monotonic())

    def roster(self, known: Mapping[int, Process]) -> None:
        self._tracker.roster(known)

    def begin(self, known: Process) -> None:
        begun = time.monotonic()
        self._tracker.begin(known)
        self._last[known.pid] = begun, time.monotonic()

    def look(self, known: Process) -> Seen:
        last = self._last[known.pid]
        begun = min(known.refreshed, time.monotonic())  # what is mapped after the survey, this look cannot know
        seen = self._tracker.look(known)
        done, used = time.monotonic(), known.regions[self._counts_as_used(known, seen)]
        claimed = score.ranges(used["start"], regions.ends(used, PAGE))
        self.evidence.append(
            Evidence(
                pid=known.pid,
                surely=(last[1], begun),
                possibly=(last[0], done),
                claimed=claimed,
                starts=known.regions["start"],
                pages=seen.accesses,
            )
        )
        self._last[known.pid] = begun, done
        return seen

    def _counts_as_used(self, known: Process, seen: Seen) -> NDArray[np.bool_]:
        """By the engine: what the tracker says, and what is new."""
        starts, before = known.regions["start"].copy(), self._starts.get(known.pid)
        self._starts[known.pid] = starts
        return seen.accessed if before is None else seen.accessed | ~np.isin(starts, before)

    def finish(self) -> None:
        begun, last = time.monotonic(), self._round
        self._tracker.finish()
        done = time.monotonic()
        self._last = {pid: (span[0], done) for pid, span in self._last.items()}
        pages = sum(each.anon_pages for each in self._tracker.amounts() if each.age_ms < LOOK_MS // 2)
        self.amounts_seen.append(Amount(surely=(last[1], begun), possibly=(last[0], done), claimed=pages * PAGE))
        self._round = begun, done

    def amounts(self) -> tuple[AgeBin, ...]:
        return self._tracker.amounts()

    def close(self) -> None:
        self._tracker.close()


@dataclass(slots=True, kw_only=True)
class Subject:
    """An exerciser in a cgroup of its own."""

    name: str
    cgroup: Path
    truth: Path
    process: subprocess.Popen[bytes]
    watched: list[Watched] = field(default_factory=list)

    def lines(self) -> list[Interval]:
        with self.truth.open(encoding="ascii") as file:
            return score.read(file)

    def has_begun(self) -> bool:
        assert self.process.poll() is None, f"{self.name} has ended"
        return self.truth.exists() and self.truth.stat().st_size > 0

    def told_until(self) -> float:
        """By the exerciser itself; its children may have ended."""
        return max(line.end for line in self.lines() if line.pid == self.process.pid)

    def rounds(self) -> int:
        return len(self.amounts())

    def slowest_s(self) -> float:
        """From one round to the next; a machine that cannot keep up says so here. Not the first, while all begin."""
        return max(each.possibly[1] - each.surely[0] for each in self.amounts()[1:])

    def amounts(self) -> list[Amount]:
        return [each for watched in self.watched for each in watched.amounts_seen]


@contextmanager
def subject(name: str, folder: Path, *words: str) -> Iterator[Subject]:
    cgroup = CGROUPS / f"exercise-{name}"
    cgroup.mkdir()
    truth = folder / f"{name}.jsonl"
    command = [*COMMAND, *words, "-truth", str(truth), "-interval", TRUTH, "-ttl", "1h"]
    within = ["sh", "-c", f'echo $$ > {cgroup}/cgroup.procs; exec "$@"', "sh", *command]
    with subprocess.Popen(within, stdout=subprocess.DEVNULL) as process:
        try:
            yield Subject(name=name, cgroup=cgroup, truth=truth, process=process)
        finally:
            process.terminate()
            process.wait()
    poll.until(f"{cgroup.name} is empty", lambda: not (cgroup / "cgroup.procs").read_text(encoding="ascii"))
    cgroup.rmdir()


@contextmanager
def subjects(kind: str, scenarios: Sequence[str]) -> Iterator[list[Subject]]:
    """One for each scenario, and one that does nothing; their memory is filled."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        words = {name: ("-scenario", name, *KINDS[kind]) for name in scenarios} | {CONTROL: IDLE}
        started = [stack.enter_context(subject(name, Path(folder), *some)) for name, some in words.items()]
        for each in started:
            poll.until(f"{each.name} has filled its memory", each.has_begun, seconds=300, pause=0.2)
        yield started


def watch(some: list[Subject], tracker: TrackerConfig, features: Features) -> None:
    """The engine's own loop on each of them, until there are enough looks."""
    by_cgroup = {str(each.cgroup): each for each in some}

    def make(means: Means) -> Watched:
        made = Watched(TRACKERS[tracker.name](means))
        by_cgroup[means.directories()[0]].watched.append(made)
        return made

    engine = Engine(
        Tree("/"), features, EngineSettings(cpu_percent=BUDGET), print, trackers={**TRACKERS, tracker.name: make}
    )
    for each in some:
        engine.start(task(each, regions_of(each.name, tracker)))
    try:
        poll.until(f"{tracker.name} has looked", lambda: all(each.rounds() > LOOKS for each in some), seconds=300)
    finally:
        errors = {each.name: report.error for each in some if (report := engine.report(each.name)) and report.error}
        engine.close()
    assert errors == {}
    now = time.monotonic()
    poll.until("the truth is complete", lambda: all(each.told_until() > now for each in some), pause=0.2)


def regions_of(name: str, tracker: TrackerConfig) -> TrackerConfig:
    pages = FINE_PAGES if name == "stripes" else COARSE_PAGES
    children = tuple(replace(child, pages_in_region=pages, scan_interval_ms=LOOK_MS) for child in tracker.trackers)
    changed = replace(tracker, pages_in_region=pages, trackers=children)
    return replace(changed, scan_interval_ms=SLOW_MS.get(tracker.name, LOOK_MS), regions_update_ms=0)


def task(about: Subject, tracker: TrackerConfig) -> EngineTask:
    config = EngineConfig(policy=StubConfig(), tracker=tracker, watcher=WatcherConfig(interval_ms=1000))
    return EngineTask(workload=about.name, config=config, tracker=tracker.name, cgroups=(str(about.cgroup),))


# -- judgement -------------------------------------------------------------------------------------------------------


def by_address(about: Subject, granule: int) -> Score:
    """All looks but the first at each process."""
    lines, total, seen = about.lines(), score.NOTHING, set[int]()
    for each in (each for watched in about.watched for each in watched.evidence):
        if each.pid in seen and any(line.pid == each.pid for line in lines):
            truth = score.during(lines, each.pid, each.surely, each.possibly)
            total += score.score(each.claimed, truth, granule)
        seen.add(each.pid)
    return total


def by_count(about: Subject) -> Score:
    """Of trackers that count pages in their regions: how much was used, wherever in them."""
    lines, total, seen = about.lines(), score.NOTHING, set[int]()
    for each in (each for watched in about.watched for each in watched.evidence):
        truth = score.during(lines, each.pid, each.surely, each.possibly)
        if each.pid in seen and truth.mapped.size:
            claimed = int(each.pages[score.holds(truth.mapped, each.starts)].sum()) * PAGE
            sure, possible = truth.sure.size, truth.possible.size
            total += Score(claimed=claimed, right=min(claimed, possible), hot=sure, found=min(claimed, sure))
        seen.add(each.pid)
    return total


def by_amount(about: Subject, control: Subject, *, shared: bool) -> Score:
    """Of trackers that know no addresses, less what a Python that does nothing uses; `shared`: forked pages are one.

    Who has ended before a look has taken its memory along.
    """
    lines, total = about.lines(), score.NOTHING
    for each, less in zip(about.amounts()[SETTLING:], control.amounts()[SETTLING:], strict=False):
        claimed = max(each.claimed - less.claimed, 0)
        truths = {pid: score.during(lines, pid, each.surely, each.possibly) for pid in {line.pid for line in lines}}
        alive = {line.pid for line in lines if line.end > each.possibly[1]}
        possible = size([truth.possible for truth in truths.values()], shared=shared) + FILLING.get(about.name, 0)
        sure = size([truth.sure for pid, truth in truths.items() if pid in alive], shared=shared)
        total += Score(claimed=claimed, right=min(claimed, possible), hot=sure, found=min(claimed, sure))
    return total


def size(touched: list[Ranges], *, shared: bool) -> int:
    return score.union(touched).size if shared else sum(each.size for each in touched)
