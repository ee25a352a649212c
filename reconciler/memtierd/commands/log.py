"""`log`: put a message into the log, or all that the prompt prints."""

from collections.abc import Iterator
from typing import cast

from reconciler.memtierd.commands.command import Command, Over, Wrong, no_words
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Flag, Given
from reconciler.memtierd.host import Level

_LEVELS = {"i": "info", "d": "debug", "e": "error", "f": "error"}


def run(given: Given, desk: Desk) -> Iterator[str]:
    yield from ()
    said = [name for name in _LEVELS if name in given]
    if not said:
        no_words(given)
    for name in said:
        text = " ".join([given.text(name), *(given.words if name == said[-1] else ())])
        desk.host.log(cast("Level", _LEVELS[name]), text)
    if "f" in given:
        if desk.host.fixed:
            raise Wrong(f"-f would end the daemon: {desk.host.fixed}")
        raise Over(1)
    if given.any_of("copy", "capture"):
        desk.copying = "copy" if "copy" in given else "capture"
    if "prefix" in given:
        if not desk.copying:
            raise Wrong("-prefix: the output does not go to the log yet: -copy or -capture")
        desk.prefix = given.text("prefix")


COMMAND = Command(
    name="log",
    summary="put a message, or all output, into the log",
    run=run,
    words="[WORD...]",
    flags=(
        Flag(name="i", value="MSG", text="log it, as information"),
        Flag(name="d", value="MSG", text="log it, if -debug was said"),
        Flag(name="e", value="MSG", text="log it, as an error"),
        Flag(name="f", value="MSG", text="log it, as an error, and end with status 1"),
        Flag(name="copy", text="from now on all output goes to the log, too"),
        Flag(name="capture", text="from now on all output goes to the log only"),
        Flag(name="prefix", value="TEXT", text="begins each line of output in the log"),
    ),
)
