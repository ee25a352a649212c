"""STATE/history/: what was seen of each workload, a day of minutes at most; it outlives the daemon and the node's boot.

Files are written now and then and at the end, so kill -9 costs minutes. What cannot be read is as good as nothing, and
is written over.
"""

import hashlib
import io
import logging
import re
import zipfile
import zlib
from pathlib import Path

import numpy as np

from reconciler.agent import coldness
from reconciler.agent.coldness import Rows
from reconciler.files import write_atomically

log = logging.getLogger("ebbtide.reclaim")

FOLDER = "history"
MOST_FILES = 512  # the oldest go; some ten KiB each
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
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
                name, rows = str(found["workload"]), found["rows"]
        except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error):
            return coldness.nothing()
        known = name == workload and rows.dtype == coldness.ROW and rows.ndim == 1
        return rows[-coldness.MOST_ROWS :] if known else coldness.nothing()

    def save(self, workload: str, history: Rows) -> None:
        """A full disk is said, and costs the history only."""
        if self._folder is None or not len(history):
            return
        packed = io.BytesIO()
        np.savez_compressed(packed, workload=np.array(workload), rows=history)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._path(workload), packed.getvalue())
        except OSError as error:
            log.warning("event=history-not-written workload=%s error=%s", workload, error.strerror)
        else:
            _make_room(self._folder)

    def prune(self) -> None:
        """At the start, before anything is saved."""
        if self._folder is None or not self._folder.is_dir():
            return
        for scratch in self._folder.glob(".*.npz.*"):  # left by a daemon that was killed
            scratch.unlink(missing_ok=True)
        _make_room(self._folder)

    def _path(self, workload: str) -> Path:
        """Ids are plain words; what is not (a person wrote the record) is known by its hash."""
        plain = _PLAIN.fullmatch(workload)
        name = workload if plain else f"sha-{hashlib.sha256(workload.encode()).hexdigest()}"
        assert self._folder is not None
        return self._folder / f"{name}.npz"


def _make_room(folder: Path) -> None:
    """Containers never come back under the same id: the oldest files, which are of those that are gone, go."""
    files = list(folder.glob("[!.]*.npz"))
    if len(files) > MOST_FILES:
        for path in sorted(files, key=_saved_at)[: len(files) - MOST_FILES]:
            path.unlink(missing_ok=True)


def _saved_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another thread was quicker
        return 0.0
