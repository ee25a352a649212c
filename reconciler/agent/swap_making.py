"""Make swap areas, and clear away what is ours and not in use. Each is on record before it exists.

So whatever moment we are killed at, what is there is either in use and on record, or not in use and on record, or on
record only; and whatever is on record and not in use is cleared away at the next look.
"""

import os
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import partial

from reconciler.agent import swap_header, swap_places
from reconciler.agent.swap_leaving import Leaving, Swapoff
from reconciler.agent.swap_places import FileSystem
from reconciler.agent.swap_record import File, Ledger, Record, Zram
from reconciler.agentconfig import SwapKind
from sysfs import swapping, zram
from sysfs.errors import Gone, KernelError
from sysfs.tree import Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """All effects that do not go through a tree, and chance; tests bring their own."""

    on: Callable[[str, int], None] = swapping.on
    off: Callable[[str], Leaving] = Swapoff
    system: FileSystem = field(default_factory=FileSystem)
    token: Callable[[], bytes] = lambda: uuid.uuid4().bytes
    pause: Callable[[float], object] = time.sleep  # only of `release`, which has no daemon to come again


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An area on record; whether it is in use is for /proc/swaps to say."""

    name: str  # as the kernel names it there, without the folder
    path: str
    size_bytes: int  # with its header
    kind: SwapKind


class Maker:
    def __init__(self, tree: Tree, record: Record, page_size: int, doors: Doors) -> None:
        self._tree, self._record, self._page_size, self._doors = tree, record, page_size, doors

    @property
    def ledger(self) -> Ledger:
        return self._record.ledger

    def made(self) -> tuple[Made, ...]:
        devices = (each for each in self.ledger.zrams if self._is_ours(each))
        return (*map(_file, self.ledger.files), *map(self._device, devices))

    def make_file(self, folder: str, size: int, priority: int, wanted: Callable[[], bool]) -> str:
        """Its name."""
        if not os.path.lexists(folder):
            self._save(folders=(*self.ledger.folders, folder))
            swap_places.make_folder(folder)
        token = self._doors.token()
        file = File(path=f"{folder}/swap{len(self.ledger.files)}-{token.hex()[:8]}", size_bytes=size)
        self._save(files=(*self.ledger.files, file))
        try:
            swap_places.make(file.path, size, self._header(size, token), self._doors.system, wanted)
            self._doors.on(file.path, priority)
        except (OSError, swap_places.Unfit, swap_places.Unwanted):
            self._drop_file(file)
            raise
        return os.path.basename(file.path)

    def make_zram(self, size: int, priority: int, algorithm: str) -> str:
        """Its name."""
        number = self._add_zram()
        device = Zram(number=number, inode=zram.inode(self._tree, number), size_bytes=size)
        self._save(before=None, zrams=(*self.ledger.zrams, device))
        try:
            zram.set_up(self._tree, number, size, algorithm)
            with self._tree.open(f"/dev/zram{number}", write=True) as file:
                file.write(self._header(size, self._doors.token()))
                os.fsync(file.fileno())
            self._doors.on(self._tree.path(f"/dev/zram{number}"), priority)
        except OSError:
            self._drop_zram(device)
            raise
        return f"zram{number}"

    def _add_zram(self) -> int:
        """Asking makes it, so its number cannot be on record before; those that were there are."""
        self._save(before=tuple(sorted(zram.numbers(self._tree))))
        try:
            return zram.add(self._tree)
        except OSError:
            self._save(before=None)
            raise

    def start_removal(self, name: str) -> Leaving:
        """Begin to empty it; what is left of it then is for `tidy`."""
        return self._doors.off(next(each.path for each in self.made() if each.name == name))

    def tidy(self, in_use: Collection[str], folder: str) -> tuple[str, ...]:
        """Clear away what is on record and not in use; `folder` may stay. Gives what could not be cleared away."""
        return tuple(self._failures(in_use, folder))

    def _failures(self, in_use: Collection[str], folder: str) -> Iterator[str]:
        for drop in self._leftovers(in_use, folder):
            try:
                drop()
            except OSError as error:
                yield f"{error.filename}: {error.strerror}" if error.filename else str(error)

    def _leftovers(self, in_use: Collection[str], folder: str) -> Iterator[Callable[[], None]]:
        if self.ledger.before is not None:
            yield self._drop_newcomer
        for file in self.ledger.files:
            if os.path.basename(file.path) not in in_use:
                yield partial(self._drop_file, file)
        for device in self.ledger.zrams:
            if f"zram{device.number}" not in in_use or not self._is_ours(device):
                yield partial(self._drop_zram, device)
        for made in self.ledger.folders:
            if made != folder and not any(os.path.dirname(file.path) == made for file in self.ledger.files):
                yield partial(self._drop_folder, made)

    # -- one thing that goes -------------------------------------------------------------------------------------------

    def _drop_file(self, file: File) -> None:
        swap_places.remove(file.path)
        self._save(files=tuple(each for each in self.ledger.files if each != file))

    def _drop_zram(self, device: Zram) -> None:
        if self._is_ours(device):
            zram.take_away(self._tree, device.number)
        self._save(zrams=tuple(each for each in self.ledger.zrams if each != device))

    def _drop_newcomer(self) -> None:
        """We were killed between asking for a device and hearing its number: it is the one that nobody has set up."""
        new = sorted(zram.numbers(self._tree) - set(self.ledger.before or ()))
        if len(new) == 1 and not zram.size_bytes(self._tree, new[0]):
            zram.take_away(self._tree, new[0])
        self._save(before=None)

    def _drop_folder(self, folder: str) -> None:
        swap_places.remove_folder(folder)
        self._save(folders=tuple(each for each in self.ledger.folders if each != folder))

    # -- facts ---------------------------------------------------------------------------------------------------------

    def _device(self, device: Zram) -> Made:
        name = f"zram{device.number}"
        return Made(name=name, path=self._tree.path(f"/dev/{name}"), size_bytes=device.size_bytes, kind=SwapKind.ZRAM)

    def _is_ours(self, device: Zram) -> bool:
        try:
            return zram.inode(self._tree, device.number) == device.inode
        except Gone:
            return False
        except KernelError:
            return True

    def _header(self, size: int, token: bytes) -> bytes:
        return swap_header.page(self._page_size, size // self._page_size, token)

    def _save(self, **changes: object) -> None:
        self._record.save(replace(self.ledger, **changes))  # type: ignore[arg-type]


def _file(file: File) -> Made:
    return Made(name=os.path.basename(file.path), path=file.path, size_bytes=file.size_bytes, kind=SwapKind.FILE)
