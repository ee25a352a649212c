"""memtierd's configuration, as text or as mappings, made into the engine's own.

Differences that are meant: missing keys take the documented defaults (memtierd takes zero, and then panics or loops);
a mapping may stand wherever memtierd wants a text; durations and sizes may have units; a missing pidwatcher is the
workload's own cgroup. `$CGROUP2_ABS_PATH` stays as it is here and is replaced in the parsed value later, so a strange
cgroup name can never become configuration. No command ever reaches a shell.
"""

import shlex
from dataclasses import dataclass

from reconciler import checking, documents, quantities
from reconciler.documents import Document
from reconciler.engineconfig import (
    CGROUP_PLACEHOLDER,
    AgeConfig,
    Command,
    EngineConfig,
    MoverConfig,
    RoutineConfig,
    TrackerConfig,
    WatcherConfig,
)
from reconciler.memtierd import parts, words
from reconciler.memtierd.parts import Part
from reconciler.model import Problem, Severity

USUAL_PAGE = 4096
_LARGEST_REGION = 2**30  # bytes: a page-out looks at each page of a region
_FEW_PAGES = 16
_REGION_BYTES = 40  # reconciler/engine/regions.py
_MOST_BANDWIDTH = 2**20  # MiB/s: one TiB a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What came of it: `config` is None if there was an error; warnings and notes come with a configuration."""

    config: EngineConfig | None
    problems: tuple[Problem, ...] = ()


def read(document: Document, pointer: str, value: object, page_size: int = USUAL_PAGE) -> Read:
    """The configuration at `pointer` of a document: of a class, or (pointer "") a memtierd configuration file."""
    problems: list[Problem] = []
    root = parts.read(document, pointer, value, problems)
    config = None if root is None else _engine(root, page_size)
    wrong = config is None or any(problem.severity is Severity.ERROR for problem in problems)
    return Read(config=None if wrong else config, problems=tuple(problems))


def _engine(root: Part, page_size: int) -> EngineConfig | None:
    root.check_keys(words.TOP_KEYS)
    routines = _routines(root)
    if not root.has("policy"):
        root.say("", 'the key "policy" is missing', "write policy: {name: age, config: {interval: 10s}}")
        return None
    found = root.named("policy", words.POLICIES)
    if found is None:
        return None
    _, age = found
    _check_age_keys(age)
    tracker = _tracker(age, page_size)
    policy = _age(age, tracker)
    return EngineConfig(policy=policy, tracker=tracker, mover=_mover(age), watcher=_watcher(age), routines=routines)


# -- the age policy --------------------------------------------------------------------------------------------------


def _check_age_keys(age: Part) -> None:
    known = (*words.with_native(words.AGE_KEYS), *words.with_native(words.AGE_NUMA_KEYS))
    moved = [key for key in words.AGE_MOVED_KEYS if key in age.values]
    for key in moved:
        name = "cgroups" if key == "cgroups" else "pidlist"
        age.say(key, f'"{key}" does not belong directly into the policy', f"put it into pidwatcher {name}'s config")
    age.check_keys((*known, *moved))


def _age(age: Part, tracker: TrackerConfig) -> AgeConfig:
    if not age.has("intervalms") and not age.has("interval"):
        age.say("", 'the age policy\'s "intervalms" is missing', "write intervalms: 10000 (or interval: 10s)")
    interval = age.duration_ms("intervalms", 10000, least=1)
    swapout = age.duration_ms("swapoutms", 0)
    demotion = _to_swap_by_node(age)
    swapout = min(filter(None, (swapout, demotion)), default=0)
    if 0 < swapout < tracker.scan_interval_ms:
        said = f"memory is paged out after {swapout} ms without access, but looked at only every"
        said += f" {tracker.scan_interval_ms} ms: memory in use would look idle"
        key = "swapoutms" if age.has("swapoutms") else "swapout"
        age.say(key, said, "make it at least the tracker's scanintervalms, better twice that", Severity.WARNING)
    return AgeConfig(interval_ms=interval, swapout_ms=swapout, page_types=_page_types(age))


def _to_swap_by_node(age: Part) -> int:
    """Memtierd calls swap "node -1": idle memory moved there is paged out. Real nodes are for a later version."""
    for duration, nodes in (("idledurationms", "idlenumas"), ("activedurationms", "activenumas")):
        milliseconds = age.duration_ms(duration, 0)
        listed = age.values.get(nodes)
        if listed is None or listed == []:
            continue
        if not isinstance(listed, list) or not all(isinstance(node, int) for node in listed):
            age.say(
                nodes, f"must be a list of node numbers, not {checking.show(listed)}", f"for example {nodes}: [2, 3]"
            )
        elif nodes == "idlenumas" and listed[0] == -1:
            return milliseconds
        elif milliseconds:
            said = f'"{nodes}" has no effect: moving memory between NUMA nodes {parts.NOT_YET}'
            age.say(nodes, said, "remove it", Severity.WARNING)
    return 0


def _page_types(age: Part) -> tuple[str, ...]:
    if not age.has("pagetypes"):
        return ("anon",)
    found = age.texts("pagetypes")
    for item, word in enumerate(found):
        if word not in words.PAGE_TYPES:
            said = f'unknown page type "{documents.shorten(word)}"'
            age.say("pagetypes", said, checking.did_you_mean(word, words.PAGE_TYPES), item=item)
    if not found:
        age.say("pagetypes", "no page type is given", "write pagetypes: [anon], [file] or [anon, file]")
    return tuple(word for word in words.PAGE_TYPES if word in found)


def _watcher(age: Part) -> WatcherConfig:
    if not age.has("pidwatcher"):
        return WatcherConfig(cgroups=(CGROUP_PLACEHOLDER,))
    found = age.named("pidwatcher", words.PIDWATCHERS)
    if found is None:
        return WatcherConfig()
    name, config = found
    if name == "pidlist":
        config.check_keys(words.PIDLIST_KEYS)
        return WatcherConfig(name=name, pids=_pids(config))
    config.check_keys(words.with_native(words.CGROUPS_KEYS))
    cgroups = config.texts("cgroups") if config.has("cgroups") else (CGROUP_PLACEHOLDER,)
    for item, path in enumerate(cgroups):
        if path.partition("/")[0] not in {"", CGROUP_PLACEHOLDER} or not path or ".." in path.split("/"):
            hint = f"write {CGROUP_PLACEHOLDER} for the workload's own, or a path such as /sys/fs/cgroup/system.slice"
            config.say("cgroups", f"{checking.show(path)} is no absolute directory", hint, item=item)
    return WatcherConfig(name=name, cgroups=cgroups, interval_ms=config.duration_ms("intervalms", 5000, least=1))


def _pids(config: Part) -> tuple[int, ...]:
    listed = config.values.get("pids")
    if isinstance(listed, list) and all(isinstance(pid, int) and 0 < pid < 2**22 for pid in listed):
        return tuple(listed)
    config.say("pids", f"must be a list of process ids, not {checking.show(listed)}", "for example pids: [1234]")
    return ()


# -- tracker and mover -----------------------------------------------------------------------------------------------


def _tracker(age: Part, page_size: int) -> TrackerConfig:
    if not age.has("tracker"):
        return TrackerConfig()
    found = age.named("tracker", words.TRACKERS)
    if found is None:
        return TrackerConfig()
    name, config = found
    silent = words.TRACKER_SPEED_KEYS  # buffer sizes of memtierd's reader: ours reads in bulk
    broken = dict.fromkeys(words.TRACKER_BROKEN_KEYS, f"it does not work in memtierd, and {parts.NOT_YET}")
    off = {key for key in broken if config.values.get(key) in (0, False)}
    config.check_keys(
        (*words.with_native(words.TRACKER_KEYS), *silent, *off), {k: v for k, v in broken.items() if k not in off}
    )
    return TrackerConfig(
        name=name,
        pages_in_region=_pages_in_region(config, page_size),
        max_count_per_region=config.whole("maxcountperregion", 1),
        scan_interval_ms=config.duration_ms("scanintervalms", 5000, least=1),
        regions_update_ms=config.duration_ms("regionsupdatems", 10000),
    )


def _pages_in_region(config: Part, page_size: int) -> int:
    if not config.has("regionsize"):
        pages = config.whole("pagesinregion", 512, least=1, most=_LARGEST_REGION // page_size)
        return _not_few(config, "pagesinregion", pages)
    if config.has("pagesinregion"):
        config.say("regionsize", '"pagesinregion" and "regionsize" say the same thing twice', "remove one of the two")
    size = _size(config, "regionsize", 512 * page_size, page_size, "2MiB")
    if size > _LARGEST_REGION:
        said = f"{checking.show(config.values['regionsize'])} is too large; the most is"
        config.say("regionsize", f"{said} {quantities.human_bytes(_LARGEST_REGION)}", "for example regionsize: 2MiB")
    return _not_few(config, "regionsize", size // page_size)


def _not_few(config: Part, key: str, pages: int) -> int:
    if pages < _FEW_PAGES:
        said = (
            f"regions of {pages} page(s) cost the daemon {_REGION_BYTES / pages:.3g} bytes for each page of a workload"
        )
        config.say(key, said, f"{_FEW_PAGES} pages or more cost next to nothing", Severity.WARNING)
    return pages


def _size(part: Part, key: str, default: int, least: int, example: str) -> int:
    try:
        size = quantities.bytes_of(parts.with_unit(part.values[key]))
    except ValueError as error:
        part.say(key, str(error), f"for example {key}: {example}")
        return default
    if size < least:
        said = f"{checking.show(part.values[key])} is too small; the least is {quantities.human_bytes(least)}"
        part.say(key, said, f"for example {key}: {example}")
        return default
    return size


def _mover(age: Part) -> MoverConfig:
    mover = age.below("mover")
    if mover is None:
        return MoverConfig()
    mover.check_keys(words.with_native(words.MOVER_KEYS))
    return MoverConfig(interval_ms=mover.duration_ms("intervalms", 10, least=1), bandwidth_mib=_bandwidth(mover))


def _bandwidth(mover: Part) -> int:
    """Memtierd's plain number is MiB per second; ours may say `50MiB` or `50MiB/s`."""
    value = mover.values.get("bandwidth")
    if isinstance(value, str):
        plain = Part(
            document=mover.document,
            pointer=mover.pointer,
            values={"bandwidth": value.removesuffix("/s")},
            problems=mover.problems,
        )
        return min(_MOST_BANDWIDTH, _size(plain, "bandwidth", 100 * 2**20, 2**20, "50MiB") // 2**20)
    bandwidth = mover.whole("bandwidth", 100, most=_MOST_BANDWIDTH)
    if bandwidth == 0:
        mover.say(
            "bandwidth", "with a bandwidth of 0 nothing is ever moved", "remove it for 100 MiB/s", Severity.WARNING
        )
    return bandwidth


# -- routines --------------------------------------------------------------------------------------------------------


def _routines(root: Part) -> tuple[RoutineConfig, ...]:
    listed = root.values.get("routines")
    if listed is None:
        return ()
    if not isinstance(listed, list):
        root.say("routines", f"must be a list, not {checking.show(listed)}", "begin each routine with `- name:`")
        return ()
    at = Part(
        document=root.document,
        pointer=f"{root.pointer}/routines",
        values={str(index): item for index, item in enumerate(listed)},
        problems=root.problems,
    )
    return tuple(routine for key in at.values if (routine := _routine(at, key)) is not None)


def _routine(listed: Part, key: str) -> RoutineConfig | None:
    found = listed.named(key, words.ROUTINES)
    if found is None:
        return None
    _, config = found
    later = dict.fromkeys((*words.ROUTINE_PAGEOUT_KEYS, *words.ROUTINE_STAMP_KEYS), f"it {parts.NOT_YET}")
    config.check_keys(words.with_native(words.ROUTINE_KEYS), later)
    if not config.has("intervalcommand"):
        if not config.has("pageoutcommand"):
            config.say("", "the routine has no command", "write intervalcommand: [policy, -dump, accessed]")
        return None
    interval = config.duration_ms("intervalms", 60000, least=1)
    if not config.has("intervalms") and not config.has("interval"):
        config.say("", 'the routine\'s "intervalms" is missing', "write intervalms: 60000 (or interval: 1m)")
    command = _command(config)
    return RoutineConfig(interval_ms=interval, command=Command(words=command, runner="memtier")) if command else None


def _command(config: Part) -> tuple[str, ...]:
    """The words of a command that the engine itself answers; anything that wants a shell or a program is ignored."""
    command = config.texts("intervalcommand")
    runner = config.word("intervalcommandrunner", "exec")
    if runner not in words.RUNNERS:
        said = f'unknown runner "{documents.shorten(runner)}"'
        config.say("intervalcommandrunner", said, checking.did_you_mean(runner, words.RUNNERS))
        return ()
    if not command:
        if config.values["intervalcommand"] == []:
            config.say("intervalcommand", "the command is empty", "write [policy, -dump, accessed]")
        return ()
    if runner == "memtier-prompt" and len(command) == 1:
        command = _prompt_words(command[0])
    if runner == "exec" or command[:1] not in {("policy",), ("stats",)} or "|" in command:
        said = "the command is never run: Ebbtide starts no programs and no shell for a class"
        hint = "use intervalcommandrunner: memtier with [policy, -dump, accessed, ...] or [stats]"
        config.say("intervalcommand", said, hint, Severity.WARNING)
        return ()
    return _checked_limits(config, command)


def _prompt_words(line: str) -> tuple[str, ...]:
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|>;&")
        lexer.whitespace_split = True
        return tuple(lexer)
    except ValueError:  # an open quotation
        return ()


def _checked_limits(config: Part, command: tuple[str, ...]) -> tuple[str, ...]:
    if command[0] == "stats":
        return command
    if command[1:3] != ("-dump", "accessed"):
        hint = "policy -dump accessed 0,1m,30m,2h,24h,0"
        config.say(
            "intervalcommand", f"`{documents.shorten(' '.join(command))}` {parts.NOT_YET}", hint, Severity.WARNING
        )
        return ()
    try:
        _ = [quantities.seconds_of(limit) for limit in command[3].split(",")] if len(command) > 3 else []
    except ValueError as error:
        config.say("intervalcommand", f"{error}", "list limits with commas: 0,1m,30m,2h,24h,0 (0 at the end: for ever)")
    return command
