"""`pidwatcher`: who is there, told to the tracker or printed."""

from collections.abc import Iterator

from reconciler.engineconfig import WatcherConfig
from reconciler.memtierd import drafts, native, words
from reconciler.memtierd.commands import making, tracker
from reconciler.memtierd.commands.command import Command, Wrong, no_words
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Flag, Given

_NAMES = making.names(words.PIDWATCHERS)
_NONE = "no pidwatcher, create one with -create NAME [-config JSON]"
LISTENERS = ("log", "tracker")


def run(given: Given, desk: Desk) -> Iterator[str]:
    no_words(given)
    making.changeable(given, desk, "create", "config", "config-file", "start", "stop", "listener")
    yield from _make(given, desk)
    yield from _use(given, desk, _watcher(desk))


def _make(given: Given, desk: Desk) -> Iterator[str]:
    if "create" in given:
        name = making.named("pidwatcher", given.text("create"), _NAMES)
        desk.watcher, desk.watched, desk.listener = WatcherConfig(name=name), (), ""
        yield "pidwatcher created"
    if (source := making.source(given, desk)) is not None:
        draft = drafts.watcher(_watcher(desk).name, source)
        yield from draft.notes
        desk.watcher = draft.config
        yield "pidwatcher configured successfully"
    if "listener" in given:
        desk.listener = making.named("listener", given.text("listener"), LISTENERS)


def _use(given: Given, desk: Desk, watcher: WatcherConfig) -> Iterator[str]:
    if "config-dump" in given:
        yield drafts.show(native.watcher(watcher))
    if "stop" in given:
        desk.host.watch(None)
    if given.any_of("start", "poll") and desk.listener == "tracker":
        tracker.start(desk, watcher)
    elif "start" in given:
        desk.host.watch(watcher)
    elif "poll" in given:
        yield from _poll(desk, watcher)
    if "dump" in given:
        yield f"pidwatcher {watcher.name}: {go_list(desk.host.pids(watcher))}"


def _watcher(desk: Desk) -> WatcherConfig:
    """The one that was made here, or the policy's."""
    policy = desk.host.config("policy")
    found = desk.watcher or (policy.watcher if policy is not None else None)
    if found is None:
        raise Wrong(_NONE)
    return found


def _poll(desk: Desk, watcher: WatcherConfig) -> Iterator[str]:
    now = desk.host.pids(watcher)
    yield from changes(desk.watched, now)
    desk.watched = now


def changes(before: tuple[int, ...], now: tuple[int, ...]) -> Iterator[str]:
    """What the log listener prints."""
    if gone := sorted(set(before) - set(now)):
        yield f"pidwatcher: RemovePids({go_list(gone)})"
    if new := sorted(set(now) - set(before)):
        yield f"pidwatcher: AddPids({go_list(new)})"


def go_list(pids: list[int] | tuple[int, ...]) -> str:
    """A list as memtierd prints it."""
    return f"[{' '.join(map(str, pids))}]"


COMMAND = Command(
    name="pidwatcher",
    summary="find processes, and tell the tracker or the log of them",
    run=making.listing(_NAMES, run),
    flags=(
        Flag(name="ls", text="list the pidwatchers that there are"),
        Flag(name="create", value="NAME", text="make a new pidwatcher"),
        *making.CONFIG,
        Flag(name="listener", value="NAME", text="whom to tell: tracker, or log (prints AddPids and RemovePids)"),
        Flag(name="start", text="start it"),
        Flag(name="stop", text="stop telling the log; a tracker that was started goes on"),
        Flag(name="poll", text="look once"),
        Flag(name="dump", text="print whom it finds now"),
    ),
)
