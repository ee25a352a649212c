"""`ebbtide compact`: compaction of memory, looked at and changed on the running daemon."""

import argparse

from reconciler.cli import settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    settings.add_arguments(parser, "compact", '{"compact_order": 9}')


def run(args: argparse.Namespace) -> int:
    return settings.run(args, "compact")
