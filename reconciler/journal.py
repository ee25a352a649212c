"""STATE/journal/actions.jsonl: every action with what was before and after, in bounded space.

One JSON object a line, the newest last. A full file becomes actions.1.jsonl, and the one before is dropped.
"""

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from reconciler import agentwanted
from reconciler.actions import (
    Action,
    ForgetOriginal,
    Outcome,
    RestoreKnob,
    SaveOriginal,
    SetAgent,
    StartEngine,
    StopEngine,
    WriteKnob,
)
from reconciler.files import open_to_append
from reconciler.ledger import Counted, Ledger

MOST_BYTES = 4 << 20  # of one file; there are two
_log = logging.getLogger("ebbtide.journal")
_MOVES = {  # what loops and the agent did to memory, from their counters
    "out_bytes": "page-out",
    "back_bytes": "came-back",
    "brought_bytes": "swap-in",
    "moved_bytes": "migrate",
}


class Journal:
    def __init__(self, state_dir: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder = state_dir / "journal"
        self._most = most_bytes
        self._silent = False  # it was said once that the disk will not take it

    def outcomes(self, outcomes: Iterable[Outcome], cycle: int) -> None:
        """What was done in a cycle, and what was tried in vain."""
        self.write([line for outcome in outcomes for line in _of_outcome(outcome, cycle)])

    def moved(self, before: Ledger, after: Ledger) -> None:
        """What left memory, came back or moved since the last look: totals of each workload before and after."""
        self.write([line for key in after.last for line in _of_moves(key, before, after)])

    def write(self, lines: list[dict[str, Any]]) -> None:
        if not lines:
            return
        text = "".join(json.dumps({"time": _now()} | line, separators=(",", ":")) + "\n" for line in lines)
        try:
            self._append(text.encode("utf-8", "backslashreplace"))
        except OSError as error:
            if not self._silent:
                _log.warning("event=journal-not-written path=%s error=%s", self._folder, error.strerror)
            self._silent = True
        else:
            self._silent = False

    def _append(self, data: bytes) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / "actions.jsonl"
        with suppress(FileNotFoundError):
            if path.lstat().st_size + len(data) > self._most:
                os.replace(path, self._folder / "actions.1.jsonl")
        descriptor = open_to_append(str(path))
        try:
            os.write(descriptor, data)
        finally:
            os.close(descriptor)


def read(state_dir: Path) -> Iterator[dict[str, Any]]:
    """Entries, the oldest first; a line that was cut off by a crash is left out."""
    for name in ("actions.1.jsonl", "actions.jsonl"):
        try:
            text = (state_dir / "journal" / name).read_text(errors="replace")
        except FileNotFoundError:
            continue
        for line in text.splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry


def _of_outcome(outcome: Outcome, cycle: int) -> Iterator[dict[str, Any]]:
    about = _words(outcome.action)
    if about:
        said = {"message": outcome.message} if outcome.message else {}
        yield {"cycle": cycle, "workload": outcome.action.workload} | about | {"result": str(outcome.result)} | said


def _words(action: Action) -> dict[str, Any]:
    match action:
        case WriteKnob() | RestoreKnob() | ForgetOriginal():
            return _of_knob(action)
        case StartEngine():
            return {"action": "start", "what": "engine", "before": "", "after": action.task.tracker}
        case StopEngine():
            return {"action": "stop", "what": "engine", "before": "", "after": "", "reason": action.reason}
        case SetAgent():
            return {"action": "agent", "what": "agent", "before": "", "after": agentwanted.summary(action.task)}
        case SaveOriginal():
            return {}  # a note to ourselves; the write that follows tells it all


def _of_knob(action: WriteKnob | RestoreKnob | ForgetOriginal) -> dict[str, Any]:
    about = {"what": str(action.knob), "cgroup": action.cgroup}
    match action:
        case WriteKnob():
            foreign = {"foreign": True} if action.foreign else {}
            return {"action": "write", **about, "before": action.seen, "after": action.value, **foreign}
        case RestoreKnob():
            before = action.expected[0] if action.expected else ""
            return {"action": "restore", **about, "before": before, "after": action.original}
        case ForgetOriginal():
            return {"action": "forget", **about, "before": "", "after": "", "reason": action.reason}


def _of_moves(key: str, before: Ledger, after: Ledger) -> Iterator[dict[str, Any]]:
    old = before.workloads[key].total if key in before.workloads else Counted()
    new = after.workloads[key].total
    for attribute, word in _MOVES.items():
        was, now = getattr(old, attribute), getattr(new, attribute)
        if now > was:
            yield {"workload": key, "action": word, "what": "memory", "before": was, "after": now, "bytes": now - was}


def matching(entries: Iterable[Mapping[str, Any]], workloads: frozenset[str]) -> Iterator[Mapping[str, Any]]:
    """Those of the named ids; all of them if none is named."""
    return (entry for entry in entries if not workloads or entry.get("workload") in workloads)


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="milliseconds")
