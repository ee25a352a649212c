"""STATE/history/ledger.json: what was saved, over restarts of the daemon; a full disk costs only that."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reconciler.files import write_atomically
from reconciler.ledger import Account, Counted, Ledger

EVERY_SECONDS = 60.0  # written at most so often, and when the daemon stops
_VERSION = 1
_log = logging.getLogger("ebbtide.ledger")


def load(state_dir: Path) -> Ledger:
    """Totals of earlier daemons; an empty ledger when the file is missing or not ours to understand."""
    try:
        document = json.loads(_path(state_dir).read_text())
        if document["version"] != _VERSION:
            return Ledger()
        away = {str(key): int(size) for key, size in document.get("away", {}).items()}
        return Ledger(workloads=_accounts(document["workloads"]), classes=_accounts(document["classes"]), away=away)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Ledger()


def store(state_dir: Path, ledger: Ledger) -> None:
    kept = {key: asdict(account) for key, account in ledger.workloads.items()}
    classes = {key: asdict(account) for key, account in ledger.classes.items()}
    try:
        _path(state_dir).parent.mkdir(mode=0o700, exist_ok=True)
        write_atomically(
            _path(state_dir),
            json.dumps(
                {"version": _VERSION, "workloads": kept, "classes": classes, "away": dict(ledger.away)}, indent=1
            ),
        )
    except OSError as error:
        _log.warning("event=ledger-not-kept path=%s error=%s", _path(state_dir), error.strerror)


def _accounts(document: Mapping[str, Mapping[str, Any]]) -> dict[str, Account]:
    return {key: Account(**{**each, "total": Counted(**each["total"])}) for key, each in document.items()}


def _path(state_dir: Path) -> Path:
    return state_dir / "history" / "ledger.json"
