"""`help`: which commands there are."""

from collections.abc import Iterator

from reconciler.memtierd.commands.command import Command, Wrong
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Given

_SYNTAX = """\
Syntax:
        COMMAND -h                what a command can do
        [COMMAND] | SHELL-COMMAND give its output to a shell command; a quoted '|' is no pipe
        # ...                     a comment"""


def run(given: Given, desk: Desk) -> Iterator[str]:
    from reconciler.memtierd.commands import catalogue  # which lists this one, too

    del desk
    if unknown := [word for word in given.words if word not in catalogue.COMMANDS]:
        raise Wrong(f"no command is called {unknown[0]!r}")
    yield "Available commands:"
    for name in given.words or sorted(catalogue.COMMANDS):
        yield f"        {name:<12} {catalogue.COMMANDS[name].summary}"
    yield _SYNTAX


COMMAND = Command(name="help", summary="list the commands", run=run, words="[COMMAND...]")
