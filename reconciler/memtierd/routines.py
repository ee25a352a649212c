"""Routines: commands every interval, and whenever so much memory was paged out.

Programs and shells are for files that only root can have written: they run as root. What the container runtime handed
over may have the engine itself tell, and nothing else: the prompt moves anybody's memory.
"""

import re

from reconciler import checking, documents, quantities
from reconciler.engineconfig import Command, RoutineConfig
from reconciler.memtierd import line, words
from reconciler.memtierd.forecasters import NOT_TRUSTED, PUT_IT_THERE
from reconciler.memtierd.line import Line, LineError
from reconciler.memtierd.parts import Part
from reconciler.model import Severity

_ONE_WORD = re.compile(r"[a-z][a-z0-9]*(\.[a-z]*)?")
_NOT_TOLD = (
    "what came from the container runtime may only ask (policy -dump, stats) and write to the log: other commands of "
    "the prompt reach the memory of all"
)
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
        timestamp=_timestamp(part, "timestamp"),
        timestamp_after=_timestamp(part, "timestampafter"),
    )


def _timestamp(part: Part, key: str) -> str:
    """A text around names and Go's example moment (engine/stamps.py); one word that is no name is a typo."""
    given = part.word(key)
    return part.one_of(key, "", words.TIMESTAMPS, "timestamp") if _ONE_WORD.fullmatch(given) else given


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
        split = _split(part, key, given[0])
        _check_words(part, key, split.words)
        if split.pipe:
            return Command(words=(given[0],), runner=runner)
        return Command(words=split.words, runner="memtier")
    _check_words(part, key, given)
    return Command(words=given, runner=runner)


def _split(part: Part, key: str, text: str) -> Line:
    """Words before a pipe: behind it is a shell's business."""
    try:
        return line.split(text)
    except LineError as error:
        part.say(key, str(error), "close it")
        return Line()


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
    elif not command.only_tells and not part.reading.programs:
        part.say(key, _NOT_TOLD, PUT_IT_THERE)
    return command
