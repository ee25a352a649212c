"""What has to be done, in which order, for a kubelet to run with a configuration: as a value, done by nobody here."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from reconciler.kubelet import refusals, remembered
from reconciler.kubelet.configuration import Effective
from reconciler.kubelet.machine import Machine
from reconciler.kubelet.refusals import Refusal


class Deed(StrEnum):
    """In the order in which they are done."""

    EDIT = "edit"  # a unit file that removes the state at every start
    DRAIN = "drain"
    WRITE = "write"
    STOP = "stop"
    MOVE = "move away"
    START = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    deed: Deed
    what: str  # a path, or a name
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFiles:
    """Paths and texts; None where there is none."""

    memory_path: str
    cpu_path: str
    memory: str | None = None
    cpu: str | None = None


def plan(
    text: str, effective: Effective, machine: Machine, *, path: str, present: str | None, files: StateFiles
) -> tuple[Step, ...]:
    """Nothing where the file is as it should be, and the kubelet would take its state up again."""
    refused = _refused(effective, machine, files)
    if present == text and not refused:
        return ()
    return tuple(_steps(path, refused, files, is_new=present is None, is_same=present == text))


def edits(places: Sequence[tuple[str, int]]) -> Iterator[Step]:
    """Lines of unit files that make every start a loss of what is pinned."""
    for where, line in places:
        yield Step(deed=Deed.EDIT, what=f"{where}:{line}", why="it removes the kubelet's state at every start")


def _steps(
    path: str, refused: Mapping[str, Sequence[Refusal]], files: StateFiles, *, is_new: bool, is_same: bool
) -> Iterator[Step]:
    if refused and (count := _pinned(files)):
        said = f"{count} container{'s' if count != 1 else ''} with pinned memory or CPUs would be forgotten"
        yield Step(deed=Deed.DRAIN, what="this node", why=said)
    if not is_same:
        yield Step(deed=Deed.WRITE, what=path, why="it is new" if is_new else "it is different")
    yield Step(deed=Deed.STOP, what="kubelet", why="it reads its configuration and its state only when it starts")
    for where, reasons in refused.items():
        yield Step(deed=Deed.MOVE, what=where, why=reasons[0].reason)
    yield Step(
        deed=Deed.START, what="kubelet", why="with the new configuration" if not is_same else "without old state"
    )


def _refused(effective: Effective, machine: Machine, files: StateFiles) -> dict[str, tuple[Refusal, ...]]:
    found = {}
    if files.memory is not None:
        found[files.memory_path] = refusals.of_memory(files.memory, effective, machine)
    if files.cpu is not None:
        found[files.cpu_path] = refusals.of_cpu(files.cpu, effective, machine)
    return {path: reasons for path, reasons in found.items() if reasons}


def _pinned(files: StateFiles) -> int:
    """Containers; of a file that cannot be read nothing is known."""
    found: set[tuple[str, str]] = set()
    with suppress(ValueError):
        found |= {(one.pod_uid, one.container) for one in remembered.memory(files.memory or "{}").blocks}
    with suppress(ValueError):
        found |= set(remembered.cpu(files.cpu or "{}").entries)
    return len(found)
