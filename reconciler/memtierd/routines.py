"""Routines: commands every interval, and whenever so much memory was paged out.

Programs and shells are for files that only root can have written: they run as root. What the container runtime handed
over may ask the engine itself, and nothing else.
"""

import shlex

from reconciler import checking, documents, quantities
from reconciler.engineconfig import Command, RoutineConfig
from reconciler.memtierd import words
from reconciler.memtierd.forecasters import NOT_TRUSTED, PUT_IT_THERE
from reconciler.memtierd.parts import Part
from reconciler.model import Severity

_STATS = "$MEMTIERD_SWAP_STATS_PATH"  # a file of nri-memtierd's, not documented there
_EXAMPLE = "[policy, -dump, accessed, '0,1m,0']"


def read_all(root: Part) -> tuple[RoutineConfig, ...]:
    """Those of the list under "routines"; memtierd's stub does nothing, and is nothing here."""
    found = (read(*each) for each in root.each_named("routines", words.ROUTINES))
    return tuple(routine for routine in found if routine is not None)


def read(name: str, part: Part) -> RoutineConfig | None:
    if name == "stub":
        part.check_keys(())
        return None
    part.check_keys(words.with_native(words.ROUTINE_KEYS))
    if not part.gives("intervalms"):
        part.say("", 'the routine\'s "intervalms" is missing', "write intervalms: 60000 (or interval: 1m)")
    commands = [part.has(key) for key in ("intervalcommand", "pageoutcommand")]
    if not any(commands):
        part.say("", "the routine has no command", "write intervalcommand: [policy, -dump, accessed]")
    for key in ("pageoutmb", words.NATIVE["pageoutmb"], "pageoutcommandrunner"):
        if part.has(key) and not commands[1]:
            part.say(key, f'"{key}" has no effect without "pageoutcommand"', "remove it", Severity.WARNING)
    return RoutineConfig(
        interval_ms=part.duration_ms("intervalms", 60000, least=1),
        command=_command(part, "intervalcommand"),
        pageout_mib=part.multiple("pageoutmb", 2**20, 0, "3000M"),
        pageout_command=_command(part, "pageoutcommand"),
        timestamp=part.one_of("timestamp", "", words.TIMESTAMPS, "timestamp"),
        timestamp_after=part.one_of("timestampafter", "", words.TIMESTAMPS, "timestamp"),
    )


def _command(part: Part, key: str) -> Command | None:
    runner = part.one_of(f"{key}runner", "exec", words.RUNNERS, "runner")
    if not part.has(key):
        return None
    given = part.texts(key)
    if not given or not given[0].strip():
        if part.values[key] == [] or given:
            part.say(key, "the command is empty", f"write {key}: {_EXAMPLE}")
        return None
    if any(_STATS in word for word in given):
        said = f"{_STATS} is not filled in: the output of a workload's routines is kept beside its other files"
        part.say(key, said, "see STATE/rendered/NAMESPACE/POD/CONTAINER/output", Severity.WARNING)
    return _allowed(part, key, _understood(part, key, given, runner))


def _understood(part: Part, key: str, given: tuple[str, ...], runner: str) -> Command:
    """A prompt's line without a pipe is what the engine answers itself, word by word."""
    if runner == "exec":
        return Command(words=given, runner=runner)
    if runner == "memtier-prompt" and len(given) != 1:
        said = f"a line for the prompt is one text, not {len(given)}"
        part.say(key, said, f"write {key}: ['policy -dump accessed 0,1m,0'], or runner memtier")
    if runner == "memtier-prompt":
        line = _prompt_words(part, key, given[0])
        _check_words(part, key, line)
        if "|" in given[0]:
            return Command(words=(given[0],), runner=runner)
        return Command(words=line, runner="memtier")
    _check_words(part, key, given)
    return Command(words=given, runner=runner)


def _prompt_words(part: Part, key: str, line: str) -> tuple[str, ...]:
    """Of what stands before a pipe: behind it is a shell's business."""
    try:
        return tuple(shlex.split(line.partition("|")[0]))
    except ValueError:
        part.say(key, "a quotation is open at the end of the line, or at a pipe", "close it")
        return ()


def _check_words(part: Part, key: str, command: tuple[str, ...]) -> None:
    if not command:
        return
    if command[0] == "q":
        part.say(key, "q would end the daemon", "remove it")
    elif command[0] not in words.PROMPT_COMMANDS:
        said = f'unknown command "{documents.shorten(command[0])}"'
        part.say(key, said, checking.did_you_mean(command[0], words.PROMPT_COMMANDS))
    elif command[:3] == ("policy", "-dump", "accessed") and len(command) > 3:
        _check_limits(part, key, command[3])


def _check_limits(part: Part, key: str, limits: str) -> None:
    try:
        _ = [quantities.seconds_of(limit) for limit in limits.split(",")]
    except ValueError as error:
        part.say(key, str(error), "list limits with commas: 0,1m,30m,2h,24h,0 (0 at the end: for ever)")


def _allowed(part: Part, key: str, command: Command) -> Command:
    if command.starts_programs and not part.reading.programs:
        part.say(key, NOT_TRUSTED, f"{PUT_IT_THERE}, or ask the engine itself: {key}runner: memtier")
    return command
