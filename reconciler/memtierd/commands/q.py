"""`q`: leave the prompt."""

from collections.abc import Iterator

from reconciler.memtierd.commands.command import Command, Over, no_words
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Given


def run(given: Given, desk: Desk) -> Iterator[str]:
    del desk
    no_words(given)
    yield from ()
    raise Over(0)


COMMAND = Command(name="q", summary="leave the prompt; `memtierd` itself ends with it", run=run)
