"""Pages go to another memory node: the nearest of those listed that has room and that the process's cpuset allows.

Pages that already are on a listed node stay. Every page's status is kept: the node that it came to, or the kernel's
reason. Pages that were busy are asked once more; where a node turns out to be full, the next of the list is tried.
"""

import errno

import numpy as np
from numpy.typing import NDArray

from reconciler.engine import destinations
from reconciler.engine.figures import Book, Figures, MoveRecord
from reconciler.engine.regions import Addresses
from reconciler.engine.rooms import Rooms
from reconciler.engine.site import Batch, Site, Statuses
from sysfs import process

_BUSY, _FULL = -errno.EBUSY, -errno.ENOMEM
NOWHERE = np.int32(-errno.ENOSPC)  # status of pages for which no listed node had room


class Migration:
    def __init__(self, site: Site, to: tuple[int, ...], rooms: Rooms, figures: Figures, book: Book) -> None:
        self._site, self._to, self._rooms = site, to, rooms
        self._figures, self._book = figures, book
        self._allowed = process.memory_nodes(site.doors.tree, site.pid)
        self.why = ""  # why there is no node for some pages

    def choose(self, batch: Batch) -> None:
        """What could move and is not on one of the nodes; the others' statuses say where they are."""
        movable = self._site.movable(batch)
        status = self._site.pages.locate(self._site.addresses(batch, movable))
        batch.status[movable] = status
        batch.there[movable] = np.isin(status, self._to)
        batch.wanted[movable] = (status >= 0) & ~batch.there[movable]

    def perform(self, batches: list[Batch]) -> int:
        """Returns the bytes that moved."""
        addresses = np.concatenate([self._site.addresses(batch, batch.wanted) for batch in batches])
        origins = np.concatenate([batch.status[batch.wanted] for batch in batches])
        status = np.full(len(addresses), NOWHERE, np.int32)
        for origin in np.unique(origins).tolist():
            mine = origins == origin
            status[mine] = self._from(origin, addresses[mine])
        self._hand_out(batches, status)
        return int(np.isin(status, self._to).sum()) * self._site.page_size

    def _from(self, origin: int, addresses: Addresses) -> Statuses:
        """To the best node; what finds it full, to the next."""
        status = np.full(len(addresses), NOWHERE, np.int32)
        listed = set(self._to)
        waiting = np.arange(len(addresses))
        while len(waiting):
            size = len(waiting) * self._site.page_size
            choice = destinations.choose(origin, listed, self._allowed, self._rooms.nodes(), size)
            if choice.node is None:
                self.why = self.why or choice.why
                break
            status[waiting] = self._to_node(addresses[waiting], choice.node, origin)
            waiting = waiting[status[waiting] == _FULL]
            listed.discard(choice.node)
            if len(waiting):
                self._rooms.is_full(choice.node)
        return status

    def _to_node(self, addresses: Addresses, node: int, origin: int) -> Statuses:
        status = self._site.pages.move(addresses, node)
        busy = np.flatnonzero(status == _BUSY)
        if len(busy):
            status[busy] = self._site.pages.move(addresses[busy], node)
        self._rooms.moved(origin, node, int((status == node).sum()) * self._site.page_size)
        self._tell(addresses, node, status)
        return status

    def _tell(self, addresses: Addresses, node: int, status: Statuses) -> None:
        codes, pages = np.unique(-status[status < 0], return_counts=True)
        record = MoveRecord(
            pid=self._site.pid,
            pages=len(addresses),
            first=int(addresses[0]),
            to=node,
            result=int((status != node).sum()),
            on_other=int(((status >= 0) & (status != node)).sum()),
            errors=dict(zip(codes.tolist(), pages.tolist(), strict=True)),
        )
        self._figures.moved(record)
        self._book.record(record)

    def _hand_out(self, batches: list[Batch], status: NDArray[np.int32]) -> None:
        at = 0
        for batch in batches:
            number = int(batch.wanted.sum())
            batch.status[batch.wanted] = status[at : at + number]
            batch.moved[batch.wanted] = np.isin(status[at : at + number], self._to)
            at += number
