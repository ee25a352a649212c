"""`ebbtide import kata FILE`: another program's configuration as a class file, with what was not taken over and why."""

import argparse
import os
from dataclasses import asdict
from pathlib import Path

from reconciler import files, katafile
from reconciler.cli import options, render
from reconciler.cli.failure import Exit, Failure
from reconciler.documents import MOST_BYTES
from reconciler.katafile import Conversion

_CONVERTERS = {"kata": katafile.convert}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("format", choices=sorted(_CONVERTERS), help="kata: a configuration.toml of Kata Containers")
    parser.add_argument("file", metavar="FILE", help="what is read")
    parser.add_argument("--to", metavar="FILE", help="the class file to write, instead of standard output")
    parser.epilog = "`ebbtide check FILE` says what the result means; /etc/nri/conf.d is where it counts."


def run(args: argparse.Namespace) -> int:
    common = options.of(args)
    found = convert(args.format, args.file)
    if args.to:
        write(args.to, found.text)
    if common.json:
        render.show_document({"version": 1, **asdict(found)})
    elif args.to:
        render.show([f"{args.to}: {found.taken} taken over, {len(found.notes)} explained in its comments"])
    else:
        render.show(found.text.splitlines())
    return Exit.FINE


def convert(kind: str, path: str) -> Conversion:
    with open(path, "rb") as file:
        data = file.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise Failure(path, "larger than 1 MiB", hint="is it a configuration file?")
    try:
        return _CONVERTERS[kind](data.decode("utf-8"), path)
    except ValueError as error:  # also of bytes that are no UTF-8
        raise Failure(path, str(error), hint=f"is it a configuration of {kind}?") from error


def write(path: str, text: str) -> None:
    """A new file only: an older one may have been changed by hand."""
    if os.path.lexists(path):
        raise Failure(path, "is there already", hint="remove it first, or name another")
    files.write_atomically(Path(path), text, mode=0o644)
