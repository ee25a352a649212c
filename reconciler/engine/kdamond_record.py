"""STATE/kdamonds.json: what was before our first write to DAMON, on disk before that write.

After kill -9 the next daemon gives back by it. It names its boot; one of an earlier boot, or one that cannot be
understood, says nothing about the kdamonds that are there now.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reconciler.files import write_atomically
from sysfs.damon_probe import Ours

VERSION = 1
NAME = "kdamonds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """An administrator's kdamond, and how it was."""

    number: int
    inode: int
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    """Everything that is to be given back; `inode` tells our kdamonds from others, 0 = they are just being made."""

    made: int = 0
    inode: int = 0
    paused_stat: bool = False
    borrowed: tuple[Borrowed, ...] = ()

    @property
    def ours(self) -> Ours:
        return Ours(kdamonds=self.made, paused_stat=self.paused_stat)


NOTHING = Loan()


class Record:
    """Without a folder nothing is remembered beyond this process."""

    def __init__(self, folder: str | Path | None, boot_id: str = "") -> None:
        self.path = Path(folder) / NAME if folder is not None else None
        self._boot_id = boot_id

    def load(self) -> Loan:
        if self.path is None:
            return NOTHING
        try:
            document = json.loads(self.path.read_text())
            return _loan(document) if document["boot_id"] == self._boot_id else NOTHING
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return NOTHING

    def save(self, loan: Loan) -> None:
        """OSError when the disk refuses, and then nothing may be written to the kernel."""
        if self.path is None:
            return
        if loan == NOTHING:
            self.path.unlink(missing_ok=True)
            return
        document = {"version": VERSION, "boot_id": self._boot_id, "loan": asdict(loan)}
        write_atomically(self.path, json.dumps(document, indent=1), durable=True)


def _loan(document: dict[str, Any]) -> Loan:
    if document["version"] != VERSION:
        return NOTHING
    loan = document["loan"]
    borrowed = tuple(
        Borrowed(number=each["number"], inode=each["inode"], settings=tuple((p, t) for p, t in each["settings"]))
        for each in loan["borrowed"]
    )
    return Loan(made=loan["made"], inode=loan["inode"], paused_stat=loan["paused_stat"], borrowed=borrowed)
