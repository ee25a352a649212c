"""`ebbtide memcg`: aging and eviction by MGLRU, looked at and changed on the running daemon."""

import argparse

from reconciler.cli import settings


def add_arguments(parser: argparse.ArgumentParser) -> None:
    settings.add_arguments(parser, "memcg", '{"swap": true, "period_secs": 300}')


def run(args: argparse.Namespace) -> int:
    return settings.run(args, "memcg")
