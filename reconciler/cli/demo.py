"""`ebbtide demo`: the main job on this machine within a minute, with a live table and a verdict."""

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from reconciler import tracking
from reconciler.cli import daemon_link, options, published, render
from reconciler.cli.failure import Exit, Failure
from reconciler.cli.options import Options
from reconciler.cli.render import GREEN, RED, Column, Page
from reconciler.model import Features
from reconciler.quantities import human_bytes
from reconciler.report import EngineReport, Report

if TYPE_CHECKING:
    from reconciler import demo

NAMES = {
    "idle": "cold memory",
    "file-cold": "cold file",
    "write": "written memory",
    "read": "read memory",
    "file-hot": "read file",
}
COLUMNS = (
    Column(title="RANGE"),
    Column(title="SIZE", right=True),
    Column(title="IN MEMORY", right=True),
    Column(title="OUT", right=True),
    Column(title="", shrinks=True),
)
AGES = (0.0, 2.0, 5.0, 10.0, 0.0)
SETTLE_SECONDS = 4.0  # goes on looking after the cold memory left: hot memory must not follow
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BAR = 24
"""Widest bar of the live table, in characters."""
ROOT_NEEDED = "it starts a daemon that looks at another process's pages (/proc/PID/clear_refs, process_madvise)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=_seconds, default=45.0, help="give up after this long (45)")
    parser.add_argument(
        "--folder", default="", metavar="DIR", help="on a disk; a private folder is made and removed there"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is no time to look at anything; for example 45")
    return value


def run(args: argparse.Namespace) -> int:
    if args.root != "/":
        raise Failure("demo", "it shows this machine, and knows no --root", code=Exit.USAGE)
    require_root(os.geteuid())
    from reconciler import demo

    try:
        return _perform(args)
    except demo.BrokenError as error:
        raise Failure("demo", str(error), log=error.log) from error


def _perform(args: argparse.Namespace) -> int:
    from reconciler import demo

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)  # as Ctrl-C: everything is undone
    common = options.of(args)
    page = render.page(color=common.color, legend=common.legend)
    screen = Screen(page=page, live=sys.stdout.isatty(), silent=common.json)
    folder = _folder(args.folder)
    with one_signal(), demo.stage(folder) as stage:
        show = Show(stage=stage, screen=screen, deadline=time.monotonic() + args.seconds)
        show.introduce()
        with contextlib.suppress(KeyboardInterrupt):
            show.watch()
            show.complete = True
        hear_nothing()
    if not show.sights:
        return Exit.INTERRUPTED
    verdict = demo.judge(stage.ranges, show.sights)
    if common.json:
        render.show_document(document(show, verdict))
    else:
        render.show(summary(verdict, show.report, screen.page))
    return _code(verdict, complete=show.complete)


@contextlib.contextmanager
def one_signal() -> Iterator[None]:
    """The first one ends the demo as Ctrl-C does; after it none is heard, or half of the demo would be left behind."""
    before = {number: signal.getsignal(number) for number in ENDING}
    heard: list[int] = []

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        hear_nothing()
        heard.append(number)
        raise KeyboardInterrupt

    for number in ENDING:
        if before[number] is not signal.SIG_IGN:  # nohup
            signal.signal(number, end)
    try:
        yield
    finally:
        for number in ENDING:  # impatient people go on while the interpreter ends, when handlers do not count any more
            signal.signal(number, signal.SIG_IGN if heard else before[number])


def hear_nothing() -> None:
    """Python complains about a signal that it has taken in already and that is ignored now: so first a handler."""
    for number in ENDING:
        signal.signal(number, lambda *_: None)


def _code(verdict: "demo.Verdict", *, complete: bool) -> Exit:
    if not complete:
        return Exit.INTERRUPTED
    return Exit.FINE if verdict.left and verdict.stayed else Exit.FOUND


def require_root(uid: int) -> None:
    if uid != 0:
        raise Failure("demo", f"needs root: {ROOT_NEEDED}", hint="sudo ./run demo", code=Exit.PRIVILEGE)


def _folder(wish: str) -> Any:
    from reconciler import demo

    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        mounts = file.read()
    try:
        return demo.disk_folder([wish] if wish else demo.usual_folders(), mounts)
    except LookupError as error:
        code = Exit.USAGE if wish else Exit.FOUND
        raise Failure("demo", str(error), hint="name a folder on a disk with --folder", code=code) from error


@dataclass(slots=True)
class Screen:
    """Where frames go: over each other on a terminal, one short line every other second on a pipe."""

    page: Page
    live: bool
    silent: bool = False  # only the verdict counts
    drawn: int = 0
    next_line: float = 0.0

    def say(self, lines: list[str]) -> None:
        if not self.silent:
            render.show(lines)

    def draw(self, frame: list[str], line: str) -> None:
        if self.silent:
            return
        if self.live:
            render.show_over(frame, self.drawn)
            self.drawn = len(frame)
        elif time.monotonic() >= self.next_line:
            render.show([line])
            self.next_line = time.monotonic() + 2


@dataclass(slots=True)
class Show:
    stage: "demo.Stage"
    screen: Screen
    deadline: float
    begin: float = field(default_factory=time.monotonic)
    sights: list["demo.Sight"] = field(default_factory=list)
    report: EngineReport | None = None
    complete: bool = False  # watched to the end

    def introduce(self) -> None:
        from sysfs import probe

        sizes = ", ".join(f"{NAMES[each.role]} {human_bytes(each.size)}" for each in self.stage.ranges)
        words = [
            f"An exerciser (pid {self.stage.exerciser.pid}) holds: {sizes}.",
            "It touches what is not cold ten times a second. A class file asks to page out what is idle for 5 s.",
            tracker_words(probe.features(self.stage.tree)),
            f"Everything is in {self.stage.folder} and is gone in the end; Ctrl-C ends it sooner.",
            "",
        ]
        self.screen.say(words)

    def watch(self) -> None:
        """Look twice a second, until the cold memory has been out for a while, or the time is over; once at least."""
        from reconciler import demo

        settled = float("inf")
        while not self.sights or time.monotonic() < min(self.deadline, settled + SETTLE_SECONDS):
            self.stage.check()
            self.sights.append(self.stage.look())
            self.report = engine_report(self.options)
            self.screen.draw(list(self.frame()), self.line())
            if demo.judge(self.stage.ranges, self.sights).left:
                settled = min(settled, time.monotonic())
            time.sleep(0.5)

    @property
    def options(self) -> Options:
        return Options(state_dir=str(self.stage.folder / "state"), run_dir=str(self.stage.run_dir))

    def frame(self) -> Iterator[str]:
        words = f"{time.monotonic() - self.begin:3.0f} s  {engine_words(self.report)}"
        yield render.shorten(words, self.screen.page.width or len(words))  # a wrapped line would be drawn over badly
        yield ""
        yield from render.table(self.screen.page, COLUMNS, self.rows())
        yield ""
        yield from ages(self.options, self.screen.page)

    def rows(self) -> list[list[str]]:
        rows = []
        for each, resident in zip(self.stage.ranges, self.sights[-1].resident, strict=True):
            out = each.size - resident
            bar = "█" * (BAR * resident // each.size) + "·" * -(-BAR * out // each.size)
            rows.append([NAMES[each.role], human_bytes(each.size), human_bytes(resident), human_bytes(out), bar])
        return rows

    def line(self) -> str:
        parts = [f"{name} {inside} of {size} in memory" for name, size, inside, _, _ in self.rows()]
        return f"{time.monotonic() - self.begin:3.0f} s  {', '.join(parts)}"


def tracker_words(features: Features) -> str:
    """Which tracker `auto` takes here, and why none of the others."""
    chosen = tracking.best(features, moves=True)
    if not chosen:
        raise Failure("demo", "no tracker works on this kernel", hint="`ebbtide doctor` says how to enable one")
    reasons = [f"{name} does not work here ({why})" for name in tracking.NEEDS if (why := lacks(name, features))]
    others = "; ".join(reasons) or "all others work here, too"
    return f"Pages are tracked by `{chosen}`: {others}."


def lacks(tracker: str, features: Features) -> str:
    found = {name: features.features.get(name) for name in tracking.missing(tracker, features)}
    return ", ".join(f"{name}: {feature.detail if feature else 'unknown'}" for name, feature in found.items())


def engine_report(common: Options) -> EngineReport | None:
    """The loop's own figures, from the daemon's report or, fresher, from its control socket."""
    from reconciler.control import client

    if daemon_link.report(common) is None:
        return None
    try:
        with client.Client(common.socket) as ends:
            report = published.load(Report, ends.status())
    except client.Unavailable:
        return None
    return next((workload.engine for workload in report.workloads), None)


def engine_words(report: EngineReport | None) -> str:
    if report is None:
        return "the daemon starts"
    figures = f"{report.scans} scans, asked {human_bytes(report.advised_bytes)}"
    moved = f"left {human_bytes(report.paged_out_bytes)}, came back {human_bytes(report.came_back_bytes)}"
    stopped = f"; {report.error or report.brake}" if report.error or report.brake else ""
    return f"tracker {report.tracker}: {figures}, {moved}{stopped}"


def ages(common: Options, page: Page) -> list[str]:
    """The exerciser's memory by the time since its last access, as the daemon's loop knows it."""
    from reconciler import demo
    from reconciler.control import client
    from reconciler.engine.accessed import AccessedTable

    try:
        with client.Client(common.socket) as ends:
            table = published.load(AccessedTable, ends.accessed(demo.WORKLOAD, AGES))
    except (client.Unavailable, client.Unknown):
        return []
    total = sum(row.bytes for row in table.rows) or 1
    columns = (Column(title="LAST ACCESS"), Column(title="MEMORY", right=True), Column(title="", shrinks=True))
    rows = [
        [_bucket(row.at_least, row.below), human_bytes(row.bytes), "█" * (BAR * row.bytes // total) or "·"]
        for row in table.rows
    ]
    return render.table(page, columns, rows)


def _bucket(low: float, high: float) -> str:
    return f"{low:g} to {high:g} s ago" if high else f"longer than {low:g} s ago"


def summary(verdict: "demo.Verdict", report: EngineReport | None, page: Page) -> list[str]:
    cold = f"{human_bytes(verdict.cold - verdict.missed)} of {human_bytes(verdict.cold)} left memory"
    hot = f"{human_bytes(verdict.taken)} of {human_bytes(verdict.hot)} was taken"
    own = f"the daemon's own figures: {engine_words(report)}"
    return [
        "",
        f"{_word(page, verdict.left)}  cold memory: {cold}, {human_bytes(verdict.missed)} was missed",
        f"{_word(page, verdict.stayed)}  hot memory:  {hot} wrongly",
        f"      {own}",
    ]


def document(show: Show, verdict: "demo.Verdict") -> dict[str, Any]:
    """The document of schema/demo.schema.json."""
    left = verdict.cold - verdict.missed
    ranges = zip(show.stage.ranges, show.sights[-1].resident, strict=True)
    return {
        "version": 1,
        "complete": show.complete,
        "seconds": round(time.monotonic() - show.begin, 1),
        "cold": {"bytes": verdict.cold, "left": left, "missed": verdict.missed, "good": verdict.left},
        "hot": {"bytes": verdict.hot, "taken": verdict.taken, "good": verdict.stayed},
        "ranges": [{"role": each.role, "bytes": each.size, "in_memory": resident} for each, resident in ranges],
        "engine": asdict(show.report) if show.report else None,
    }


def _word(page: Page, good: bool) -> str:  # noqa: FBT001  a verdict, not a switch
    return page.paint("good", GREEN) if good else page.paint("BAD ", RED)
