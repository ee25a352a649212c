"""`stats`: what scans and moves have cost and done."""

from collections.abc import Iterator

from reconciler.memtierd.commands import making
from reconciler.memtierd.commands.command import Command, Wrong, no_words
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.flags import Flag, Given

_LAYOUTS = ("txt", "csv")
_UNKNOWN = "unknown table "
_DUMPS = "-dump moves start|new|stop"


def run(given: Given, desk: Desk) -> Iterator[str]:
    if "dump" in given:
        if len(given.words) != 2 or given.words[0] != "moves":
            raise Wrong(f"what shall be dumped? {_DUMPS}")
        if answer := desk.host.stats(("-dump", *given.words)):
            yield answer
        return
    no_words(given)
    if given.any_of("lm", "le"):
        for name in ("lm", "le"):
            if name in given:
                yield desk.host.stats((f"-{name}", given.text(name)))
        return
    making.named("format", given.text("f", "txt"), _LAYOUTS)
    answer = desk.host.stats(
        tuple(word for name in ("t", "f") if name in given for word in (f"-{name}", given.text(name)))
    )
    if any(line.startswith(_UNKNOWN) for line in answer.splitlines()):
        raise Wrong(answer)
    yield answer


COMMAND = Command(
    name="stats",
    summary="print what scans and moves have done and cost",
    run=run,
    words="[WORD...]",
    flags=(
        Flag(name="t", value="TABLE[,TABLE...]", text="print tables instead of the summary; help lists them"),
        Flag(name="f", value="FORMAT", text="of tables: txt or csv"),
        Flag(name="lm", value="PID", number=True, text="print the last move of this process"),
        Flag(name="le", value="PID", number=True, text="print the last move of this process that had errors"),
        Flag(name="dump", text=f"record moves: {_DUMPS}"),
    ),
)
