"""`tracker`: make, start and stop a tracker, print what it counted."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from reconciler.engine.regions import Regions, ends
from reconciler.engineconfig import EngineConfig, StubConfig, TrackerConfig, WatcherConfig
from reconciler.memtierd import drafts, flags, native, rangetext, words
from reconciler.memtierd.commands import making
from reconciler.memtierd.commands.command import Command, Wrong
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.drafts import Source
from reconciler.memtierd.flags import Flag, Given
from reconciler.memtierd.host import Kind, Tracking

_NAMES = making.names(words.TRACKERS)
_NONE = "no tracker, create one with -create NAME [-config JSON]"
_DUMPS = "-dump raw start|new|stop, or -dump regions"


def run(given: Given, desk: Desk) -> Iterator[str]:
    making.checked(given, desk)
    if "create" in given:
        name = making.named("tracker", given.text("create"), _NAMES)
        desk.tracker = TrackerConfig(name=name)
        yield "tracker created"
    if desk.tracker is None and desk.host.config("policy") is None:
        raise Wrong(_NONE)
    if (source := making.source(given, desk)) is not None:
        yield from _configure(desk, source)
    if "stop" in given:
        _own(desk)
        desk.host.stop("tracker")
    if "start" in given:
        desk.tracked = flags.numbers(given, "start")
        start(desk, WatcherConfig(name="pidlist", pids=desk.tracked))
        yield "tracker started"
    yield from _look(given, desk)


def start(desk: Desk, watcher: WatcherConfig) -> None:
    """Track by the tracker that was made here; nothing is moved."""
    tracker = _own(desk)
    for pid in watcher.pids:
        if reason := desk.host.refusal(pid, named=True):
            raise Wrong(f"process {pid} is left alone: {reason}")
    policy = StubConfig(interval_ms=tracker.scan_interval_ms)
    desk.host.start("tracker", EngineConfig(policy=policy, tracker=tracker, watcher=watcher))


def _own(desk: Desk) -> TrackerConfig:
    if desk.tracker is None:
        raise Wrong("the tracker is the policy's, which starts and stops it; -create NAME makes another one")
    return desk.tracker


def _configure(desk: Desk, source: Source) -> Iterator[str]:
    draft = drafts.tracker(_own(desk).name, source)
    yield from draft.notes
    desk.tracker = draft.config
    running = desk.host.config("tracker")
    if desk.host.running("tracker") and running is not None:
        desk.host.start("tracker", replace(running, tracker=draft.config))
    yield "tracker configured successfully"


def _look(given: Given, desk: Desk) -> Iterator[str]:
    if "config-dump" in given:
        yield drafts.show(_dumped(desk))
    if not given.any_of("counters", "heat", "reset", "dump"):
        return
    session = _session(desk)
    if "counters" in given:
        yield "\n".join(_counters(session)) or "no counter entries"
    if "heat" in given:
        yield "\n".join(_heats(session)) or "no counter entries"
    if "reset" in given:
        session.reset_counters()
        yield "tracker counters reset"
    if "dump" in given:
        yield _dump(session, given.words)


def _dumped(desk: Desk) -> Mapping[str, object]:
    policy = desk.host.config("policy")
    made = desk.tracker or (policy.tracker if policy is not None else TrackerConfig())
    return native.tracker(made, desk.page_size)


def _session(desk: Desk) -> Tracking:
    kind: Kind = "policy" if desk.tracker is None else "tracker"
    session = desk.host.session(kind)
    if session is None:
        raise Wrong(f"the {kind} was not started yet: {kind} -start")
    return session


def _counters(session: Tracking) -> list[str]:
    """Least accessed first, as memtierd sorts them."""
    rows = [row for pid, mine in session.counters().items() for row in _rows(pid, mine, session.page_size)]
    return [
        f"a={accesses} r=0 w={writes} AddrRanges{{pid={pid} ranges={rangetext.show(start, end)}}}"
        for accesses, writes, pid, start, end in sorted(rows)
    ]


def _rows(pid: int, mine: Regions, page_size: int) -> list[tuple[int, int, int, int, int]]:
    columns = (mine["accesses"], mine["writes"], mine["start"], ends(mine, page_size))
    return [(a, w, pid, start, end) for a, w, start, end in zip(*(each.tolist() for each in columns), strict=True)]


def _heats(session: Tracking) -> list[str]:
    """By address; neighbours of equal heat are one range."""
    found = []
    for pid in sorted(session.counters()):
        mine = session.counters()[pid]
        heat, end = mine["accesses"].astype(np.int64) + mine["writes"], ends(mine, session.page_size)
        first = np.flatnonzero(np.append(len(mine) > 0, (heat[1:] != heat[:-1]) | (mine["start"][1:] != end[:-1])))
        if len(mine):
            last = np.append(first[1:], len(mine)) - 1
            starts, stops = mine["start"][first].tolist(), end[last].tolist()
            pieces = zip(starts, stops, heat[first].tolist(), strict=True)
            found += [f"{rangetext.show(start, stop)} {each}" for start, stop, each in pieces]
    return found


def _dump(session: Tracking, words_given: tuple[str, ...]) -> str:
    match words_given:
        case ("raw", word):
            return session.record(word)
        case ("regions",):
            rows = [row for pid, mine in session.counters().items() for row in _rows(pid, mine, session.page_size)]
            return "\n".join(f"{pid} {rangetext.show(start, end)}" for _, _, pid, start, end in rows)
        case _:
            raise Wrong(f"what shall be dumped? {_DUMPS}")


COMMAND = Command(
    name="tracker",
    summary="make, start and stop a tracker, print what it counted",
    run=making.listing(_NAMES, run),
    words="[WORD...]",
    flags=(
        Flag(name="ls", text="list the trackers that there are"),
        Flag(name="create", value="NAME", text="make a new tracker"),
        *making.CONFIG,
        Flag(name="start", value="PID[,PID...]", text="track these processes, and forget others"),
        Flag(name="stop", text="stop it; its counters stay"),
        Flag(name="reset", text="let the counters begin again"),
        Flag(name="counters", text="print the counters of all regions, those of the least accessed first"),
        Flag(name="heat", text="print accesses and writes together, by address"),
        Flag(name="dump", text=f"print what it knows: {_DUMPS}"),
    ),
)
