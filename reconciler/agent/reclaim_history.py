"""STATE/history/: what was seen of each workload, a day of minutes at most; it outlives the daemon and the node's boot.

Files are written now and then and at the end, so kill -9 costs minutes. What cannot be read is as good as nothing, and
is written over.
"""

import hashlib
import json
import logging
import re
from pathlib import Path

from reconciler.agent import coldness
from reconciler.agent.coldness import Rows
from reconciler.files import write_atomically

log = logging.getLogger("ebbtide.reclaim")

VERSION = 1
FOLDER = "history"
MOST_FILES = 512  # the oldest go; about 100 KiB each
MOST_BYTES = 8 << 20  # of one file: nothing of ours is larger
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class Store:
    """Without a folder nothing is kept beyond this process."""

    def __init__(self, state_dir: str | Path | None) -> None:
        self._folder = Path(state_dir) / FOLDER if state_dir is not None else None

    def load(self, workload: str) -> Rows:
        if self._folder is None:
            return coldness.nothing()
        try:
            path = self._path(workload)
            if path.stat().st_size > MOST_BYTES:
                return coldness.nothing()
            document = json.loads(path.read_text(encoding="utf-8"))
            if (document["version"], document["workload"]) != (VERSION, workload):
                return coldness.nothing()
            return coldness.rows(document["columns"])[-coldness.MOST_ROWS :]
        except (OSError, ValueError, KeyError, TypeError):
            return coldness.nothing()

    def save(self, workload: str, history: Rows) -> None:
        """A full disk is said, and costs the history only."""
        if self._folder is None or not len(history):
            return
        document = {"version": VERSION, "workload": workload, "columns": coldness.document(history)}
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._path(workload), json.dumps(document, separators=(",", ":")))
        except OSError as error:
            log.warning("event=history-not-written workload=%s error=%s", workload, error.strerror)

    def prune(self) -> None:
        """Containers never come back under the same id: the oldest files of what is gone make room."""
        if self._folder is None or not self._folder.is_dir():
            return
        for scratch in self._folder.glob(".*.json.*"):  # left by a daemon that was killed
            scratch.unlink(missing_ok=True)
        files = sorted(self._folder.glob("*.json"), key=lambda path: path.stat().st_mtime)
        for path in files[: max(len(files) - MOST_FILES, 0)]:
            path.unlink(missing_ok=True)

    def _path(self, workload: str) -> Path:
        """Ids are plain words; what is not (a person wrote the record) is known by its hash."""
        plain = _PLAIN.fullmatch(workload)
        name = workload if plain else f"sha-{hashlib.sha256(workload.encode()).hexdigest()}"
        assert self._folder is not None
        return self._folder / f"{name}.json"
