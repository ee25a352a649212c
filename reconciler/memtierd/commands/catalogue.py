"""All commands, by name."""

from collections.abc import Mapping

from reconciler.memtierd.commands import (
    arange,
    help,  # noqa: A004  it is the command's name
    log,
    mover,
    nop,
    pages,
    pidwatcher,
    policy,
    q,
    routines,
    stats,
    swap,
    time,
    tracker,
)
from reconciler.memtierd.commands.command import Command

_MODULES = (help, q, nop, pages, arange, mover, tracker, policy, pidwatcher, routines, swap, stats, time, log)
COMMANDS: Mapping[str, Command] = {module.COMMAND.name: module.COMMAND for module in _MODULES}
