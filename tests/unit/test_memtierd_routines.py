"""Routines: what they run, and who may say so."""

import json

import pytest

from reconciler.engineconfig import Command, RoutineConfig
from reconciler.model import Severity
from tests.unit.memtierd_texts import check_error, engine, read, said


def routine(settings: str) -> str:
    return f"routines: [{{name: statactions, config: {{intervalms: 60000, {settings}}}}}]"


@pytest.mark.parametrize(
    ("runner", "command", "kept"),
    [
        ("memtier", '["policy", "-dump", "accessed", "0,1m,0"]', ("policy", "-dump", "accessed", "0,1m,0")),
        ("memtier", "[policy, -dump, accessed]", ("policy", "-dump", "accessed")),
        ("memtier", "[stats, -t, process_madvise]", ("stats", "-t", "process_madvise")),
        ("memtier-prompt", '["policy -dump accessed 0,1m,0"]', ("policy", "-dump", "accessed", "0,1m,0")),
        ("memtier-prompt", "[\"log -i -f 'two words'\"]", ("log", "-i", "-f", "two words")),
    ],
)
def test_commands_of_the_engines_own(runner: str, command: str, kept: tuple[str, ...]) -> None:
    text = routine(f"intervalcommand: {command}, intervalcommandrunner: {runner}")
    wanted = (RoutineConfig(interval_ms=60000, command=Command(words=kept, runner="memtier")),)

    assert engine(text).routines == wanted
    trusted_or_not = read(text, programs=False)
    assert trusted_or_not.problems == ()


@pytest.mark.parametrize(
    ("settings", "command"),
    [
        ("intervalcommand: [sh, -c, date]", Command(words=("sh", "-c", "date"))),
        ('intervalcommand: [policy], intervalcommandrunner: ""', Command(words=("policy",))),
        (
            "intervalcommand: ['stats | awk 1 > out'], intervalcommandrunner: memtier-prompt",
            Command(words=("stats | awk 1 > out",), runner="memtier-prompt"),
        ),
        (
            "intervalcommand: ['stats|sh'], intervalcommandrunner: memtier-prompt",
            Command(words=("stats|sh",), runner="memtier-prompt"),
        ),
    ],
)
def test_programs_and_shells_are_for_files_of_root(settings: str, command: Command) -> None:
    assert command.starts_programs
    assert engine(routine(settings)).routines[0].command == command

    refused = read(routine(settings), programs=False)
    assert refused.config is None
    (problem,) = refused.problems
    assert problem.message.startswith("only files of root may have programs started")
    assert "/etc/nri/conf.d" in problem.hint


@pytest.mark.parametrize(
    "command",
    [
        "[swap, -pid, '1', -out]",
        "[pages, -si, '5']",
        "[mover, -pages-to, '1']",
        "[policy, -stop]",
        "[time, -sleep, '9']",
    ],
)
def test_commands_that_do_something_are_for_files_of_root(command: str) -> None:
    text = routine(f"intervalcommand: {command}, intervalcommandrunner: memtier")
    assert engine(text).routines[0].command is not None

    refused = read(text, programs=False)
    assert refused.config is None
    assert refused.problems[0].message.startswith("what came from the container runtime may only ask")


def test_a_pipe_in_quotes_is_none() -> None:
    (found,) = engine(routine("intervalcommand: ['log -i \"a|b\"'], intervalcommandrunner: memtier-prompt")).routines

    assert found.command == Command(words=("log", "-i", "a|b"), runner="memtier")


def test_what_was_paged_out() -> None:
    text = """
        routines:
          - name: statactions
            config: |
              intervalms: 5000
              pageoutmb: 3000
              pageoutcommand: ["sh", "-c", "echo 1 > /proc/sys/vm/drop_caches"]
              timestamp: rfc3339
              timestampafter: duration.milli
          - name: stub
          - {name: statactions, config: {interval: 1s, pageout: 1.5G, pageoutcommand: [date]}}
        """
    assert engine(text).routines == (
        RoutineConfig(
            interval_ms=5000,
            pageout_mib=3000,
            pageout_command=Command(words=("sh", "-c", "echo 1 > /proc/sys/vm/drop_caches")),
            timestamp="rfc3339",
            timestamp_after="duration.milli",
        ),
        RoutineConfig(interval_ms=1000, pageout_mib=1536, pageout_command=Command(words=("date",))),
    )


@pytest.mark.parametrize("stamp", ["rfc3339 ", "unix.milli,duration\n", "Mon Jan _2 15:04:05 2006 ", "[02.01. 15:04] "])
def test_time_stamps_are_texts_around_names_and_layouts(stamp: str) -> None:
    (found,) = engine(routine(f"intervalcommand: [date], timestamp: {json.dumps(stamp)}")).routines

    assert (found.timestamp, found.timestamp_after) == (stamp, "")


def test_a_page_out_without_a_command_is_warned_of() -> None:
    assert said(routine("intervalcommand: [date], pageout: 1G")) == [
        (Severity.WARNING, '"pageout" has no effect without "pageoutcommand"')
    ]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("policy: {name: stub}\nroutines: 5", "must be a list, not 5", "- name:"),
        ("routines: [5]", "must be a mapping, or a text that holds one, not 5", ""),
        ("routines: [{name: statacions}]", 'unknown routine "statacions"', '"statactions"'),
        ("routines: [{name: statactions, config: {intervalcommand: [x]}}]", 'the routine\'s "intervalms"', "1m"),
        (routine(""), "the routine has no command", "intervalcommand"),
        (routine("intervalcommand: []"), "the command is empty", "policy, -dump"),
        (routine("intervalcommand: ['']"), "the command is empty", "policy, -dump"),
        (routine("intervalcommand: date"), 'must be a list of texts, not the text "date"', "["),
        (routine("intervalcommand: [x], intervalcommandrunner: shell"), 'unknown runner "shell"', "exec, memtier"),
        (routine("intervalcommand: [q], intervalcommandrunner: memtier"), "q would end the daemon", "remove"),
        (routine("intervalcommand: [stat], intervalcommandrunner: memtier"), 'unknown command "stat"', '"stats"'),
        (
            routine("intervalcommand: [stats, -t], intervalcommandrunner: memtier-prompt"),
            "a line for the prompt is one text, not 2",
            "runner memtier",
        ),
        (
            routine('intervalcommand: ["policy \'-dump"], intervalcommandrunner: memtier-prompt'),
            "the quote ' at column 8 never closes",
            "close it",
        ),
        (
            routine("intervalcommand: [policy, -dump, accessed, '0,1x'], intervalcommandrunner: memtier"),
            "'1x' is not a duration",
            "0,1m",
        ),
        (routine("intervalcommand: [x], timestamp: rfc3399"), 'unknown timestamp "rfc3399"', '"rfc3339"'),
        (routine("intervalcommand: [x], timestampafter: unix.mill"), 'unknown timestamp "unix.mill"', '"unix.milli"'),
        (routine("intervalcommand: [x], timestamp: 2006"), "must be a text, not 2006", "quotes"),
        (routine("pageoutcommand: [x], pageout: lots"), "'lots' is not a size", "3000M"),
        (routine("pageoutcommand: [x], pageoutmb: -1"), "-1 is too small", ""),
    ],
)
def test_errors(text: str, message: str, hint: str) -> None:
    check_error(text, message, hint)


def test_the_stats_file_of_nri_memtierd_is_warned_of() -> None:
    text = routine("intervalcommand: [sh, -c, 'date > $MEMTIERD_SWAP_STATS_PATH']")

    assert [severity for severity, _ in said(text)] == ["warning"]
    assert "$MEMTIERD_SWAP_STATS_PATH is not filled in" in said(text)[0][1]
