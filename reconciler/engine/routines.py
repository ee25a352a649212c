"""memtierd's `statactions`: commands at each interval, and whenever so much more has been paged out.

What counts as paged out is what was verified to have left memory; memtierd counts what it asked for. A routine runs
once at a time: a tick that comes while its last run goes on is skipped, and counted. Its commands are children with a
limit of time and output, and end when the workload, the routine or the daemon does.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from reconciler import logfmt
from reconciler.engine import stamps
from reconciler.engine.console import Console
from reconciler.engine.errands import Errands
from reconciler.engine.ticker import Ticker
from reconciler.engineconfig import CGROUP_PLACEHOLDER, MIB, Command, RoutineConfig
from reconciler.errand import Errand
from reconciler.memtierd import line

_log = logging.getLogger("ebbtide.engine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Whose routines these are, and what they reach."""

    name: str  # of the workload, for the log; "node" for the node's
    console: Console
    paged_out: Callable[[], int]  # bytes, verified, since the beginning
    output: Callable[[str], None]
    errands: Errands
    cgroup: str = ""  # the workload's directory, "" = none: what the placeholder stands for

    def filled(self, words: Sequence[str]) -> tuple[str, ...]:
        """Words that begin with the placeholder, as values. A shell's text is left alone: a name is no program."""
        if not self.cgroup:
            return tuple(words)
        return tuple(
            self.cgroup + word.removeprefix(CGROUP_PLACEHOLDER) if word.startswith(CGROUP_PLACEHOLDER) else word
            for word in words
        )

    def environment(self) -> dict[str, str]:
        """Where a shell finds what is not put into its text."""
        return {CGROUP_PLACEHOLDER.removeprefix("$"): self.cgroup} if self.cgroup else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    status: int  # 0 = well
    text: str
    said: str = ""  # why it failed


@dataclass(slots=True)
class Tally:
    runs: int = 0  # of single commands
    failures: int = 0
    skipped: int = 0  # ticks
    last: dict[Command, Outcome] = field(default_factory=dict)


class Routines:
    """All routines of one workload, or of the node."""

    def __init__(self, configs: Sequence[RoutineConfig], stage: Stage, now: float) -> None:
        self._all = [Routine(config, f"routine {number}", stage) for number, config in enumerate(configs, 1)]
        seconds = [max(config.interval_ms, 1) / 1000 for config in configs]
        self._tickers = [Ticker(interval, now + interval) for interval in seconds]

    def due(self) -> float:
        return min((ticker.due for ticker in self._tickers), default=float("inf"))

    def run(self, now: float) -> None:
        """Begin what is due; returns at once."""
        for ticker, routine in zip(self._tickers, self._all, strict=True):
            if ticker.take(now):
                routine.tick()

    def notes(self) -> list[str]:
        return [note for routine in self._all for note in routine.notes()]

    def stop(self) -> None:
        """End commands under way; nothing begins any more."""
        for routine in self._all:
            routine.stop()


class Routine:
    def __init__(self, config: RoutineConfig, title: str, stage: Stage) -> None:
        self._config, self._title, self._stage = config, title, stage
        self._began = stage.errands.wall_ns()
        self._counted = stage.paged_out()
        self._under_way = self._stopped = False
        self._errand: Errand | None = None
        self.tally = Tally()

    def tick(self) -> None:
        if self._stopped:
            return
        if self._under_way:
            self.tally.skipped += 1
            return
        if not (commands := self._due()):
            return
        self._under_way = True
        try:
            self._stage.errands.send(self._stage.name, partial(self._perform, commands))
        except RuntimeError as error:  # no thread can be made
            self._under_way = False
            self._count(commands[0], Outcome(status=1, text="", said=str(error)))

    def stop(self) -> None:
        self._stopped = True
        if (errand := self._errand) is not None:
            errand.kill()

    def notes(self) -> list[str]:
        tally = self.tally
        said = f"{self._title} failed {tally.failures} of {tally.runs} times"
        notes = [f"{said}, now with {_end(last)}" for last in list(tally.last.values()) if last.status]
        if tally.skipped:
            notes.append(f"{self._title} was still running at {tally.skipped} of its ticks, which were skipped")
        return notes

    def _due(self) -> list[Command]:
        out = self._stage.paged_out()
        commands = [self._config.command] if self._config.command is not None else []
        if (
            after := self._config.pageout_command
        ) is not None and out - self._counted >= self._config.pageout_mib * MIB:
            self._counted = out
            commands.append(after)
        return commands

    # -- in a thread of its own --------------------------------------------------------------------------------------

    def _perform(self, commands: Sequence[Command]) -> None:
        try:
            for command in commands:
                if not self._stopped:
                    self._one(command)
        finally:
            self._under_way = False

    def _one(self, command: Command) -> None:
        before = self._stamp(self._config.timestamp)
        outcome = self._outcome(command)
        if self._stopped:  # it was killed, and nobody listens
            return
        self._count(command, outcome)
        self._stage.output(before + outcome.text + self._stamp(self._config.timestamp_after))

    def _outcome(self, command: Command) -> Outcome:
        try:
            return self._run(command)
        except Exception as error:  # noqa: BLE001 the one guard: however it fails is said, and the next one runs
            if not isinstance(error, OSError | ValueError):
                _log.exception("event=routine-broken workload=%s", logfmt.text(self._stage.name))
            return Outcome(status=1, text=f"{error}\n", said=str(error))

    def _run(self, command: Command) -> Outcome:
        match command.runner:
            case "exec":
                return self._execute(self._stage.filled(command.words))
            case "memtier":
                return Outcome(status=0, text=self._stage.console.run(self._stage.filled(command.words)))
            case "memtier-prompt" if len(command.words) == 1:
                split = line.split(command.words[0])
                text = self._stage.console.run(split.words) if split.words else ""
                return self._execute(("sh", "-c", split.pipe), text) if split.pipe else Outcome(status=0, text=text)
            case "memtier-prompt":
                raise ValueError(f"memtier-prompt wants one line, not {len(command.words)} words")
            case _:
                raise ValueError(f"runner {command.runner!r} is none of exec, memtier, memtier-prompt")

    def _execute(self, words: Sequence[str], feed: str = "") -> Outcome:
        errands = self._stage.errands
        self._errand = errand = Errand(words, feed, self._stage.environment())
        if self._stopped:
            errand.kill()
        try:
            ended = errand.wait(errands.limit, errands.most_output)
        finally:
            self._errand = None
        text = ended.output + (f"\n[{ended.left_out} bytes more were left out]\n" if ended.left_out else "")
        if not ended.in_time:
            said = f"killed after {errands.limit:g} s, the limit of a routine's command"
            return Outcome(status=ended.status, text=f"{text}[{said}]\n", said=said)
        last = ended.output.strip().rpartition("\n")[2] if ended.status else ""
        return Outcome(status=ended.status, text=text, said=last[:200])

    def _stamp(self, template: str) -> str:
        errands = self._stage.errands
        return stamps.text(template, errands.wall_ns(), self._began, errands.zone) if template else ""

    def _count(self, command: Command, outcome: Outcome) -> None:
        failed_before = command in self.tally.last and self.tally.last[command].status != 0
        self.tally.last[command] = outcome
        self.tally.runs += 1
        self.tally.failures += outcome.status != 0
        if failed_before == (outcome.status != 0):
            return
        event = "event=routine-failed" if outcome.status else "event=routine-works-again"
        words = " ".join(command.words)
        line = logfmt.line(event, workload=self._stage.name, command=words, status=outcome.status, said=outcome.said)
        _log.log(logging.WARNING if outcome.status else logging.INFO, "%s", line)


def _end(outcome: Outcome) -> str:
    """What a program printed is a stranger's text."""
    return f"exit status {outcome.status}" + (f": {logfmt.text(outcome.said)}" if outcome.said else "")
