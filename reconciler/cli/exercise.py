"""`ebbtide exercise`: uses memory as memtierd's `meme` does, with its flags, and says exactly what it used."""

import argparse
import os
import re
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from reconciler import versions
from reconciler.cli import options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.exerciser import program, settings
from reconciler.exerciser.program import Doors
from reconciler.exerciser.settings import Settings

EPILOG = """\
Arrays hold random bytes and are touched page by page unless -touch says bytes. With -o json standard output is the
truth: a JSON line for each interval with what was read and written in it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """With one dash as Go has it, or with two."""
    parser.epilog = EPILOG
    parser._negative_number_matcher = re.compile(r"-\d")  # noqa: SLF001  or "-4k" and "-6/2m" would be unknown flags
    group = parser.add_argument_group("what meme has")
    for name, flag in settings.MEME.items():
        _add(group, name, flag)
    group.add_argument("-version", "--version", action="version", version=_version())
    group = parser.add_argument_group("what it has not")
    group.add_argument(
        "-scenario", "--scenario", default="", choices=settings.SCENARIOS, help="other defaults for all flags"
    )
    for name, flag in settings.OURS.items():
        _add(group, name, flag)


def _add(group: argparse._ArgumentGroup, name: str, flag: settings.Flag) -> None:
    default = f" ({flag.default})" if flag.default else ""
    group.add_argument(f"-{name}", f"--{name}", metavar=flag.shown, dest=_key(name), help=flag.text + default)


def _key(name: str) -> str:
    return f"flag_{name}"


def _version() -> str:

    return f"ebbtide {versions.version()}"


def run(args: argparse.Namespace) -> int:
    if args.root != "/":
        raise Failure("exercise", "it uses this machine's memory, and knows no --root", code=Exit.USAGE)
    said = {name: getattr(args, _key(name)) for name in settings.FLAGS}
    try:
        told = settings.of(said, args.scenario)
    except ValueError as error:
        raise Failure("exercise", str(error), hint="see ebbtide exercise --help", code=Exit.USAGE) from error
    with _truth(told.truth) as written:
        _perform(told, _doors(told, written, json=options.of(args).json))
    return Exit.FINE


def _perform(told: Settings, doors: Doors) -> None:
    try:
        program.perform(told, doors)
    except (OSError, MemoryError, OverflowError) as error:
        where = getattr(error, "filename", None) or f"{told.arrays} x {told.array_bytes} bytes"
        why = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise Failure("exercise", f"{where}: {why}", hint="see -bs, -bc and -file") from error


def _doors(told: Settings, written: Callable[[str], None], *, json: bool) -> Doors:
    def say(line: str) -> None:
        if not json:
            render.show(line.splitlines())

    def tell(line: str) -> None:
        written(line)
        if json:
            render.show_line(line)

    return Doors(say=say, tell=tell, wait=program.slept if told.lifetime_s is not None else _enter_pressed)


def _enter_pressed(seconds: float) -> bool:
    """Also when standard input has ended."""
    if not select.select([sys.stdin], [], [], seconds)[0]:
        return False
    text = os.read(sys.stdin.fileno(), 4096)
    return not text or b"\n" in text


@contextmanager
def _truth(path: str) -> Iterator[Callable[[str], None]]:
    """A line is one write: children append to the same file."""
    if not path:
        yield lambda _: None
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
    try:
        yield lambda line: _write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
