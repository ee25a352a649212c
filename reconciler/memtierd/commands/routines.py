"""`routines`: make, start and stop routines: commands that are run again and again."""

from collections.abc import Iterator

from reconciler.memtierd import drafts, native, words
from reconciler.memtierd.commands import making
from reconciler.memtierd.commands.command import Command, Wrong
from reconciler.memtierd.desk import Desk, Routine
from reconciler.memtierd.flags import Flag, Given

_NAMES = making.names(words.ROUTINES)


def run(given: Given, desk: Desk) -> Iterator[str]:
    making.checked(given, desk)
    known = _known(desk)
    if "create" in given:
        known.append(Routine(name=making.named("routine", given.text("create"), _NAMES)))
        desk.routine = len(known) - 1
        yield f"routine {desk.routine} created, started using it"
    if not known:
        raise Wrong("no routines, create one with -create NAME")
    if "use" in given:
        if not 0 <= given.number("use") < len(known):
            raise Wrong(f"-use: there is no routine {given.number('use')}, the last one is {len(known) - 1}")
        desk.routine = given.number("use")
    yield from _of_one(given, desk, known[desk.routine])


def _known(desk: Desk) -> list[Routine]:
    if desk.routines is None:
        configured = desk.host.routines()
        desk.routines = [Routine(name="statactions", config=each, running=True) for each in configured]
    return desk.routines


def _of_one(given: Given, desk: Desk, routine: Routine) -> Iterator[str]:
    if (source := making.source(given, desk)) is not None:
        draft = drafts.routine(routine.name, source)
        yield from draft.notes
        routine.config = draft.config
        if routine.running:
            desk.host.repeat(desk.routine, routine.config)
    if "start" in given:
        if routine.config is None and routine.name != "stub":
            raise Wrong("the routine has nothing to do yet: -config JSON")
        desk.host.repeat(desk.routine, routine.config)
        routine.running = True
    if "config-dump" in given:
        yield drafts.show(native.routine(routine.config) if routine.config is not None else {})
    if "stop" in given:
        desk.host.repeat(desk.routine, None)
        routine.running = False
        yield f"routine {desk.routine} stopped"
    if "dump" in given:
        yield f'routine "{routine.name}": running={str(routine.running).lower()}'


COMMAND = Command(
    name="routines",
    summary="make, start and stop routines",
    run=making.listing(_NAMES, run),
    words="[WORD...]",
    flags=(
        Flag(name="ls", text="list the kinds of routines that there are"),
        Flag(name="create", value="NAME", text="make a new routine, and use it"),
        Flag(name="use", value="INDEX", number=True, text="use this one, from 0 on"),
        *making.CONFIG,
        Flag(name="start", text="start it"),
        Flag(name="stop", text="stop it"),
        Flag(name="dump", text="print whether it runs"),
    ),
)
