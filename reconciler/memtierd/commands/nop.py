"""`nop`: nothing."""

from collections.abc import Iterator

from reconciler.memtierd.commands.command import Command
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Given


def run(given: Given, desk: Desk) -> Iterator[str]:
    del given, desk
    yield from ()


COMMAND = Command(name="nop", summary="do nothing", run=run, words="[WORD...]")
