"""`mover`: move selected pages, and see to what is being moved."""

from collections.abc import Iterator

from reconciler.engine.mover import BUSY
from reconciler.engineconfig import SWAP
from reconciler.memtierd import drafts
from reconciler.memtierd.commands import making
from reconciler.memtierd.commands.command import Again, Command, Wrong, no_words
from reconciler.memtierd.desk import Desk
from reconciler.memtierd.drafts import Source
from reconciler.memtierd.flags import Flag, Given
from reconciler.memtierd.host import Task
from sysfs import numa

_POLL_S = 0.05


def run(given: Given, desk: Desk) -> Iterator[str]:
    no_words(given)
    if "config" in given:
        making.changeable(given, desk, "config")
        draft = drafts.mover(Source(text=given.text("config"), page_size=desk.page_size))
        yield from draft.notes
        desk.host.configure_mover(draft.config)
    if "config-dump" in given:
        current = desk.host.mover_config()
        yield drafts.show({"IntervalMs": current.interval_ms, "Bandwidth": current.bandwidth_mib})
    if "pages-to" in given:
        yield from _move(desk, given.number("pages-to"))
    if given.any_of("pause", "stop"):
        desk.host.mover().pause()
    if given.any_of("continue", "start"):
        desk.host.mover().proceed()
    if "tasks" in given:
        yield from map(_line, desk.host.mover().tasks())
    if "remove-task" in given and not desk.host.mover().remove(given.number("remove-task")):
        raise Wrong(f"-remove-task: there is no task {given.number('remove-task')}; -tasks lists them")
    if "wait" in given:
        yield _wait(desk)


def _move(desk: Desk, node: int) -> Iterator[str]:
    if desk.pages is None:
        raise Wrong("no pages are selected: `pages -pid PID` does")
    pid = desk.pages.pid
    if reason := desk.host.refusal(pid, named=True):
        raise Wrong(f"process {pid} is left alone: {reason}")
    if node == SWAP and (reason := desk.host.swap_closed(pid)):
        raise Wrong(f"process {pid}: {reason}")
    known = [each.number for each in numa.nodes(desk.host.tree) if each.has_memory]
    if node not in (SWAP, *known):
        raise Wrong(
            f"-pages-to: node {node} has no memory here; there are {', '.join(map(str, known))}, and -1 for swap"
        )
    desk.host.mover().add(pid, *desk.pages.ranges, (node,))
    if reason := desk.host.undone(pid):
        yield f"note: {reason}"


def _wait(desk: Desk) -> str:
    """Until nothing is left to do, or nothing is done any more."""
    until = desk.host.time() + desk.host.patience
    while (state := desk.host.mover().state()) == BUSY:
        if desk.host.time() >= until:
            raise Again
        desk.host.sleep(_POLL_S)
    return f"mover wait received: {state}"


def _line(task: Task) -> str:
    to = " ".join("swap" if node == SWAP else f"node{node}" for node in task.to)
    state = f"pid: {task.pid}, next: {task.next:x}, page: {task.done} out of {task.total}, dest: [{to}]"
    return f"{task.number:<8} MoverTask{{{state}}}" + (f" {task.why}" if task.why else "")


COMMAND = Command(
    name="mover",
    summary="move selected pages, see to what is being moved",
    run=run,
    flags=(
        Flag(name="config", value="JSON", text='configure it: {"IntervalMs": 10, "Bandwidth": 100}, in MiB a second'),
        Flag(name="config-dump", text="print its configuration"),
        Flag(name="pages-to", value="NODE", number=True, text="move the selected pages to this node, -1 = swap"),
        Flag(name="start", text="go on"),
        Flag(name="stop", text="rest"),
        Flag(name="pause", text="rest"),
        Flag(name="continue", text="go on"),
        Flag(name="tasks", text="list what is still to be moved"),
        Flag(name="remove-task", value="ID", number=True, text="do not move the rest of this one"),
        Flag(name="wait", text="wait until everything is moved"),
    ),
)
