"""STATE/lastgood.json: the last good text of each class file, so that a restart beside a broken file changes nothing.

Without it a daemon that is restarted while somebody edits a file would take its classes for removed, and undo them.
"""

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from reconciler import classes, schemas
from reconciler.files import write_atomically

log = logging.getLogger("ebbtide.lastgood")


def load(state_dir: Path) -> dict[str, classes.ParsedFile]:
    """What `store` kept; nothing when the file is missing or not ours to understand."""
    try:
        texts = json.loads(_path(state_dir).read_text())
        files = [
            classes.ClassText(path=str(path), name=Path(path).name, text=str(text)) for path, text in texts.items()
        ]
    except (OSError, ValueError, AttributeError):
        return {}
    return dict(classes.load(files, schemas.load()).files)


def store(state_dir: Path, files: Mapping[str, classes.ParsedFile]) -> None:
    """Keep them if they changed; a full disk costs only this safety net."""
    text = json.dumps({path: file.text for path, file in sorted(files.items())}, indent=1)
    path = _path(state_dir)
    try:
        if not path.exists() or path.read_bytes() != text.encode():
            write_atomically(path, text)
    except OSError as error:
        log.warning("event=last-good-not-kept path=%s error=%s", path, error.strerror)


def _path(state_dir: Path) -> Path:
    return state_dir / "lastgood.json"
