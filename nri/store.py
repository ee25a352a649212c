"""The plugin's hands: everything that it does to the state directory.

A full or slow disk costs a log line and a record, never an answer: all of this happens beside the answers.
"""

import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec

from nri.changes import Changes
from reconciler import classfiles, files, logfmt, records

log = logging.getLogger("ebbtide.nri")

P = ParamSpec("P")
PREFIX = "zz-nri-"


class Store:
    def __init__(self, state_dir: str, boot_id: Callable[[], str], *, name: str, index: str) -> None:
        self._state_dir = state_dir
        self._boot_id = boot_id
        plain = re.sub(r"[^A-Za-z0-9_.+-]", "_", f"{index}-{name}")
        self._published = os.path.join(classfiles.handed_folder(state_dir), f"{PREFIX}{plain}.yaml")

    def perform(self, changes: Changes) -> None:
        """Each step for itself: one that fails must not keep the others from being done."""
        if changes.publish is not None:
            self._try(self._published, self.publish, changes.publish, of_root=changes.of_root)
        for workload in changes.write:
            self._try(workload.id, records.write, self._state_dir, workload)
        for one in changes.remove:
            self._try(one, records.remove, self._state_dir, one)
        if changes.keep is not None:
            self._try(records.FOLDER, records.prune, self._state_dir, changes.keep, self._boot_id())

    def publish(self, text: str, *, of_root: bool = False) -> None:
        """Show the daemon what configuration we were given; "" = none, then also what others left here goes."""
        folder = os.path.dirname(self._published)
        os.makedirs(folder, mode=0o700, exist_ok=True)
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.startswith(PREFIX) and (path != self._published or not text):
                os.unlink(path)
        whole = classfiles.handed(text, self._boot_id(), of_root=of_root)
        if text and _read(self._published) != whole:
            files.write_atomically(Path(self._published), whole)
            log.info(logfmt.line("event=published", path=self._published, bytes=len(text)))

    def _try(self, what: str, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            step(*args, **kwargs)
        except (OSError, ValueError) as error:
            log.error(logfmt.line("event=not-stored", what=what, error=error))  # noqa: TRY400  a trace says no more


def _read(path: str) -> str:
    with suppress(OSError, ValueError):
        return Path(path).read_text(encoding="utf-8")
    return ""
