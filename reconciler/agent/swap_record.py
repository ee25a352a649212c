"""STATE/swap.json: every swap area that we made, on disk before the area exists.

Files outlive a boot, and so does what is said about them here; zram devices do not, so those of an earlier boot are
forgotten. What is not in this record is never touched. One that cannot be understood is set aside: then nothing is
known to be ours, and somebody has to look.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.files import write_atomically

VERSION = 1
NAME = "swap.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    path: str  # its name has a random part, so that nobody else's file has it
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Zram:
    number: int
    inode: int  # of its folder below /sys; tells it from a later device of the same number
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    files: tuple[File, ...] = ()
    zrams: tuple[Zram, ...] = ()
    before: tuple[int, ...] | None = None  # devices that were there when we went to make one; None = not making one
    folders: tuple[str, ...] = ()  # that we made


NOTHING = Ledger()


class Record:
    def __init__(self, state_dir: str | Path, boot_id: str) -> None:
        self.path = Path(state_dir) / NAME
        self._boot_id = boot_id
        self.problem = ""
        self.ledger = self._load()

    def save(self, ledger: Ledger) -> None:
        """OSError when the disk refuses, and then nothing may be made."""
        if ledger == self.ledger:
            return
        if ledger == NOTHING:
            self.path.unlink(missing_ok=True)
        else:
            document = {"version": VERSION, "boot_id": self._boot_id, "areas": asdict(ledger)}
            write_atomically(self.path, json.dumps(document, indent=1), durable=True)
        self.ledger = ledger

    def _load(self) -> Ledger:
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            ledger = _ledger(document)
            same_boot = document["boot_id"] == self._boot_id
        except FileNotFoundError:
            return NOTHING
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return self._set_aside(error)
        return ledger if same_boot else self._of_another_boot(ledger)

    def _of_another_boot(self, ledger: Ledger) -> Ledger:
        left = replace(ledger, zrams=(), before=None)
        if left == NOTHING:
            self.path.unlink(missing_ok=True)
        return left

    def _set_aside(self, error: Exception) -> Ledger:
        aside = self.path.with_suffix(".json.unreadable")
        os.replace(self.path, aside)
        self.problem = f"{aside} cannot be understood ({error!r}): swap areas that it names are left as they are"
        return NOTHING


def _ledger(document: dict[str, Any]) -> Ledger:
    if document["version"] != VERSION:
        raise ValueError(f"version {document['version']}, not {VERSION}")
    areas = document["areas"]
    before = areas["before"]
    return Ledger(
        files=tuple(File(path=str(each["path"]), size_bytes=int(each["size_bytes"])) for each in areas["files"]),
        zrams=tuple(
            Zram(**{key: int(each[key]) for key in ("number", "inode", "size_bytes")}) for each in areas["zrams"]
        ),
        before=None if before is None else tuple(int(number) for number in before),
        folders=tuple(str(each) for each in areas["folders"]),
    )
