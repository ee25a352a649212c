"""STATE/lru_gen.json: MGLRU's switches as they were before our write, on disk before that write.

It names its boot; a record of an earlier boot, or one that cannot be understood, says nothing about the switches now.
Whoever has changed them after us has decided: nothing is put back then, and nothing is written again.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from reconciler.files import write_atomically
from sysfs import mglru
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree

VERSION = 1
NAME = "lru_gen.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loan:
    before: int
    wrote: int  # what the file showed after our write
    done: bool = True  # False: we are about to write, and may have been killed before or after it


class Switch:
    def __init__(self, tree: Tree, folder: Path, boot_id: str) -> None:
        self._tree, self._path, self._boot_id = tree, folder / NAME, boot_id
        self._asked = False

    def missing(self, *, acting: bool) -> str:
        """Why MGLRU cannot be used, "" if it can. Turns all of it on, once, if it may act."""
        try:
            shown = mglru.enabled(self._tree)
            self._tree.open(mglru.GENERATIONS, write=True).close()
            if acting and not self._asked and shown != mglru.ALL_SWITCHES:
                shown = self._turn_on(shown)
            self._asked = self._asked or acting
            if not shown & mglru.MAIN_SWITCH:
                would = "" if acting else ", and would be turned on"
                return f"{mglru.ENABLED} shows {shown:#06x}: MGLRU is off{would}"
        except Gone as error:
            return _absent(error)
        except OSError as error:
            return str(error)
        return ""

    def _turn_on(self, shown: int) -> int:
        """What is on then. OSError when the disk refuses, and then nothing is written to the kernel."""
        earlier = self._load()
        if earlier and earlier.done:
            return shown  # an earlier daemon has turned it on; if it is not so any more, somebody has decided
        before = earlier.before if earlier else shown
        self._save(Loan(before=before, wrote=mglru.ALL_SWITCHES, done=False))
        mglru.enable(self._tree, mglru.ALL_SWITCHES)
        shown = mglru.enabled(self._tree)
        self._save(Loan(before=before, wrote=shown) if shown != before else None)
        return shown

    def give_back(self) -> None:
        """As it was, unless somebody has changed it since. Raises `KernelError` and OSError: try again then."""
        self._asked = False
        loan = self._load()
        if loan is None:
            return
        try:
            if mglru.enabled(self._tree) == loan.wrote or not loan.done:
                mglru.enable(self._tree, loan.before)
        except Gone:
            pass
        self._save(None)

    def _load(self) -> Loan | None:
        try:
            document = json.loads(self._path.read_text())
            if document["version"] != VERSION or document["boot_id"] != self._boot_id:
                return None
            loan = document["loan"]
            return Loan(before=int(loan["before"]), wrote=int(loan["wrote"]), done=bool(loan.get("done", True)))
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _save(self, loan: Loan | None) -> None:
        if loan is None:
            self._path.unlink(missing_ok=True)
            return
        document = {"version": VERSION, "boot_id": self._boot_id, "loan": asdict(loan)}
        write_atomically(self._path, json.dumps(document, indent=1), durable=True)


def _absent(error: KernelError) -> str:
    if error.filename == mglru.ENABLED:
        return f"this kernel has no MGLRU ({mglru.ENABLED}, Linux 6.1 with CONFIG_LRU_GEN)"
    return f"no {mglru.GENERATIONS}: mount debugfs (mount -t debugfs none /sys/kernel/debug)"
